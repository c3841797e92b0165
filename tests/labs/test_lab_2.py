"""Lab 2: the twins with switches against gguf, a message for every slip, the search, keys per channel, its prose."""

from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from helpers.arithmetic import KVShape
from helpers.cache import encode
from helpers.records import load_table
from helpers.teaching.labs import lab_2, lab_2_dials, lab_2_packing

MASTER = Path(__file__).parents[2] / "labs" / "masters" / "lab_2_turn_the_two_dials.ipynb"
CHECKS = {
    "pack_q8_0": lab_2.PACK_Q8_0,
    "pack_q4_0": lab_2.PACK_Q4_0,
    "unpack_q8_0": lab_2.UNPACK_Q8_0,
    "unpack_q4_0": lab_2.UNPACK_Q4_0,
}


@pytest.fixture
def said(capsys):
    """What the last check printed, and only that."""
    return lambda: capsys.readouterr().out.strip()


def check(name):
    return getattr(lab_2, f"check_{name}")


def rows_of_all_sizes(count=500):
    rng = np.random.default_rng(7)
    rows = [(rng.normal(size=32) * 10.0 ** rng.uniform(-3, 3)).astype(np.float32) for _ in range(count)]
    return [*rows, np.zeros(32, np.float32), np.arange(-16, 16, dtype=np.float32), np.full(32, -3.0, np.float32)]


# --- The reference ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["q8_0", "q4_0"])
def test_the_twins_with_no_switch_thrown_are_gguf(name):
    pack, unpack = getattr(lab_2_packing, f"pack_{name}"), getattr(lab_2_packing, f"unpack_{name}")
    for row in rows_of_all_sizes():
        theirs = lab_2_packing.gguf_pack(row, name)
        assert np.array_equal(pack(row), theirs)
        assert np.array_equal(unpack(theirs), lab_2_packing.gguf_unpack(theirs, name))


@pytest.mark.parametrize("name", ["q8_0", "q4_0"])
def test_gguf_s_bytes_are_the_course_s(name):
    import torch

    for row in rows_of_all_sizes(50):
        assert np.array_equal(lab_2_packing.gguf_pack(row, name), encode(torch.from_numpy(row), name).numpy())


def test_half_away_is_gguf_s_rounding():
    x = np.concatenate([np.arange(-40, 40) / 4, [np.nextafter(0.5, 0), -np.nextafter(2.5, 0)]]).astype(np.float32)
    assert np.array_equal(lab_2_packing.half_away(x), quants.np_roundf(x))
    assert lab_2_packing.half_away(np.float32(0.49999997)) == 0


# --- q8_0 and q4_0 ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", CHECKS)
def test_gguf_passes(name, said):
    check(name)(CHECKS[name].right)
    assert all(line.endswith(": right.") for line in said().splitlines())


@pytest.mark.parametrize(("name", "line"), [(name, line) for name in CHECKS for line in CHECKS[name].slips])
def test_every_slip_is_named(name, line, said):
    check(name)(partial(CHECKS[name].twin, **CHECKS[name].slips[line]))
    assert said().splitlines()[-1].endswith(f"Not yet: {line}")


def test_two_slips_at_once_are_both_named(said):
    switches = {"offset": 0, "first": "high"}
    lab_2.check_pack_q4_0(partial(lab_2_packing.pack_q4_0, **switches))
    lines = [line for line, thrown in CHECKS["pack_q4_0"].slips.items() if thrown.items() <= switches.items()]
    assert said().endswith(f"Not yet: perhaps two things at once. First, {lines[0]} Second, {lines[1]}")


def spoil(row):
    row *= 2
    return np.zeros(34, np.uint8)


def floats(row):
    return np.concatenate([np.abs(row).max(keepdims=True) / 127, row]).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "function", "message"),
    [
        (
            "pack_q8_0",
            partial(lab_2_packing.pack_q8_0, rounding="even"),
            "halves. Not yet: numpy's round takes a half to the even neighbour",
        ),
        ("pack_q8_0", lambda row: np.zeros(34, np.uint8), "byte 1 is 0 and in gguf 56. Does it look at what"),
        ("pack_q8_0", lambda row: None, "is there a return?"),
        ("pack_q8_0", spoil, "it changes what it was given"),
        ("pack_q8_0", floats, "it gives 132 bytes; right are 34: scale and steps are still numbers"),
        ("pack_q8_0", lambda row: np.zeros(36, np.uint8), "it gives 36 bytes; right are 34: the scale takes 4 bytes"),
        ("pack_q8_0", lambda row: np.zeros(32, np.uint8), "the scale is missing"),
        ("pack_q8_0", lambda row: np.zeros(34, np.int8), "numbers of type int8; they should be uint8"),
        ("pack_q8_0", lambda row: np.zeros((2, 17), np.uint8), "it gives shape [2, 17]; right is [34]."),
        ("pack_q8_0", lambda row: row[32], "it raised IndexError"),
        ("pack_q4_0", lambda row: np.zeros(34, np.uint8), "two of them share one"),
        ("pack_q4_0", lambda row: lab_2_packing.pack_q4_0(row[::-1].copy()), "in gguf"),  # the row turned round
        ("unpack_q8_0", lambda packed: packed[2:].view(np.int8) * packed[:2].view(np.float16), "type float16"),
        ("unpack_q8_0", lambda packed: lab_2_packing.unpack_q8_0(packed)[::-1], "number 0 is"),
        ("unpack_q4_0", lambda packed: lab_2_packing.unpack_q4_0(packed)[:16], "each byte holds two codes"),
        (
            "unpack_q4_0",
            lambda packed: lab_2_packing.unpack_q4_0(packed, offset=7),  # off by one
            "number 0 is 3.5 and in gguf 4.",
        ),
        ("unpack_q4_0", lambda packed: np.ones(32, np.float32), "Does it look at what it is given?"),
    ],
)
def test_typical_wrong_answers(name, function, message, said):
    check(name)(function)
    assert message in said().splitlines()[-1]


def test_random_rows_alone_would_let_the_wrong_rounding_pass():
    rows = rows_of_all_sizes(300)[:300]
    same = [
        np.array_equal(lab_2_packing.pack_q8_0(row, rounding="even"), lab_2_packing.gguf_pack(row, "q8_0"))
        for row in rows
    ]
    assert all(same)


@pytest.mark.parametrize(
    "check",
    [
        *map(check, [*CHECKS, "round_away"]),
        lab_2_dials.check_token_bytes,
        lab_2_dials.check_find_cheapest,
        lab_2_dials.check_per_channel,
    ],
)
def test_a_stub_s_sentence_passes_through(check):
    def stub(*arguments):
        raise NotImplementedError("Write me.")

    with pytest.raises(NotImplementedError, match="Write me"):
        check(stub)


# --- By hand ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lab_2_packing.half_away, "Stage 4 of 4, just below a half: right."),
        (np.round, "halves above zero. Not yet: numpy's round takes a half to the even neighbour"),
        (lambda x: np.floor(x + 0.5), "halves below zero. Not yet: a half goes up in yours"),
        (np.trunc, "easy ones. Not yet: what is behind the point is cut off"),
        (np.floor, "easy ones. Not yet: everything is rounded down"),
        (lambda x: np.sign(x) * np.floor(np.abs(x) + np.float32(0.5)), "0.49999997 becomes 1"),
        (np.ceil, "2.4 becomes 3; it should become 2."),
        (lambda x: 1.0, "it gives shape ()"),
        (lambda x: x.astype(int)[9], "it raised IndexError"),
    ],
)
def test_rounding(function, message, said):
    lab_2.check_round_away(function)
    assert message in said().splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("steps", [3, -7, 2, -1], "Right: [3, -7, 2, -1]."),
        ("steps", np.array([3.0, -7.0, 2.0, -1.0]), "Right"),
        ("steps", [2, -7, 2, 0], "a half goes away from zero: 2.5 becomes 3"),
        ("steps", [7, -20, 5, -1], "number of largest size, -3.5"),
        ("steps", [3, -7, 2], "there are 3 numbers; it should be 4."),
        ("steps", [3, -8, 2, -1], "number 2 of the 4 is not right."),
        ("steps", ..., "a list of 4 numbers is asked for"),
        ("codes", [0, 6, 7, 15], "Right"),
        ("codes", [0, 6, 7, 16], "ends at 15"),
        ("codes", [-8, -2, -1, 7], "a code is the step plus 8"),
        ("codes", [0, 5, 6, 15], "the 0.5 is missing"),
        ("codes", [15, 11, 9, 0], "the scale is -0.5"),
        ("bytes", [112, 246], "Right"),
        ("bytes", [96, 247], "neighbours share a byte"),
        ("bytes", [7, 111], "yours are swapped"),
        ("bytes", [112, 245], "number 2 of the 2 is not right."),
    ],
)
def test_by_hand(name, answer, message, said):
    check(f"hand_{name}")(answer)
    assert message in said()


def test_the_small_groups_follow_the_real_formats():
    """The lab's groups of 4, with zeros behind them, through gguf: the same codes, two to a byte of the same halves."""
    group = np.array([4.0, 1.25, 0.6, -4.0], dtype=np.float32)
    row = np.zeros(32, dtype=np.float32)
    row[[0, 1, 16, 17]] = group  # first half, second half
    assert quants.quantize(row[None], GGMLQuantizationType.Q4_0)[0, 2:4].tolist() == [112, 246]
    assert (np.array([0, 6, 7, 15]) - 8).tolist() == [-8, -2, -1, 7]
    assert lab_2_packing.half_away(np.array([1.25, -3.5, 0.9, -0.25]) / 0.5).tolist() == [3, -7, 2, -1]


# --- The two dials ---------------------------------------------------------------------------------------------------
ROW_BYTES = {"fp16": 64, "q8_0": 34, "q5_0": 22, "q4_0": 18}


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (KVShape(4, 4, 32).bytes_per_token, "Stage 3 of 3, q5_0: right."),
        (lambda pair: sum(ROW_BYTES[name] for name in pair), "that is one row of K and one of V"),
        (lambda pair: 4 * sum(ROW_BYTES[name] for name in pair), "one layer, or one KV head"),
        (lambda pair: 32 * sum(ROW_BYTES[name] for name in pair), "8 query heads"),
        (lambda pair: 16 * ROW_BYTES[pair[0]], "V is not counted"),
        (lambda pair: 32 * ROW_BYTES[pair[0]], "V has a format of its own"),
        (lambda pair: 32 * ROW_BYTES[pair[1]], "K has a format of its own"),
        (lambda pair: 2048, "for ('q8_0', 'q4_0') it gives 2048 bytes; right is 832."),
        (lambda pair: ROW_BYTES[pair], "it raised KeyError"),
    ],
)
def test_token_bytes(function, message, said):
    lab_2_dials.check_token_bytes(function)
    assert message in said().splitlines()[-1]


def cheapest_first(pairs, cost, right, at_least):
    return next((pair for pair in sorted(pairs, key=cost) if right(pair) >= at_least), None)


def from_above(pairs, cost, right, at_least):
    best = None
    for pair in sorted(pairs, key=cost, reverse=True):
        if right(pair) < at_least:
            return best
        best = pair
    return best


def measures_all(pairs, cost, right, at_least):
    good = [pair for pair in pairs if right(pair) >= at_least]
    return min(good, key=cost, default=None)


def measures_twice(pairs, cost, right, at_least):
    for pair in sorted(pairs, key=cost):
        if right(pair) >= at_least and right(pair):
            return pair
    return None


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (cheapest_first, "Stage 5 of 5, no more measured than needed: right."),
        (
            lambda p, c, r, n: next((x for x in sorted(p, key=c) if r(x) > n), None),
            "just enough right. Not yet: a pair",
        ),
        (lambda p, c, r, n: next(x for x in p if r(x) >= n), "go through them by their cost"),
        (lambda p, c, r, n: max(p, key=r), "that is the pair with most right"),
        (lambda p, c, r, n: min(p, key=c), "which gets 3 right; 7 are needed: look at the next."),
        (from_above, "a dearer pair may get fewer right than a cheaper one"),
        (lambda p, c, r, n: cheapest_first(p, c, r, n) or max(p, key=r), "11 are needed: give None then."),
        (measures_all, "it measures 5 pairs where 3 pairs are enough"),
        (measures_twice, "it measures a pair twice"),
        (lambda p, c, r, n: cheapest_first(p, c, r, n)[::-1], "K comes first, then V"),  # turned round
        (lambda p, c, r, n: ("b", "c"), "('b', 'c'), which is not one of the pairs"),  # constant
        (lambda p, c, r, n: None, "is there a return?"),
        (lambda p, c, r, n: 30, "it gives 30; a pair, or None, is asked for."),
        (lambda p, c, r, n: sorted(p, key=c)[len(p)], "it raised IndexError"),
    ],
)
def test_the_search(function, message, said):
    lab_2_dials.check_find_cheapest(function)
    assert message in said().splitlines()[-1]


def round_trip(rows):
    return np.stack([lab_2_packing.unpack_q4_0(lab_2_packing.pack_q4_0(row)) for row in rows])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda rows: round_trip(rows.T).T, "Stage 2 of 2, random rows: right."),
        (round_trip, "each token's row is a group in yours"),
        (lambda rows: round_trip(rows.T), "the result lies on its side"),
        (lambda rows: rows, "those are the rows as they were"),
        (lambda rows: round_trip(rows.T)[:5], "it gives shape [5, 32]; right is [32, 32]."),
        (lambda rows: round_trip(rows.T).T + 1, "100% of the numbers are not what gguf reads."),
    ],
)
def test_keys_per_channel(function, message, said):
    lab_2_dials.check_per_channel(function)
    assert message in said().splitlines()[-1]


# --- The prose, and the saved outputs --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def lab():
    return nbformat.read(MASTER, as_version=4)


def test_the_minutes_add_up(lab):
    prose = "\n".join(cell.source for cell in lab.cells if cell.cell_type == "markdown")
    parts = [12, 18, 20, 20, 5]
    assert prose.count("\n20 minutes.") == 2 and all(f"\n{minutes} minutes." in prose for minutes in parts)
    assert "About 75 minutes." in prose and sum(parts) == 75


def test_the_exam_is_the_first_quarter_of_the_saved_table(lab):
    """The counts that the master shows are those of the table's first 32 sheets, so the other 96 are unseen."""
    shown = "\n".join(output.get("text", "") for cell in lab.cells for output in cell.get("outputs", []))
    table = load_table()
    for pair in (("fp16", "fp16"), ("q4_0", "q4_0"), ("q5_0", "q5_0"), ("q8_0", "q4_0"), ("q4_0", "q8_0")):
        right = table.find(pair).right
        assert f"K {pair[0]}, V {pair[1]}: {KVShape(4, 4, 32).bytes_per_token(pair)} bytes per token" in shown
        assert f"{sum(right[:32])} of 32 right" in shown
    assert table.facts["worksheets"] == {"count": 128, "n_lines": 40, "seed": 3}
    assert table.facts["decoded_tokens"] == 443


def test_the_search_ends_where_the_prose_says():
    table, pairs = load_table(), [(k, v) for k in ROW_BYTES for v in ROW_BYTES]

    def right(pair):
        return sum(table.find(pair).right[:32])

    found = cheapest_first(pairs, KVShape(4, 4, 32).bytes_per_token, right, right(("fp16", "fp16")) - 1)
    assert found == ("q5_0", "q5_0") and table.find(found).bits == 5.5
    lopsided, reverse = table.find(("q8_0", "q4_0")), table.find(("q4_0", "q8_0"))
    assert lopsided.bits == reverse.bits == 6.5
    assert sum(lopsided.right) <= sum(table.find(found).right) and sum(reverse.right) < sum(lopsided.right)

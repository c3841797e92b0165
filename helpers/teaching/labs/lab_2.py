"""Checks of lab 2, parts 1 to 3: a group by hand, and q8_0 and q4_0 against gguf."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from helpers.teaching.attempts import Complaint, need, result_of
from helpers.teaching.checks import check_stages, in_one_line, stage
from helpers.teaching.labs import lab_2_packing
from helpers.teaching.labs.lab_2_packing import GROUP, Row, Switches, gguf_pack, gguf_unpack, recognise

Function = Callable[..., Any]
N_RANDOM = 300


# --- Rows to try -----------------------------------------------------------------------------------------------------
def _row(*numbers: float) -> Row:
    """A row that starts with these numbers and goes on with zeros."""
    return np.array([*numbers, *[0.0] * (GROUP - len(numbers))], dtype=np.float32)


def _random_rows(count: int = N_RANDOM) -> list[Row]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=GROUP) * 10 ** rng.uniform(-2, 2)).astype(np.float32) for _ in range(count)]


def _rows_near_halves(parts: int) -> list[Row]:
    """Rows whose numbers lie as near to half a step as float32 allows; the largest has ``parts`` steps."""
    rng = np.random.default_rng(1)
    scales = rng.uniform(0.01, 1, size=(N_RANDOM, 1)).astype(np.float32)
    steps = rng.integers(-parts, parts, size=(N_RANDOM, GROUP)) + np.float32(0.5)
    steps[:, 0] = parts
    return list((steps * scales).astype(np.float32))


BY_HAND_Q8_0 = _row(-63.5, 1, 2, -3, 4.5, -10, 60)  # the scale is 0.5
BY_HAND_Q4_0 = np.array(  # the scale is -0.5
    [4.0, *np.arange(-3.5, 3.6, 0.5), *[0.5] * 8, *np.arange(-3.5, 0, 0.5), 2.0], dtype=np.float32
)


# --- Part 1: by hand -------------------------------------------------------------------------------------------------
def check_round_away(function: Function) -> None:
    """``round_away(x)``: whole numbers, halves away from zero."""
    stages = {
        "easy ones": [2.4, 2.6, -2.4, -2.6, 0.0, 7.0],
        "halves above zero": [0.5, 1.5, 2.5],
        "halves below zero": [-0.5, -1.5, -2.5],
        "just below a half": [np.nextafter(np.float32(0.5), np.float32(0)), -0.49999997],
    }
    check_stages(*(stage(name, _require_rounded, function, numbers) for name, numbers in stages.items()))


def _require_rounded(function: Function, numbers: Sequence[float]) -> None:
    x = np.array(numbers, dtype=np.float32)
    found, right = np.asarray(result_of(function, x.copy()), dtype=np.float64), lab_2_packing.half_away(x)
    need(found.shape == right.shape, f"it gives shape {found.shape} for an array of shape {x.shape}.")
    if np.array_equal(found, right):
        return
    for name, line in lab_2_packing.ROUNDING_LINES.items():
        alike = np.array_equal(found, lab_2_packing.ROUNDINGS[name](x))
        need(not alike or max(numbers) == 0.5 - 2**-25, line)
    before = "0.49999997 becomes 1: to add 0.5 rounds up before floor sees it. Compare what is behind the point."
    need(max(numbers) >= 0.5, before)
    where = int(np.flatnonzero(found != right)[0])
    raise Complaint(f"{numbers[where]:g} becomes {found[where]:g}; it should become {right[where]:g}.")


def check_hand_steps(answer: Any) -> None:
    """Steps of 1.25, -3.5, 0.9, -0.25 when the number of largest size is 7 steps."""
    slips = {
        "a half goes away from zero: 2.5 becomes 3, and -0.5 becomes -1.": [2, -7, 2, 0],
        "below zero a half goes away from zero too: -0.5 becomes -1.": [3, -7, 2, 0],
        "round, do not cut: 1.8 becomes 2.": [2, -7, 1, 0],
        "the scale comes from the number of largest size, -3.5, not from the largest.": [7, -20, 5, -1],
        "take the size of -3.5: the scale is 0.5, and signs stay as they are.": [-3, 7, -2, 1],
        "those are the numbers that are read back; how many steps is each?": [1.5, -3.5, 1.0, -0.5],
    }
    _check_list(answer, [3, -7, 2, -1], slips)


def check_hand_codes(answer: Any) -> None:
    """Codes of 4.0, 1.25, 0.6, -4.0 when the number of largest size is -8 steps."""
    slips = {
        "a code has 4 bits and ends at 15: clip 16.": [0, 6, 7, 16],
        "those are steps; a code is the step plus 8.": [-8, -2, -1, 7],
        "here a half goes up: -2.5 + 8.5 is 6.": [0, 5, 7, 15],
        "the 0.5 is missing: add 8.5, then cut.": [0, 5, 6, 15],
        "4.0 must be -8 steps, so the scale is -0.5.": [15, 11, 9, 0],
        "4.0 must be -8 steps, so the scale is -0.5; and codes end at 15.": [16, 11, 9, 0],
    }
    _check_list(answer, [0, 6, 7, 15], slips)


def check_hand_bytes(answer: Any) -> None:
    """The codes 0, 6, 7, 15 in two bytes: the first half in the low bits, the second in the high ones."""
    slips = {
        "neighbours share a byte in yours; code 0 shares one with code 2, and code 1 with code 3.": [96, 247],
        "the first half belongs into the low four bits; yours are swapped.": [7, 111],
        "the high half is moved up by four bits, which is times 16.": [7, 21],
        "neighbours share a byte in yours, and low and high bits are swapped.": [6, 127],
    }
    _check_list(answer, [112, 246], slips)


@in_one_line
def _check_list(answer: Any, right: list[int], slips: dict[str, list[float]]) -> str:
    try:
        found = [float(number) for number in np.asarray(answer).ravel()]
    except (TypeError, ValueError):
        raise Complaint(f"a list of {len(right)} numbers is asked for.") from None
    for line, wrong in slips.items():
        need(found != wrong, line)
    need(len(found) == len(right), f"there are {len(found)} numbers; it should be {len(right)}.")
    off = [str(place) for place, (own, true) in enumerate(zip(found, right, strict=True), start=1) if own != true]
    need(not off, f"number {' and number '.join(off)} of the {len(right)} is not right.")
    return f"{right}."


# --- Parts 2 and 3: pack ---------------------------------------------------------------------------------------------
class Target(NamedTuple):
    """One of the four functions of the lab, and how its results are judged.

    Attributes:
        right: what gguf does.
        twin: the same with a switch for every mistake.
        slips: the lines for the switches.
        kind: type of the result's numbers.
        sizes: what a result of some other size tells; None maps to the right size.
    """

    right: Callable[[Row], Row]
    twin: Callable[..., Row]
    slips: dict[str, Switches]
    kind: str
    sizes: dict[str | None, int]


PACK_Q8_0 = Target(
    partial(gguf_pack, kv_format="q8_0"),
    lab_2_packing.pack_q8_0,
    lab_2_packing.Q8_0_SLIPS,
    "uint8",
    {
        None: 34,
        "the scale takes 4 bytes in yours; as float16 it takes 2": 36,
        "the scale takes 8 bytes in yours; as float16 it takes 2": 40,
        "the scale is missing": 32,
        "a step takes more than a byte in yours; as int8 it takes 1": 66,
        "a step takes 4 bytes in yours; as int8 it takes 1": 130,
        "scale and steps are still numbers; give float16 and int8, and view them as bytes": 132,
    },
)
PACK_Q4_0 = Target(
    partial(gguf_pack, kv_format="q4_0"),
    lab_2_packing.pack_q4_0,
    lab_2_packing.Q4_0_SLIPS,
    "uint8",
    {
        None: 18,
        "each code has a byte of its own; two of them share one": 34,
        "the scale takes 4 bytes in yours; as float16 it takes 2": 20,
        "the scale is missing": 16,
        "scale and codes are still numbers; give float16 and uint8, and view them as bytes": 68,
    },
)
NOT_HALF = {None: 32, "each byte holds two codes": 16, "the scale's two bytes are read as steps too": 34}
UNPACK_Q8_0 = Target(
    partial(gguf_unpack, kv_format="q8_0"),
    lab_2_packing.unpack_q8_0,
    lab_2_packing.UNPACK_Q8_0_SLIPS,
    "float32",
    NOT_HALF,
)
UNPACK_Q4_0 = Target(
    partial(gguf_unpack, kv_format="q4_0"),
    lab_2_packing.unpack_q4_0,
    lab_2_packing.UNPACK_Q4_0_SLIPS,
    "float32",
    NOT_HALF,
)


def check_pack_q8_0(function: Function) -> None:
    """``pack_q8_0(row)``: 32 numbers to 34 bytes, as gguf has them."""
    halves = _row(63.5, 0.25, 0.75, 1.25, -0.25, -0.75, -1.25)
    _check(
        function,
        PACK_Q8_0,
        {
            "a row with scale 0.5": [BY_HAND_Q8_0],
            "halves": [halves],
            "a row of zeros": [_row()],
            f"{N_RANDOM} random rows": _random_rows(),
            "numbers near half a step": _rows_near_halves(127),
        },
    )


def check_pack_q4_0(function: Function) -> None:
    """``pack_q4_0(row)``: 32 numbers to 18 bytes, as gguf has them."""
    _check(
        function,
        PACK_Q4_0,
        {
            "a row with scale -0.5": [BY_HAND_Q4_0],
            "largest size below zero": [-BY_HAND_Q4_0],
            "a number and its mirror image": [_row(4.0, -4.0, 1.0), _row(-4.0, 4.0, 1.0)],
            "halves": [_row(4.0, 0.25, 0.75, 1.25, -0.25, -0.75, -1.25)],
            "a row of zeros": [_row()],
            f"{N_RANDOM} random rows": _random_rows(),
            "numbers near half a step": _rows_near_halves(8),
        },
    )


def check_unpack_q8_0(function: Function) -> None:
    """``unpack_q8_0(packed)``: 34 bytes to 32 numbers, as gguf reads them."""
    _check_unpack(function, UNPACK_Q8_0, PACK_Q8_0, BY_HAND_Q8_0)


def check_unpack_q4_0(function: Function) -> None:
    """``unpack_q4_0(packed)``: 18 bytes to 32 numbers, as gguf reads them."""
    _check_unpack(function, UNPACK_Q4_0, PACK_Q4_0, BY_HAND_Q4_0)


def _check_unpack(function: Function, target: Target, source: Target, by_hand: Row) -> None:
    _check(
        function,
        target,
        {
            "a row with round numbers": [source.right(by_hand)],
            f"{N_RANDOM} random rows": [source.right(row) for row in _random_rows()],
        },
    )


def _check(function: Function, target: Target, stages: dict[str, list[Row]]) -> None:
    first = next(iter(stages.values()))[0]
    check_stages(
        stage("kind and size", _require_kind, function, target, first),
        *(stage(name, _require_rows, function, target, rows) for name, rows in stages.items()),
    )


def _require_kind(function: Function, target: Target, row: Row) -> None:
    given = row.copy()
    found = np.asarray(result_of(function, given))
    need(np.array_equal(given, row), "it changes what it was given; work on a copy.")
    unit, count = ("bytes", found.nbytes) if target.kind == "uint8" else ("numbers", found.size)
    for line, size in target.sizes.items():
        need(not line or count != size, f"it gives {size} {unit}; right are {target.sizes[None]}: {line}.")
    need(found.dtype == target.kind, f"it gives numbers of type {found.dtype}; they should be {target.kind}.")
    right = (target.sizes[None],)
    need(found.shape == right, f"it gives shape {list(found.shape)}; right is {list(right)}.")


def _require_rows(function: Function, target: Target, rows: list[Row]) -> None:
    found = [np.asarray(result_of(function, row.copy())) for row in rows]
    wrong = [place for place, row in enumerate(rows) if not np.array_equal(found[place], target.right(row))]
    if wrong:
        raise Complaint(
            recognise(found, rows, target.twin, target.slips)
            or _first_difference(found[wrong[0]], target.right(rows[wrong[0]]), len(wrong), len(rows))
        )


def _first_difference(found: Row, right: Row, n_wrong: int, count: int) -> str:
    of_rows = f"{n_wrong} of {count} rows differ; in the first, " if count > 1 else ""
    if found.shape != right.shape:
        return f"{of_rows}the result has {found.size} numbers, not {right.size}."
    place = int(np.flatnonzero(found != right)[0])
    name = "byte" if found.dtype == np.uint8 else "number"
    constant = " Does it look at what it is given?" if len(set(found.tolist())) == 1 else ""
    return f"{of_rows}{name} {place} is {found[place]:g} and in gguf {right[place]:g}.{constant}"

"""Lesson 08: moves and habits, a step into holes, figures, the exercises' mistakes, and numbers in its prose."""

import itertools
import json
import random
import re
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from helpers.arithmetic import MODELS, GiB, KVShape
from helpers.arithmetic.holes import (
    FILL,
    REUSE,
    SLIDE,
    WAYS,
    broken_habits,
    fill_holes,
    mask_by_age,
    mask_by_place,
    mask_from_the_end,
    slide_forward,
    take_in,
)
from helpers.cache import attend_with_grid
from helpers.experiments.walls import TINY, grid_lines
from helpers.machine.largest_tensor import largest_tensor
from helpers.models import load_reasoner, load_smollm2, smollm2
from helpers.plots import walls as plots
from helpers.records import load_attention_mass, load_walls
from helpers.records.walls import Way, read_walls
from helpers.teaching.claims import judge, recorded
from helpers.teaching.lessons import lesson_08 as exercises
from helpers.widgets.living.two_walls import FIRST, TwoWalls
from tests.house.notebooks import NOTEBOOKS, lesson_text
from tests.lessons.drawings import drawn


# --- Moves -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("slots", "slid", "filled"),
    [
        ([0, None, 2, 3, None, 5, 6, 7], ([0, 2, 3, 5, 6, 7], 5), ([0, 6, 2, 3, 7, 5], 2)),
        ([0, 1, 2], ([0, 1, 2], 0), ([0, 1, 2], 0)),
        ([0, 1, None], ([0, 1], 0), ([0, 1], 0)),
        ([None, None, 4], ([4], 1), ([4], 1)),
        ([None, None], ([], 0), ([], 0)),
        ([], ([], 0), ([], 0)),
    ],
)
def test_holes_are_closed_by_hand(slots, slid, filled):
    assert slide_forward(slots) == slid and fill_holes(slots) == filled


def test_both_keep_the_rows_and_filling_never_copies_more():
    rng = random.Random(0)
    for _ in range(300):
        slots = [None if rng.random() < 0.4 else token for token in range(rng.randrange(30))]
        (slid, n_slid), (filled, n_filled) = slide_forward(slots), fill_holes(slots)
        assert sorted(filled) == slid == [token for token in slots if token is not None]
        assert n_filled <= n_slid
        assert n_filled == sum(a != b for a, b in zip(filled, slots, strict=False))


def test_new_tokens_go_into_holes_and_what_is_left_to_the_end():
    assert take_in([0, None, 2], [3, 4], REUSE) == ([0, 3, 2, 4], 0)
    assert take_in([0, None, 2, None], [4], REUSE) == ([0, 4, 2, None], 0)
    assert take_in([0, None, 2], [3], FILL) == ([0, 2, 3], 1) == take_in([0, None, 2], [3], SLIDE)
    with pytest.raises(ValueError, match="way is 'up'"):
        take_in([0], [1], "up")


def test_habits_break_where_a_place_is_no_age():
    assert broken_habits(list(range(20)), n_new=4, window=6) == []
    gap = [token for token in range(20) if token not in (10, 16)]  # in order; a hole closed inside the window
    assert broken_habits(gap, 2, 6) == ["sliding window"]
    assert broken_habits([token for token in range(20) if token != 3], 2, 6) == ["hash of the first block"]
    assert broken_habits([*range(8), 9, 8, *range(10, 20)], 2, 6) == []  # a swap that none of the five sees
    assert broken_habits([*range(18), 19, 18], 2, 6) == ["mask of a step with several tokens"]
    assert "taking back the newest tokens" in broken_habits([19, *range(19)], 1, 6)


def test_a_mask_from_the_end_is_flash_attentions():
    # The example of its documentation: two queries and five keys, and what the first of them sees of a row with a hole.
    assert mask_from_the_end([0, 1, 2, 3, 4], n_new=2) == [[True] * 4 + [False], [True] * 5]
    assert mask_from_the_end([0, None, 4, 2, 3], n_new=2) == [
        [True, False, True, True, False],
        [True, False] + [True] * 3,
    ]
    rows = [None if token % 5 == 2 else token for token in range(30)]
    assert mask_from_the_end(rows, n_new=4) == mask_by_age(rows, n_new=4) == mask_by_place(rows, n_new=4)


def test_what_the_first_of_ten_sees_of_our_page():
    slots = into_holes(113, 10, seed=3)
    first = {slot for slot, seen in zip(slots, mask_from_the_end(slots, 10)[0], strict=True) if seen}
    right = {slot for slot, seen in zip(slots, mask_by_age(slots, 10)[0], strict=True) if seen}
    assert len(first) == 98 == len(right) and len(first - right) == len(right - first) == 9
    assert "It sees nine tokens newer than itself, and misses nine older ones" in text()


def test_sliding_breaks_only_what_gaps_break():
    rng = random.Random(1)
    for _ in range(100):
        gone = set(rng.sample(range(40), 10))
        row, _ = take_in([None if token in gone else token for token in range(40)], range(40, 44), SLIDE)
        assert set(broken_habits(row, 4, 12)) <= {"sliding window", "hash of the first block"}


# --- Allocations -----------------------------------------------------------------------------------------------------
def test_the_largest_tensor_is_the_grid_or_the_output():
    q, k = torch.randn(1, 8, 128, 16), torch.randn(1, 4, 128, 16)
    assert largest_tensor(lambda: attend_with_grid(q, k, k, None, 0.25)) == 8 * 128 * 128 * 4
    fast = largest_tensor(lambda: scaled_dot_product_attention(q, k, k, is_causal=True, enable_gqa=True))
    assert fast == q.nbytes


def test_the_largest_tensor_is_found_between_and_in_any_mode():
    def run():
        return (torch.ones(1_000) * 2)[:3].sum()

    assert largest_tensor(run) == 4_000
    with torch.inference_mode():
        assert largest_tensor(run) == 4_000
    assert largest_tensor(lambda: None) == 0


# --- A step into holes -----------------------------------------------------------------------------------------------
def into_holes(old, new, seed):
    """The row of slots after one token in seven was evicted and new ones came."""
    gone = random.Random(seed).sample(range(old), old // 7)
    holes = [None if token in gone else token for token in range(old)]
    return take_in(holes, range(old, old + new), REUSE)[0]


def test_without_holes_a_step_writes_what_the_model_writes():
    reasoner = load_reasoner()
    text = torch.arange(3, 23)[None]
    mask, inputs = mask_by_age(list(range(20)), n_new=4), text
    with torch.inference_mode():
        for _ in range(3):
            inputs = torch.cat([inputs, reasoner.model(inputs).logits[:, -1:].argmax(-1)], dim=1)
    expected = reasoner.tokenizer.decode(inputs[0, 20:].tolist())
    assert exercises.read_into_holes(reasoner, text, list(range(20)), mask, count=3) == expected


def test_the_order_of_slots_changes_nothing_by_age():
    reasoner, text = load_reasoner(), torch.arange(3, 23)[None]
    said = set()
    for slots in ([*range(20)], [*range(16, 20), *range(16)], [*reversed(range(20))]):
        said.add(exercises.read_into_holes(reasoner, text, slots, mask_by_age(slots, n_new=4), count=4))
    assert len(said) == 1


def test_a_model_with_windows_is_refused_in_one_line():
    shape = KVShape.from_config(MODELS["Gemma-3-27B"].config)
    with pytest.raises(ValueError, match="it has layers with sliding windows"):
        exercises.ferry_ids(SimpleNamespace(name="it", shape=shape))


@pytest.mark.skipif(not smollm2.is_converted(), reason="SmolLM2 is not installed")
def test_how_often_the_boy_has_his_name():
    course = load_smollm2()
    ferry = exercises.ferry_ids(course)
    words = [course.tokenizer.decode([token]) for token in ferry[0].tolist()]
    assert len(words) == 123 and "".join(words[-8:]) == "The boy who holds the rope is called"
    found = {"age": set(), "place": set(), "end": set()}
    for seed in range(10):
        slots = into_holes(113, 10, seed)
        for name, mask in (("age", mask_by_age), ("place", mask_by_place), ("end", mask_from_the_end)):
            if exercises.read_into_holes(course, ferry, slots, mask(slots, 10), count=2) == " Anders":
                found[name].add(seed)
    name_lost = {seed for seed in range(10) if not {63, 64} <= set(into_holes(113, 10, seed))}
    assert (len(found["age"]), len(found["place"])) == (6, 3) and found["age"] == set(range(10)) - name_lost
    assert found["end"] == found["age"]
    assert "finds *Anders* in six; in the others the name itself was evicted" in text()
    assert "Counted from the end it is found in the same six, by place in three" in text() and words[63:65] == [
        " And",
        "ers",
    ]


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_every_note_is_drawn_twice():
    left, right = drawn(plots.notes_in_two_orders([" a", " $b", "\n"], [2, 0, 1]))
    assert [note.get_text() for note in left.texts] == ["a", r"\$b", "↵"]
    assert [note.get_text() for note in right.texts] == ["↵", "a", r"\$b"]
    assert "shuffled" in right.get_title("left")


def test_notes_fill_lines_as_on_a_page():
    words = ["word"] * 40
    left, _ = drawn(plots.notes_in_two_orders(words, range(40)))
    places = [note.get_position() for note in left.texts]
    assert len({y for _, y in places}) > 1 and max(x for x, _ in places) < plots.PANEL
    assert places == sorted(places, key=lambda place: (place[1], place[0]))


def test_prices_are_drawn_in_milliseconds_and_bytes():
    prices = read_walls({"prompt": list(grid_lines(TINY, (64, 128), "cpu")), "decoded token": []}).prompt
    time, memory = drawn(plots.price_of_weights(prices))
    assert time.lines[0].get_ydata().tolist() == [1e3 * price.with_grid.seconds for price in prices]
    assert [list(line.get_ydata()) for line in memory.lines] == [
        [price.grid_bytes for price in prices],
        [price.without.largest for price in prices],
    ]


# --- The price on a published layer ----------------------------------------------------------------------------------
def walls_line(length, way, seconds=None, largest=None, error=None):
    sizes = {"length": length, "queries": length, "grid_bytes": 4 * length**2}
    return sizes | {"way": way, "seconds": seconds, "largest": largest, "error": error}


def test_prices_are_read_back_side_by_side():
    lines = [walls_line(64, "with the grid", 0.5, 4096), walls_line(64, "without", 0.125, 1024)]
    lines += [walls_line(128, "with the grid", error="no memory"), walls_line(128, "without", 0.25, 2048)]
    report = {"machine": {"device": "cuda", "gpu": "a card", "torch": "2.13.0"}, "date": "2026-11-22"}
    found = read_walls(report | {"prompt": lines, "decoded token": lines[:2]})
    assert found.made_on == "a card, torch 2.13.0, 2026-11-22"
    short, long = found.prompt
    assert (short.length, short.grid_bytes, short.ratios) == (64, 16_384, (4, 4))
    assert (long.length, long.ratios, long.with_grid.error) == (128, None, "no memory")
    assert [str(way) for way in (short.with_grid, long.with_grid)] == ["500.0 ms, 4.0 KiB", "out of memory"]
    assert found.decoded == [short]
    assert short.without == Way(0.125, 1024, None)


def test_the_recorded_prices_are_those_of_the_layer_that_the_text_names():
    """Whatever machine the record comes from."""
    found, shape = load_walls(), KVShape.from_config(MODELS["Qwen3-8B"].config)
    assert found.facts["heads"] == {"n_heads": 32, "n_kv_heads": shape.n_kv_heads, "head_dim": shape.head_dim}
    assert found.facts["command"].startswith("python -m helpers.experiments.walls --device ")
    assert [at.length for at in found.prompt] == sorted(at.length for at in found.prompt)
    itemsize = 4 if found.facts["dtype"] == "float32" else 2
    for at in found.prompt:
        assert at.grid_bytes == 4 * 32 * at.length**2
        assert at.with_grid.error or at.with_grid.largest == at.grid_bytes
        assert at.without.largest == itemsize * 32 * 128 * at.length
    assert found.prompt[-1].with_grid.error and not found.prompt[-1].without.error


def test_the_saved_lesson_shows_the_recorded_prices():
    """Whoever measures again must run this lesson again, and lesson 12 after it."""
    cells = {cell["id"]: cell for cell in json.loads(text())["cells"]}
    table = "".join(cells["walls-price"]["outputs"][0]["text"])
    found = load_walls()
    assert found.made_on in table and found.facts["dtype"] in table
    for at in found.prompt:
        line = rf"^ *{at.length:,} +{re.escape(str(at.with_grid))} +{re.escape(str(at.without))}"
        assert re.search(line, table, re.M)
        assert not at.with_grid.error or at.with_grid.error in table


def test_what_is_said_of_the_recorded_prices():
    found = {at.length: at for at in load_walls().prompt}
    times = [at.ratios[0] for at in found.values() if at.ratios]
    assert all(4.5 < slower < 6 for slower in times) and "took five times as long with the grid" in text()
    assert found[2_048].ratios[1] == 16 and recorded(NOTEBOOKS)["A10"]["bytes_ratio"] == 32
    assert "At 2,048 tokens Qwen's grid is 16 times the output, and SmolLM2's 32 times" in text()
    assert list(found.values())[-1].grid_bytes == 32 * GiB and "one layer's grid would take 32 GiB" in text()
    assert load_walls().decoded[-1].grid_bytes == 2 * 2**20 and "its line of the grid is 2 MiB" in text()


# --- Exercises -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "words"),
    [
        (exercises.check_copies, 5, "Right"),
        (exercises.check_copies, 3, "filling the holes"),
        (exercises.check_copies, 7, "0 and 1"),
        (exercises.check_copies, 8, "a hole is not copied"),
        (exercises.check_equal, 1_024, "Right"),
        (exercises.check_equal, 4_096, "8 KV heads"),
        (exercises.check_equal, 2_048, "4 bytes"),
        (exercises.check_equal, 32, "all 32 layers"),
        (exercises.check_equal, 32_768, "for one head"),
    ],
)
def test_numbers_are_checked_and_mistakes_named(check, answer, words, capsys):
    check(answer)
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda new, rows: rows[None] <= new[:, None], "Right"),
        (lambda new, rows: (rows[None] <= new[:, None]).int(), "Right"),
        (lambda new, rows: rows[None] < new[:, None], "see itself"),
        (lambda new, rows: rows[None] >= new[:, None], "other way round"),
        (lambda new, rows: torch.arange(len(rows))[None] <= new[:, None], "goes by place; ask the labels"),
        (lambda new, rows: torch.ones(len(new), len(rows)), "all is seen"),
        (lambda new, rows: rows[:, None] <= new[None], "one line per new token"),
        (lambda new, rows: rows, "has shape"),
        (lambda new, rows: torch.zeros(len(new), len(rows)), "yours says False"),
        (lambda new, rows: 1 / 0, "ZeroDivisionError"),
        (3, "not int"),
        (..., "Not yet"),
    ],
)
def test_the_mask_is_checked(answer, words, capsys):
    exercises.check_sees(answer)
    assert words in capsys.readouterr().out


# --- Numbers in the prose --------------------------------------------------------------------------------------------
def text():
    return lesson_text("08")


def test_answers_about_the_holes():
    picture = TwoWalls()
    frames = {way: picture.frame(FIRST | {"way": way}) for way in WAYS}
    found = {way: (len(frame["wrong"]), frame["copies"]) for way, frame in frames.items()}
    assert found == {REUSE: (5, 0), FILL: (3, 4), SLIDE: (1, 6)}
    assert frames[SLIDE]["wrong"] == ["hash of the first block"]
    assert "after 6 copies. Filling copies 4 rows, and three things" in text()
    choices = [list(gone) for gone in itertools.combinations(FIRST["row"], len(FIRST["gone"]))]
    right = [gone for gone in choices if not picture.frame(FIRST | {"gone": gone})["differ"]]
    assert right == [[7, 8, 9, 10, 11]] and "five newest, 7 to 11" in text()
    assert picture.frame(FIRST | {"way": SLIDE, "window": True})["differ"] == 3 and "3 cells are wrong" in text()


def test_answers_about_the_grid():
    tiles = TwoWalls(wall="tiles").data["tiles"]
    short, long = tiles["memory"][2:]
    assert (long["grid_words"], short["grid_words"]) == ("2,048.0 GiB", "32.0 GiB")
    assert (long["tiles_words"], short["tiles_words"]) == ("34.0 MiB", "6.0 MiB")
    assert long["grid"] == 64 * short["grid"] and f"{long['tiles'] / short['tiles']:.1f}" == "5.7"
    assert "64 times as much, 2,048 GiB instead of 32; the tiles 5.7 times, 34 MiB instead of 6" in text()
    sums = tiles["steps"][-1]["sums"]
    assert tiles["tokens"][sums.index(max(sums))] == "The" and '\\"The\\", says the grid' in text()


def test_where_attention_goes():
    found = load_attention_mass()
    shares = {name: found.interval(name)[0] for name in found.heads}
    five = [share for layer in found.heads["five"] for share in layer]
    assert 0.6 < shares["five"] < 2 / 3 and "nearly two thirds of the attention" in text()
    assert 0.23 < sum(share < 0.5 for share in five) / len(five) < 0.27 and "a quarter of the heads" in text()
    assert sum(found.heads["five"][0]) / 9 < 0.15 and "in layer 0 attention is spread thin" in text()
    both, rows = shares["first"] + shares["near"], found.rows["first"] + found.rows["near"]
    assert (f"{both:.0%}", f"{1 - both:.0%}", f"{rows:.0%}") == ("59%", "41%", "3%")
    assert "With the last sixteen they are 3% of the rows and get 59%" in text() and "the other 41%" in text()
    assert min(found.windows["first"]) > 0.25 and "in every window, whatever they say" in text()
    assert f"{shares['tenth']:.0%}" == "91%" and "a tenth of the notes got 91%" in text()


def test_the_claims_are_recorded_and_judged():
    values = recorded(NOTEBOOKS)
    for claim in ("A4", "A9", "A10"):
        verdict, _ = judge(claim, values)
        assert verdict == "holds in part"
    assert text().count("**holds in part**") == 3


def test_what_the_grid_costs_at_home():
    n_heads = MODELS["Qwen3-8B"].config["num_attention_heads"]
    rooms = [4 * n_heads * piece * 32_768 / GiB for piece in (512, 128)]
    assert rooms == [2, 0.5] and "| `--flash-attn off` | 2 GiB |" in text()
    assert "`--flash-attn off --ubatch-size 128`: four times as many pieces | 0.5 GiB |" in text()

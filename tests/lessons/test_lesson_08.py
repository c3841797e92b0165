"""Lesson 08: moves and habits, figures, the exercises' mistakes, and numbers in its prose."""

import io
import itertools
import json
import random
import re

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from helpers.arithmetic import MODELS, KVShape
from helpers.arithmetic.holes import FILL, REUSE, SLIDE, WAYS, broken_habits, fill_holes, slide_forward, take_in
from helpers.cache import attend_with_grid
from helpers.machine.largest_tensor import largest_tensor
from helpers.plots import walls as plots
from helpers.records import load_walls
from helpers.records.walls import Way, read_walls
from helpers.teaching.claims import judge, recorded
from helpers.teaching.lessons import lesson_08 as exercises
from helpers.widgets.living.two_walls import FIRST, TwoWalls
from tests.house.notebooks import NOTEBOOKS, lesson_text


def drawn(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure.axes


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


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_the_table_of_heads_shows_its_numbers():
    [ax] = drawn(plots.mass_by_head(np.array([[0.1, 0.9], [0.5, 0.25]])))
    assert [text.get_text() for text in ax.texts] == ["10%", "90%", "50%", "25%"]
    assert ax.images[0].get_array().tolist() == [[0.1, 0.9], [0.5, 0.25]]


def test_prices_are_drawn_in_milliseconds_and_bytes():
    seconds, largest = {"a": [0.5, 1.0], "b": [0.25, 0.5]}, {"a": [2**20, 2**22], "b": [2**16, 2**17]}
    left, right = drawn(plots.price_of_weights([256, 512], seconds, largest))
    assert [line.get_ydata().tolist() for line in left.lines] == [[500, 1000], [250, 500]]
    assert [list(line.get_ydata()) for line in right.lines] == [[2**20, 2**22], [2**16, 2**17]]


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
    table, dead = ("".join(cells[name]["outputs"][0]["text"]) for name in ("5d1c9a71", "5d1c9a73"))
    found = load_walls()
    assert found.made_on in table and found.facts["dtype"] in table
    for at in found.prompt:
        assert re.search(
            rf"^ *{at.length:,} +{re.escape(str(at.with_grid))} +{re.escape(str(at.without))}", table, re.M
        )
        assert not at.with_grid.error or at.with_grid.error in dead


# --- Exercises -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "words"),
    [
        (exercises.check_copies, 5, "Right"),
        (exercises.check_copies, 3, "filling the holes"),
        (exercises.check_copies, 7, "0 and 1"),
        (exercises.check_copies, 8, "a hole is not copied"),
        (exercises.check_grid, 32 * 32_768**2 * 4 / 2**30, "Right"),
        (exercises.check_grid, 32, "8 KV heads"),
        (exercises.check_grid, 64, "4 bytes"),
        (exercises.check_grid, 4_096, "all 32 layers"),
        (exercises.check_grid, 137.44, "in GB"),
        (exercises.check_grid, 4 / 1_024, "one query's row"),
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
        (lambda new, rows: torch.arange(len(rows))[None] <= new[:, None], "goes by place"),
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
    assert tiles["tokens"][sums.index(max(sums))] == "The"


def test_the_claims_are_recorded_and_judged():
    values = recorded(NOTEBOOKS)
    assert judge("A9", values)[0] == "holds in part"
    assert judge("A10", values)[0] == judge("A4", values)[0] == "holds"

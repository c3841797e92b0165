"""Lesson 07: what its figures draw, what its control says, its exercises' mistakes, and numbers in its prose."""

import io
import re
from math import comb

import numpy as np
import pytest
import torch

from helpers.cache import blocks_for, expected_empty_blocks
from helpers.plots import garage as plots
from helpers.records import load_garage
from helpers.teaching.claims import judge, recorded
from helpers.teaching.lessons import lesson_07 as exercises
from helpers.widgets import garage
from helpers.widgets.garage import ALONE, LATEST, OFF, ON, RUNS, TOGETHER
from helpers.widgets.living import Garage
from tests.house.notebooks import NOTEBOOKS, lesson_text

FREED = re.compile(r"Freed: (\d+) of (\d+) floors \(([\d.]+)%\); expected ([\d.e-]+) \((.+?)\)")
BY_LOT = "by lot, one by one"


def drawn(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure.axes


def said(caption):
    freed, of, share, expected, source = FREED.search(caption).groups()
    assert share == f"{100 * int(freed) / int(of):.1f}"
    return int(freed), int(of), float(expected), source


# --- Who stays -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("tokens", "survivors", "length"), [(100, 10, 1), (100, 10, 4), (64, 64, 16), (30, 1, 4)])
def test_survivors_are_as_many_as_asked_for_and_stand_in_runs(tokens, survivors, length):
    for seed in range(20):
        alive = garage.survivors_in_runs(np.random.default_rng(seed), tokens, survivors, length)
        assert alive.shape == (tokens,) and alive.sum() == survivors
        edges = np.flatnonzero(np.diff(np.concatenate([[0], alive.astype(int), [0]])))
        runs = np.diff(edges)[::2]
        assert sum(runs % length != 0) <= 1, runs  # whole runs, which may touch, and the shorter last one


def test_single_survivors_are_uniform():
    counts = sum(garage.survivors_in_runs(np.random.default_rng(seed), 6, 2, 1).astype(int) for seed in range(3_000))
    assert np.allclose(counts / 3_000, 2 / 6, atol=0.035)


def test_runs_have_equal_chances_in_all_places():
    places = [tuple(np.flatnonzero(garage.survivors_in_runs(np.random.default_rng(s), 5, 3, 3))) for s in range(900)]
    assert {place: places.count(place) for place in set(places)}.keys() == {(0, 1, 2), (1, 2, 3), (2, 3, 4)}
    assert all(250 < places.count(place) < 350 for place in set(places))


@pytest.mark.parametrize("pattern", [*RUNS, LATEST])
@pytest.mark.parametrize("heads", [TOGETHER, ALONE])
def test_heads_choose_together_or_for_themselves(pattern, heads):
    alive = garage.keep_tokens(np.random.default_rng(3), 51, pattern, heads)
    assert alive.shape == (garage.SLOTS, garage.HEADS) and (alive.sum(0) == 51).all()
    agree = (alive == alive[:, :1]).all()
    assert agree == (heads == TOGETHER or pattern == LATEST)


def test_blocks_are_empty_only_when_every_head_has_left():
    alive = np.zeros((8, 2), bool)
    alive[1, 0] = alive[6, 1] = True
    assert [garage.empty_blocks(alive, size) for size in (1, 2, 4, 8)] == [6, 2, 0, 0]
    assert garage.empty_blocks(garage.compacted(alive), 4) == 1
    assert garage.compacted(alive).tolist() == [[True, True]] + 7 * [[False, False]]


# --- The control -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("heads", [TOGETHER, ALONE])
@pytest.mark.parametrize("size", [4, 8, 16, 32])
def test_expectation_is_the_closed_form_and_the_mean_of_the_draws(heads, size):
    expected, source = garage.expect_empty(51, BY_LOT, heads, size)
    n_sets = 1 if heads == TOGETHER else 4
    assert source == "closed form"
    assert expected == pytest.approx(512 // size * (comb(461, size) / comb(512, size)) ** n_sets)
    frames = [said(garage.garage_frame(90, size, BY_LOT, heads, OFF, lots)[1]) for lots in range(1, 31)]
    assert {frame[1:3] for frame in frames} == {(512 // size, float(f"{expected:.4g}"))}
    assert np.mean([frame[0] for frame in frames]) == pytest.approx(expected, abs=0.15 * 512 / size)


@pytest.mark.parametrize("evicted", [0, 50, 90, 99])
@pytest.mark.parametrize("pattern", [*RUNS, LATEST])
def test_compaction_leaves_what_the_rows_need(evicted, pattern):
    survivors = 512 - round(5.12 * evicted)
    freed, of, expected, source = said(garage.garage_frame(evicted, 16, pattern, ALONE, ON, 1)[1])
    assert freed == expected == of - blocks_for(survivors, 16) and source == "no chance in it"


def test_evicting_nothing_frees_nothing_and_one_token_stays():
    assert said(garage.garage_frame(0, 16, BY_LOT, ALONE, OFF, 1)[1])[:3] == (0, 32, 0.0)
    caption = garage.garage_frame(100, 16, BY_LOT, TOGETHER, OFF, 1)[1]
    assert "511 of 512 per head" in caption and said(caption)[0] == 31


def test_the_garage_draws_every_row_kept_and_the_two_bars():
    alive = garage.keep_tokens(np.random.default_rng(1), 51, BY_LOT, TOGETHER)
    top, bottom = drawn(plots.garage(alive.reshape(32, 16, 4), 0.9, 5.8))
    image = np.concatenate([each.get_array().T for each in top.images])  # [slots, heads]
    assert (image == alive).all()
    widths = [bar.get_width() for bar in bottom.patches]
    assert widths == [0.9, garage.empty_blocks(alive, 16) / 32]
    assert [line.get_xdata()[0] for line in bottom.lines] == [5.8 / 32]
    freed, held = (len(collection.get_paths()) for collection in top.collections[-2:][::-1])
    assert freed == garage.empty_blocks(alive, 16) and freed + held == 32


# --- The other figures -----------------------------------------------------------------------------------------------
def points(ax):
    return [tuple(map(tuple, line.get_xydata().tolist())) for line in ax.lines]


def test_shares_are_drawn_as_lines_crosses_and_circles():
    lines = {"a": ((0.5, 1.0), (0.0, 0.9)), "b": ((0.5, 1.0), (0.0, 0.5))}
    [ax] = drawn(plots.freed_by_share([0.6], lines, {"a": [0.1], "b": [0.2]}, {"a": [0.3], "b": [0.4]}))
    hoped, *rest = points(ax)
    assert hoped == ((0, 0), (1, 1))
    assert rest[:3] == [((0.5, 0.0), (1.0, 0.9)), ((0.6, 0.1),), ((0.6, 0.3),)]
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in ax.lines}) == 7


def test_block_sizes_and_policies_are_drawn_as_given():
    [ax] = drawn(plots.freed_by_block_size([1, 2], {"a": [0.9, 0.8], "b": [0.4, 0.1]}, {2: "me"}))
    assert points(ax) == [((1, 0.9), (2, 0.8)), ((1, 0.4), (2, 0.1))]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1\n", "2\nme"]
    [ax] = drawn(plots.freed_by_policy(["P", "Q"], {"shared": [1.0, 35.0], "union": [2.0, 3.0]}, 40, 36))
    assert [bar.get_width() for bar in ax.patches] == [1, 35, 2, 3]
    assert [text.get_text() for text in ax.texts] == ["1.0", "35.0", "2.0", "3.0"]
    assert points(ax)[0][0][0] == 36


# --- Exercises -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "words"),
    [
        (exercises.check_larger_floors, 100 * 0.95**32, "Right"),
        (exercises.check_larger_floors, 0.95**32, "multiply it by 100"),
        (exercises.check_larger_floors, 100 * 0.95**16, "16 slots"),
        (exercises.check_larger_floors, 95, "share of tokens"),
        (exercises.check_larger_floors, 100 * 0.9**32, "90%"),
        (exercises.check_for_nothing, 15_000, "Right"),
        (exercises.check_for_nothing, 1_000, "how many stay"),
        (exercises.check_for_nothing, 15_999, "each must keep one"),
        (exercises.check_for_nothing, 15_984, "each must keep one"),
        (exercises.check_for_nothing, 16_000, "each must keep one"),
        (exercises.check_for_nothing, 14_000, "one is enough"),
        (exercises.check_for_nothing, 14_400, "lesson's example"),
    ],
)
def test_numbers_are_checked_and_mistakes_named(check, answer, words, capsys):
    check(answer)
    assert words in capsys.readouterr().out


def count_right(alive, size):
    return int((~alive.any(0).reshape(-1, size).any(1)).sum())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (count_right, "Right: 6 garages"),
        (lambda a, s: int(a.any(0).reshape(-1, s).any(1).sum()), "blocks that are held"),
        (lambda a, s: int((~a.reshape(len(a), -1, s).any(2)).sum()), "add up the heads"),
        (lambda a, s: int((~a.reshape(len(a), -1, s).any(2)).any(0).sum()), "one head has left"),
        (lambda a, s: int((~a.any(0)).sum()), "empty slots"),
        (lambda a, s: a.nothing, "it raises AttributeError"),
        (lambda a, s: -1, "your count is wrong: -1, not 3"),
        (7, "is a function, not int"),
        (..., "Not yet"),
    ],
)
def test_the_count_of_floors_is_checked(answer, words, capsys):
    exercises.check_count_floors(answer)
    assert words in capsys.readouterr().out


def test_the_check_counts_as_the_pool_does():
    alive = torch.rand(3, 24, generator=torch.Generator().manual_seed(0)) < 0.1
    rows = [[int(x) for x in head] for head in alive]
    assert [exercises._empty(rows, size) for size in (1, 2, 4, 8)] == [count_right(alive, s) for s in (1, 2, 4, 8)]


# --- Numbers in the prose --------------------------------------------------------------------------------------------
def test_answer_1_two_controls_bring_back_28_of_32():
    base = {"evicted": 90, "block_size": 16, "pattern": BY_LOT, "heads": ALONE, "compaction": OFF, "lots": 1}
    for change, freed in (
        ({"compaction": ON}, 28),
        ({"pattern": LATEST}, 28),
    ):
        assert said(garage.garage_frame(**base | change)[1])[0] == freed
    others = [{"heads": TOGETHER}, {"evicted": 99}, *({"pattern": p} for p in RUNS), *({"lots": n} for n in range(31))]
    assert max(said(garage.garage_frame(**base | change)[1])[0] for change in others) < 28


def test_answer_2_half_the_floors_at_96_per_cent():
    expected = {share: garage.expect_empty(512 - round(5.12 * share), BY_LOT, TOGETHER, 16)[0] for share in (95, 96)}
    assert expected[95] < 16 < expected[96]
    text = lesson_text("07")
    assert f"{expected[96]:.2f} of 32" in text and f"it is {expected[95]:.2f}" in text


def test_answers_about_the_real_conversation():
    picture, text = Garage(share=0.9, policy="Random"), lesson_text("07")
    back = {
        (policy, mode, compact): picture.frame(picture.choice | {"policy": policy, "mode": mode, "compact": compact})[
            "floors_back"
        ]
        for policy in load_garage().ranks
        for mode, compact in (("per_layer_per_head", False), ("per_layer_per_head", True), ("shared", False))
    }
    alone = {policy: back[policy, "per_layer_per_head", False] for policy in load_garage().ranks}
    assert back["Random", "shared", False] == 2 and f"{expected_empty_blocks(192, 19, 16):.1f}" == "2.1"
    assert expected_empty_blocks(192, 19, 16, 90) < 1e-66 and "2 of 12; `expected_empty_blocks(192, 19, 16)`" in text
    assert {policy: n for policy, n in alone.items() if n} == {"SnapKV": 7, "StreamingLLM": 10} and len(alone) == 6
    assert {n for (_, _, compact), n in back.items() if compact} == {10}
    rows = picture.frame(picture.choice | {"policy": "StreamingLLM"})["rows"]
    kept = {token for heads in rows.values() for row in heads for token in row if token >= 0}
    assert kept == {*range(4), *range(192 - 15, 192)} and "first 4 tokens and the 15 latest" in text


def test_rounded_numbers_of_the_prose():
    assert f"{expected_empty_blocks(640, 64, 16):.1f}" == "7.3"
    assert round(1 / expected_empty_blocks(640, 64, 16, 4)) == 23
    assert expected_empty_blocks(640, 128, 16) / 40 < 1 / 30
    assert 100 * expected_empty_blocks(16_000, 1_600, 16, 8) < 0.5  # in a hundred such garages most likely none
    assert f"{expected_empty_blocks(16_000, 2_000, 16) / 1_000:.1%}" == "11.8%" and 14_000 / 16_000 == 0.875
    assert f"{1 - 0.9**8:.0%}" == "57%" and f"{0.9**8:.0%}" == "43%"
    assert 36 * 8 == 288


def test_the_claims_are_recorded_and_judged():
    values = recorded(NOTEBOOKS)
    assert judge("A5", values)[0] == "holds in part" and judge("A8", values)[0] == "holds in part"
    assert "18.5%" in judge("A5", values)[1] and "117.9" in judge("A8", values)[1]

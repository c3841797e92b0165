"""Lesson 07: what its figures draw, its exercises' mistakes, what its pictures say when turned, and its numbers."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch

from helpers.arithmetic import MODELS, GiB, KVShape
from helpers.cache import blocks_for, expected_empty_blocks
from helpers.plots import garage as plots
from helpers.records import load_garage, load_story_floors
from helpers.teaching.claims import judge, recorded
from helpers.teaching.lessons import lesson_07 as exercises
from helpers.widgets.living import Garage
from tests.house.notebooks import NOTEBOOKS, lesson_text, read, source, tags
from tests.lessons.drawings import drawn

TEXT = lesson_text("07")


def title(figure):
    return figure.get_suptitle()


# --- The figures -----------------------------------------------------------------------------------------------------
def test_the_garage_draws_every_row_kept_and_the_two_bars():
    alive = np.repeat(np.random.default_rng(1).random((512, 1)) < 0.1, 4, axis=1)
    top, bottom = drawn(plots.garage(alive.reshape(32, 16, 4), 0.9, 5.8))
    image = np.concatenate([each.get_array().T for each in top.images])  # [slots, heads]
    assert (image == alive).all()
    empty = (~alive.reshape(32, 16, 4).any((1, 2))).sum()
    assert [bar.get_width() for bar in bottom.patches] == [0.9, empty / 32]
    assert [line.get_xdata()[0] for line in bottom.lines] == [5.8 / 32]
    freed, held = (len(collection.get_paths()) for collection in top.collections[-2:][::-1])
    assert freed == empty and freed + held == 32


def test_every_way_to_park_is_a_small_garage_whose_empty_floors_are_closed():
    ways = list(combinations(range(4), 2))
    figure = plots.ways_to_park(ways, floors=2, block_size=2)
    [ax] = drawn(figure)
    assert [text.get_text() for text in ax.texts] == ["1 closes", *4 * ["none closes"], "1 closes"]
    cars = [patch for patch in ax.patches if type(patch).__name__ == "FancyBboxPatch"]
    assert len(cars) == 2 * len(ways) and len(ax.patches) - len(cars) == 2 * len(ways)
    assert title(figure) == "Of 6 ways to park, 2 close a floor"


def points(ax):
    return [tuple(map(tuple, line.get_xydata().tolist())) for line in ax.lines]


def test_shares_are_drawn_as_lines_and_marks_with_their_range():
    lines = {"a": {0.5: 0.0, 1.0: 0.9}, "b": {0.5: 0.0, 1.0: 0.5}}
    measured = {case: {0.6: plots.Draws.of([0.1, 0.4, 0.1])} for case in lines}
    figure = plots.freed_by_share(lines, measured, "It lags")
    [ax] = drawn(figure)
    assert points(ax)[:2] == [((0, 0), (1, 1)), ((0.5, 0.0), (1.0, 0.9))]
    [(x, y)] = points(ax)[2]
    assert (x, round(y, 9)) == (0.6, 0.2) and title(figure) == "It lags"
    ranges = [bar.get_segments()[0][:, 1].round(9).tolist() for bar in ax.collections]
    assert ranges == [[0.1, 0.4]] * 2
    assert len({(line.get_color(), line.get_linestyle(), line.get_marker()) for line in ax.lines}) >= 5


def test_exponents_are_drawn_over_the_law():
    figure = plots.freed_by_exponent(
        0.9, {"a": {16: plots.Draws(0.2, 0.1, 0.3)}, "b": {48: plots.Draws(0, 0, 0)}}, "So"
    )
    [ax] = drawn(figure)
    xs, ys = ax.lines[0].get_data()
    assert xs[0] == 1 and xs[-1] > 48 and np.allclose(ys, 0.9 ** np.array(xs))
    assert {((16, 0.2),), ((48, 0),)} <= set(points(ax))


def test_block_sizes_are_drawn_as_given():
    [ax] = drawn(plots.freed_by_block_size([1, 2], {"a": [0.9, 0.8], "b": [0.4, 0.1]}, {2: "me"}))
    assert points(ax) == [((1, 0.9), (2, 0.8)), ((1, 0.4), (2, 0.1))]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1\n", "2\nme"]


def test_rules_are_drawn_in_a_panel_per_mode_with_a_dot_per_story():
    freed = {("P", "shared"): [1, 3], ("Q, not", "shared"): [4, 4], ("P", "union"): [0, 0], ("Q, not", "union"): [2, 0]}
    figure = plots.floors_by_mode(freed, {"shared": ("all", 2.1), "union": ("keen", 0.1)}, 12, "They agree")
    first, second = drawn(figure)
    assert [bar.get_width() for bar in first.patches] == [2, 4] and [bar.get_width() for bar in second.patches] == [
        0,
        1,
    ]
    assert [list(line.get_xdata()) for line in first.lines] == [[1, 3], [4, 4], [2.1, 2.1]]
    assert [label.get_text() for label in first.get_yticklabels()] == ["P", "Q,\nnot"]
    assert (first.get_title(), second.get_title()) == ("all", "keen")


# --- Exercises -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "words"),
    [
        (exercises.check_larger_floors, 100 * 0.95**32, "Right"),
        (exercises.check_larger_floors, 0.95**32, "multiply it by 100"),
        (exercises.check_larger_floors, 100 * 0.95**16, "16 slots"),
        (exercises.check_larger_floors, 95, "share of tokens"),
        (exercises.check_larger_floors, 100 * 0.9**32, "90%"),
        (exercises.check_half_the_floors, 100 * 0.5 ** (1 / 16), "Right"),
        (exercises.check_half_the_floors, 50, "all 16 of its tokens"),
        (exercises.check_half_the_floors, 0.5 ** (1 / 16), "multiply it by 100"),
        (exercises.check_half_the_floors, 100 * (1 - 0.5 ** (1 / 16)), "how many go"),
        (exercises.check_half_the_floors, 100 * 0.5 ** (1 / 32), "floors of 32"),
        (exercises.check_half_the_floors, 100 * 0.5**16, "when half of the tokens go"),
        (exercises.check_half_the_floors, 100 * (1 / 16) ** (1 / 16), "the chance of a floor is 1/2"),
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


# --- What the pictures say when they are turned ----------------------------------------------------------------------
def floors(**choice):
    picture = Garage(**choice)
    return picture.frame(picture.choice)


def telegram():
    hook = source(read(next(NOTEBOOKS.glob("07_*.ipynb"))).cells[1])
    return eval(hook.split("stay = ")[1].splitlines()[0])


def by_hand(stay):
    return floors(policy="by hand", gone=[token for token in range(192) if token not in stay])


def test_the_attendant_keeps_one_token_on_each_floor():
    stay, told = telegram(), load_garage().tokens
    assert len(told) - len(stay) == 180 and len(stay) == 12 and [token // 16 for token in stay] == list(range(12))
    words = "".join(told[token] for token in stay).strip()
    assert f"*{words}*" in TEXT and words == "helpful girl repairs old tower clock. she turned small marvel home"
    assert by_hand(stay)["floors_back"] == 0
    assert by_hand(range(48, 60))["floors_back"] == 11  # "twelve neighbours, all on one floor"


def test_by_hand_a_floor_takes_sixteen_presses():
    frames = [floors(policy="by hand", gone=list(range(16, 16 + presses)))["floors_back"] for presses in range(17)]
    assert frames == 16 * [0] + [1]


def test_the_answers_under_the_control():
    assert floors(share=0.9)["floors_back"] == 0
    assert [floors(share=share)["floors_back"] for share in (0.95, 0.97)] == [0, 0]
    ours, less = (floors(share=share, policy="SnapKV") for share in (0.9, 0.85))
    assert (ours["floors_back"], ours["keep"], less["floors_back"], less["keep"]) == (7, 19, 0, 29)
    assert 29 - 16 == 13  # places that a chooser is free to give, beside the newest 16 tokens
    back = {share: floors(share=share, compact=True)["floors_back"] for share in (0.5, 0.9)}
    assert back == {0.5: 96 // 16, 0.9: 173 // 16} == {0.5: 6, 0.9: 10}
    assert floors(share=0.9)["keep"] == 192 - 173 == 19


def test_what_is_said_of_the_rules():
    freed = load_story_floors().freed
    each = {policy: counts for (policy, mode), counts in freed.items() if mode == "per_layer_per_head"}
    assert each["SnapKV, not smoothed"] == [1, 0, 2, 1] and "gave back 1, 0, 2 and 1 floors" in TEXT
    assert (sum(each["SnapKV, not smoothed"]), sum(each["SnapKV"])) == (4, 27)
    narrow = floors(share=0.88, policy="SnapKV")
    assert (narrow["floors_back"], narrow["keep"]) == (0, 23)
    assert sum(freed["H2O", "shared"]) / 4 == 3.75 and each["H2O"] == [0, 0, 0, 0]
    assert [policy for policy, counts in each.items() if sum(counts) > 4] == ["SnapKV", "StreamingLLM"]
    tidy = floors(share=0.9, policy="StreamingLLM")
    rows = {token for lanes in tidy["rows"].values() for lane in lanes for token in lane if token >= 0}
    assert rows == {*range(4), *range(192 - 15, 192)} and tidy["tables"][0] == [0, 11]


# --- Numbers in the prose --------------------------------------------------------------------------------------------
def test_rounded_numbers_of_the_prose():
    assert f"{expected_empty_blocks(640, 64, 16, 90):.0e}" == "8e-66" and "10⁻⁶⁵" in TEXT
    assert round(1_200 / 40 * expected_empty_blocks(640, 64, 16)) == 218 and 1 / 35 < 0.9**32 < 1 / 25
    assert 1 / 45 < expected_empty_blocks(640, 128, 16) / 40 < 1 / 35  # "one floor in forty"
    assert expected_empty_blocks(640, 64, 1) == 576
    assert f"{expected_empty_blocks(16_000, 1_600, 16) / 1_000:.1%}" == "18.5%"
    assert f"{expected_empty_blocks(16_000, 2_000, 16):.1f}" == "117.9"
    assert comb(2, 2) / comb(4, 2) == 1 / 6
    share = 0.5 ** (1 / 1_440)
    assert f"{share:.2%}" == "99.95%" and round(1 / (1 - share), -3) == 2_000
    assert 40 - blocks_for(64, 16) == 576 // 16 == 36


def test_at_most_seven_predictions_and_none_is_given_away_before():
    cells = read(next(NOTEBOOKS.glob("07_*.ipynb"))).cells
    asked = [i for i, cell in enumerate(cells) if "prediction" in tags(cell)]
    assert len(asked) == 7
    answers = ("Seven.", "about a thirtieth", "Even a floor of one slot stays", "None of ten", "favourite", "6.75")
    answers += ("Thirty-six, after",)
    said = "\n".join(str(output.get("text", "")) for cell in cells[: asked[5]] for output in cell.get("outputs", ()))
    assert "StreamingLLM" in said and "SnapKV" not in said  # its floors are asked for
    for place, words in zip(asked, answers, strict=True):
        assert not any(words in source(cell) for cell in cells[: place + 1])
        assert any(words in source(cell) for cell in cells[place:])


def test_the_claims_are_recorded_and_judged():
    values = recorded(NOTEBOOKS)
    assert judge("A5", values)[0] == "holds in part" and judge("A8", values)[0] == "holds in part"
    assert "18.5%" in judge("A5", values)[1] and "117.9" in judge("A8", values)[1]
    assert all("vLLM" in judge(claim, values)[1] for claim in ("A5", "A8"))


def test_what_comes_back_at_home():
    shape, prose = KVShape.from_config(MODELS["Qwen3-8B"].config), lesson_text("07")
    whole, thin, half = shape.bytes(32_768), shape.bytes(32_768, kv_format="q8_0"), shape.bytes(16_384)
    assert (whole, half) == (4.5 * GiB, 2.25 * GiB) and "| half of `--ctx-size` | 2.25 GiB | 2.25 GiB |" in prose
    assert f"(lesson 05) | {thin / GiB:.1f} GiB | {(whole - thin) / GiB:.1f} GiB |" in prose

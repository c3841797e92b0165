"""The two walls: what Python counts, that JavaScript's twin counts the same, and how the picture stands still."""

import json
import random
import xml.etree.ElementTree as ElementTree

import pytest

from helpers.arithmetic.holes import FILL, REUSE, SLIDE, WAYS, broken_habits, take_in
from helpers.widgets.living.two_walls import BLOCK, FIRST, MOST_NEW, SLOTS, TILES, WALLS, WINDOW, TwoWalls
from tests.widgets.living.node import answers_of


@pytest.fixture(scope="module")
def picture():
    return TwoWalls()


def any_choices(count):
    """Rows as several rounds of evictions leave them, with more evictions by hand; the same ones every time."""
    rng = random.Random(1)
    for _ in range(count):
        row = list(range(SLOTS))
        for _ in range(rng.randrange(4)):
            gone = set(rng.sample([t for t in row if t is not None], 5))
            newest = max(token for token in row if token is not None)
            row, _ = take_in([None if t in gone else t for t in row], range(newest + 1, newest + 5), rng.choice(WAYS))
            row = row[:SLOTS]
        alive = [token for token in row if token is not None]
        gone = rng.sample(alive, rng.randrange(len(alive) + 1))
        yield FIRST | {
            "row": row,
            "gone": gone,
            "way": rng.choice(WAYS),
            "new": rng.randint(1, MOST_NEW),
            "window": rng.random() < 0.5,
        }


def test_the_twin_in_javascript_counts_what_python_counts(picture):
    choices = list(any_choices(1_000))
    found = answers_of("walls_holes.js", "holesFrame", [[choice, picture.data["holes"]] for choice in choices])
    assert found == [picture.frame(choice) for choice in choices]


@pytest.mark.parametrize("choice", list(any_choices(200))[::10])
def test_a_frame_is_that_of_the_row_of_slots(picture, choice):
    frame = picture.frame(choice)
    holes = [None if token in choice["gone"] else token for token in choice["row"]]
    new = range(max(t for t in choice["row"] if t is not None) + 1, 10_000)[: choice["new"]]
    assert (frame["slots"], frame["copies"]) == take_in(holes, new, choice["way"])
    assert frame["wrong"] == broken_habits(frame["slots"], choice["new"], WINDOW, BLOCK)
    cells = zip(sum(frame["age"], []), sum(frame["place"], []), strict=True)
    assert frame["differ"] == sum(age != place for age, place in cells)


@pytest.mark.parametrize(("way", "copies", "differ"), [(REUSE, 0, 21), (FILL, 4, 0), (SLIDE, 6, 0)])
def test_the_first_row_in_each_way(picture, way, copies, differ):
    frame = picture.frame(FIRST | {"way": way})
    assert (frame["copies"], frame["differ"]) == (copies, differ)


def test_python_answers_a_question_or_says_why_not(monkeypatch):
    picture, said = TwoWalls(), []
    monkeypatch.setattr(picture, "send", said.append)
    picture._answer(picture, {"ask": FIRST, "id": 1}, [])
    picture._answer(picture, {"ask": FIRST | {"new": 9}, "id": 2}, [])
    assert said == [{"id": 1, "frame": picture.frame(FIRST)}, {"id": 2, "refused": "new is 9; it may be 1 to 4"}]
    json.dumps(said)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"row": [0, 0]}, "row is"),
        ({"row": list(range(SLOTS + 1))}, "row is"),
        ({"row": [None]}, "row is"),
        ({"gone": [99]}, "gone is"),
        ({"new": 5}, "new is 5"),
        ({"way": "by magic"}, "way is 'by magic'"),
    ],
)
def test_what_is_no_choice_is_refused(picture, changes, says):
    with pytest.raises(ValueError, match=says):
        picture.frame(FIRST | changes)


def test_the_tiles_end_where_the_grid_ends(picture):
    data = picture.data["tiles"]
    assert [round(sum(row), 2) for row in data["weights"]] == [1.0] * len(data["tokens"])
    columns = [round(sum(column), 2) for column in zip(*data["weights"], strict=True)]
    assert data["steps"][-1]["sums"] == pytest.approx(columns, abs=0.02)
    assert [memory["grid"] for memory in data["memory"]] == [576, 2**27, 2**35, 2**41]
    assert [memory["grid_words"] for memory in data["memory"]] == ["576 B", "128.0 MiB", "32.0 GiB", "2,048.0 GiB"]


@pytest.mark.parametrize("wall", WALLS)
@pytest.mark.parametrize("step", [0, 7, 10])
def test_it_stands_still_in_a_small_picture_with_words(wall, step):
    picture = TwoWalls(wall=wall, step=step, gone=[0, 5], way=SLIDE)
    scene = picture.scene()
    svg = scene.svg()
    assert len(svg.encode()) < 60_000 and scene.width == 800
    ElementTree.fromstring(svg)
    assert picture.caption(picture.choice).startswith("Figure: ")
    assert ("tiles read" if wall == TILES else "Rows copied: 10") in scene.title

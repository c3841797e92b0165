"""Lesson 07 in a real browser: both controls turned, and the numbers that they must change read from the captions."""

import re
from functools import partial
from itertools import cycle, islice, product
from statistics import median, quantiles

import pytest

from helpers.widgets import walls
from tests.browser import jupyter
from tests.browser.test_browser import MOVES, course, open_lesson  # noqa: F401 (a fixture)

COPIES = re.compile(r"Copies: (\d+) in this round, (\d+) in all\. Goes wrong by place \((\d) of 5\)")
GRID = re.compile(r"(\S+ heads x \S+ x \S+ weights of 4 bytes: .+?), .*? the whole KV cache in fp16 \((.+?)\)")


@pytest.fixture(scope="module")
def lesson(course):  # noqa: F811
    page = open_lesson(course, "07_the_two_walls.ipynb")
    with jupyter.screenshot_on_failure(page, "lesson_07"):
        jupyter.run_all(page)
    yield page
    page.close()


def said(cell, label):
    return jupyter.value(cell, label).replace("\xa0", " ")  # the browser's options have fixed spaces


def assert_copies_are_right(cell):
    frame = walls.slots_frame(said(cell, "holes"), *(int(said(cell, label)) for label in ("rounds", "evicted", "lots")))
    assert COPIES.search(jupyter.caption(cell)).groups() == COPIES.search(frame[1]).groups()


def assert_grid_is_right(cell):
    frame = walls.grid_frame(said(cell, "model"), int(said(cell, "tokens").replace(",", "")), said(cell, "reads"))
    assert GRID.search(jupyter.caption(cell)).groups() == GRID.search(frame[1]).groups()


def turn_to_every_end(cell, check):
    """Milliseconds of every move of every control of the cell to both its ends."""
    times = []
    for label, index in product(jupyter.labels(cell, "dropdown"), (-1, 0)):
        times.append(jupyter.turn(cell, partial(jupyter.choose, cell, label, index), picture_too=False))
        check(cell)
    for label, key in product(jupyter.labels(cell, "slider"), ("End", "Home")):
        times.append(jupyter.turn(cell, partial(jupyter.press, cell, label, key), picture_too=False))
        check(cell)
    return times


@pytest.mark.parametrize(
    ("label", "slider", "check"),
    [("holes", "rounds", assert_copies_are_right), ("reads", "tokens", assert_grid_is_right)],
)
def test_every_move_shows_the_right_numbers(lesson, label, slider, check, capsys):
    with jupyter.screenshot_on_failure(lesson, f"lesson_07_{label}"):
        assert jupyter.errors(lesson) == []
        cell = jupyter.find_control(lesson, label)
        check(cell)
        times = turn_to_every_end(cell, check)
        there_and_back = cycle(7 * ["ArrowRight"] + 7 * ["ArrowLeft"])  # the shorter slider has eight places
        for key in islice(there_and_back, MOVES):
            times.append(jupyter.turn(cell, partial(jupyter.press, cell, slider, key)))
            check(cell)
    with capsys.disabled():
        print(f"\nlesson 07, {label}, {len(times)} moves: median {median(times):.0f} ms,", end=" ")
        print(f"95th percentile {quantiles(times, n=20, method='inclusive')[-1]:.0f} ms")

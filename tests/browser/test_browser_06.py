"""Lesson 06 in a real browser: every control turned, and the number that it must change read from the caption."""

import re
from functools import partial
from itertools import product
from statistics import median, quantiles

import pytest

from helpers.widgets import garage
from tests.browser import jupyter
from tests.browser.test_browser import MOVES, course, open_lesson  # noqa: F401 (a fixture)

FREED = re.compile(
    r"Evicted: ([\d.]+% of the rows, \d+ of \d+) per head\. Freed: (\d+ of \d+) floors .*?; expected (\S+)"
)


@pytest.fixture(scope="module")
def lesson(course):  # noqa: F811
    page = open_lesson(course, "06_the_90_percent_eviction_trap.ipynb")
    with jupyter.screenshot_on_failure(page, "lesson_06"):
        jupyter.run_all(page)
    yield page
    page.close()


def assert_numbers_are_right(cell):
    """The caption says what ``garage_frame`` says for what the controls are set to."""
    said = {label: jupyter.value(cell, label).replace("\xa0", " ") for label in ("stay", "heads", "compaction")}
    numbers = [int(jupyter.value(cell, label)) for label in ("evicted, %", "block size", "lots")]
    frame = garage.garage_frame(*numbers[:2], said["stay"], said["heads"], said["compaction"], numbers[2])
    assert FREED.search(jupyter.caption(cell)).groups() == FREED.search(frame[1]).groups()


def test_every_move_of_the_garage_shows_the_right_numbers(lesson, capsys):
    with jupyter.screenshot_on_failure(lesson, "lesson_06_garage"):
        assert jupyter.errors(lesson) == []
        cell, times = jupyter.find_control(lesson, "compaction"), []
        assert_numbers_are_right(cell)
        for label, index in product(jupyter.labels(cell, "dropdown"), (-1, 0)):
            times.append(jupyter.turn(cell, partial(jupyter.choose, cell, label, index)))
            assert_numbers_are_right(cell)
        for label, key in product(jupyter.labels(cell, "slider"), ("End", "Home")):
            times.append(jupyter.turn(cell, partial(jupyter.press, cell, label, key), picture_too=False))
            assert_numbers_are_right(cell)
        for _ in range(MOVES):
            times.append(jupyter.turn(cell, partial(jupyter.press, cell, "evicted, %", "ArrowRight")))
            assert_numbers_are_right(cell)
    with capsys.disabled():
        print(f"\nlesson 06, {len(times)} moves: median {median(times):.0f} ms,", end=" ")
        print(f"95th percentile {quantiles(times, n=20, method='inclusive')[-1]:.0f} ms")

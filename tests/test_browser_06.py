"""Lesson 06 in a real browser: every control turned, and the number that it must change read from the caption."""

import re
from functools import partial
from itertools import product
from statistics import median, quantiles

import pytest

from helpers.widgets import garage
from tests import browser
from tests.test_browser import MOVES, course, open_lesson  # noqa: F401 (a fixture)

FREED = re.compile(
    r"Evicted: ([\d.]+% of the rows, \d+ of \d+) per head\. Freed: (\d+ of \d+) floors .*?; expected (\S+)"
)


@pytest.fixture(scope="module")
def lesson(course):  # noqa: F811
    page = open_lesson(course, "06_the_90_percent_eviction_trap.ipynb")
    with browser.screenshot_on_failure(page, "lesson_06"):
        browser.run_all(page)
    yield page
    page.close()


def assert_numbers_are_right(cell):
    """The caption says what ``garage_frame`` says for what the controls are set to."""
    said = {label: browser.value(cell, label).replace("\xa0", " ") for label in ("stay", "heads", "compaction")}
    numbers = [int(browser.value(cell, label)) for label in ("evicted, %", "block size", "lots")]
    frame = garage.garage_frame(*numbers[:2], said["stay"], said["heads"], said["compaction"], numbers[2])
    assert FREED.search(browser.caption(cell)).groups() == FREED.search(frame[1]).groups()


def test_every_move_of_the_garage_shows_the_right_numbers(lesson, capsys):
    with browser.screenshot_on_failure(lesson, "lesson_06_garage"):
        assert browser.errors(lesson) == []
        cell, times = browser.find_control(lesson, "compaction"), []
        assert_numbers_are_right(cell)
        for label, index in product(browser.labels(cell, "dropdown"), (-1, 0)):
            times.append(browser.turn(cell, partial(browser.choose, cell, label, index)))
            assert_numbers_are_right(cell)
        for label, key in product(browser.labels(cell, "slider"), ("End", "Home")):
            times.append(browser.turn(cell, partial(browser.press, cell, label, key), picture_too=False))
            assert_numbers_are_right(cell)
        for _ in range(MOVES):
            times.append(browser.turn(cell, partial(browser.press, cell, "evicted, %", "ArrowRight")))
            assert_numbers_are_right(cell)
    with capsys.disabled():
        print(f"\nlesson 06, {len(times)} moves: median {median(times):.0f} ms,", end=" ")
        print(f"95th percentile {quantiles(times, n=20, method='inclusive')[-1]:.0f} ms")

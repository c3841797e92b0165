"""Lesson 05 in a real browser: every control turned, and the number that it must change read from the caption."""

import re
from functools import partial
from itertools import product
from statistics import median, quantiles

import pytest

from helpers.widgets import blocks as garage
from tests.browser import jupyter
from tests.browser.test_browser import MOVES, course, open_lesson  # noqa: F401 (a fixture)

HELD = re.compile(r"(\d+) of (\d+) blocks held")


@pytest.fixture(scope="module")
def lesson(course):  # noqa: F811
    page = open_lesson(course, "05_paged_blocks.ipynb")
    with jupyter.screenshot_on_failure(page, "lesson_05"):
        jupyter.run_all(page)
    yield page
    page.close()


def assert_number_is_right(cell):
    sequences, prompt, decoded, gone = (
        int(jupyter.value(cell, label)) for label in ("sequences", "prompt", "decoded", "gone")
    )
    size = int(jupyter.value(cell, "block size"))
    prompts = jupyter.value(cell, "prompts").replace("\xa0", " ")  # the browser's options have fixed spaces
    pool, _, _ = garage.run_garage(sequences, prompt, prompts, decoded, gone, size)
    assert HELD.search(jupyter.caption(cell)).groups() == (str(pool.num_held_blocks), str(pool.num_blocks))


def test_every_move_of_the_garage_shows_the_right_number(lesson, capsys):
    with jupyter.screenshot_on_failure(lesson, "lesson_05_garage"):
        assert jupyter.errors(lesson) == []
        cell, times = jupyter.find_control(lesson, "block size"), []
        assert_number_is_right(cell)
        for label, index in product(jupyter.labels(cell, "dropdown"), (-1, 0)):
            times.append(jupyter.turn(cell, partial(jupyter.choose, cell, label, index)))
            assert_number_is_right(cell)
        for label, key in product(jupyter.labels(cell, "slider"), ("End", "Home")):
            times.append(jupyter.turn(cell, partial(jupyter.press, cell, label, key), picture_too=False))
            assert_number_is_right(cell)
        while len(times) < MOVES + 12:
            times.append(jupyter.turn(cell, partial(jupyter.press, cell, "prompt", "ArrowRight")))
            assert_number_is_right(cell)
    with capsys.disabled():
        print(f"\nlesson 05, {len(times)} moves: median {median(times):.0f} ms,", end=" ")
        print(f"95th percentile {quantiles(times, n=20, method='inclusive')[-1]:.0f} ms")

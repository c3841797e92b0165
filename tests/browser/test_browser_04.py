"""Lesson 04 in a real browser: every control turned, and the number that it must change read from the caption."""

import re
from functools import partial
from itertools import cycle, product
from statistics import median, quantiles

import pytest

from helpers.records import load_table
from tests.browser import jupyter
from tests.browser.test_browser import MOVES, course, open_lesson  # noqa: F401 (a fixture)

RIGHT = re.compile(r"(\d+) of (\d+) worksheets right")


@pytest.fixture(scope="module")
def lesson(course):  # noqa: F811
    page = open_lesson(course, "04_kv_quantization.ipynb")
    with jupyter.screenshot_on_failure(page, "lesson_04"):
        jupyter.run_all(page)
    yield page
    page.close()


def assert_number_is_right(cell):
    pair = load_table().find((jupyter.value(cell, "K"), jupyter.value(cell, "V")))
    said = jupyter.caption(cell)
    assert RIGHT.search(said).groups() == (str(sum(pair.right)), str(len(pair.right)))
    assert f"K in {pair.k}, V in {pair.v}: {pair.bits:g} bits" in said


def test_every_move_of_the_pairs_shows_the_right_number(lesson, capsys):
    with jupyter.screenshot_on_failure(lesson, "lesson_04_pairs"):
        assert jupyter.errors(lesson) == []
        cell, times = jupyter.find_control(lesson, "shown"), []
        assert_number_is_right(cell)
        for label, index in product(jupyter.labels(cell, "dropdown"), (-1, 0)):
            times.append(jupyter.turn(cell, partial(jupyter.choose, cell, label, index)))
            assert_number_is_right(cell)
        for index, label in zip(cycle((2, 4, 1, 3, 5)), ("K", "V") * (MOVES // 2), strict=False):
            times.append(jupyter.turn(cell, partial(jupyter.choose, cell, label, index)))
            assert_number_is_right(cell)
    with capsys.disabled():
        print(f"\nlesson 04, {len(times)} moves: median {median(times):.0f} ms,", end=" ")
        print(f"95th percentile {quantiles(times, n=20, method='inclusive')[-1]:.0f} ms")

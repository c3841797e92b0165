"""Lesson 02 in a real browser: every control turned, and the number that it must change read from the caption."""

import re
from functools import partial
from itertools import product
from statistics import median, quantiles

import pytest

from helpers.arithmetic import find_model, format_bytes
from helpers.arithmetic.redesign import redesign
from tests.browser import jupyter
from tests.browser.test_browser import MOVES, course, open_lesson  # noqa: F401 (a fixture)

DESIGN = re.compile(r"your design ([\d,.]+ [KMG]?i?B) ")


@pytest.fixture(scope="module")
def lesson(course):  # noqa: F811
    page = open_lesson(course, "02_grouped_query_attention.ipynb")
    with jupyter.screenshot_on_failure(page, "lesson_02"):
        jupyter.run_all(page)
    yield page
    page.close()


def setting(cell, label):
    return jupyter.value(cell, label).replace("\xa0", " ")  # the browser's options have fixed spaces


def assert_number_is_right(cell):
    config = find_model(setting(cell, "model")).config
    shape = redesign(config, setting(cell, "heads"), setting(cell, "layers"))
    expected = format_bytes(shape.bytes(int(setting(cell, "tokens").replace(",", ""))))
    assert DESIGN.findall(jupyter.caption(cell)) == [expected], jupyter.caption(cell)


def test_every_move_of_the_redesign_shows_the_right_number(lesson, capsys):
    with jupyter.screenshot_on_failure(lesson, "lesson_02_redesign"):
        assert jupyter.errors(lesson) == []
        cell, times = jupyter.find_control(lesson, "heads"), []
        assert_number_is_right(cell)
        assert jupyter.labels(cell, "dropdown") == ["model", "heads", "layers"]
        ends = [("model", -1), ("model", 0), ("heads", 0), ("heads", -1), ("layers", -1), ("layers", 0)]
        for label, index in ends:  # first the one at which a control does not stand yet
            times.append(jupyter.turn(cell, partial(jupyter.choose, cell, label, index), picture_too=False))
            assert_number_is_right(cell)
        for label, key in product(jupyter.labels(cell, "slider"), ("End", "Home")):
            times.append(jupyter.turn(cell, partial(jupyter.press, cell, label, key)))
            assert_number_is_right(cell)
        keys = ["ArrowRight"] * 10 + ["ArrowLeft"] * 10
        for key in keys[: max(0, MOVES - len(times))]:
            times.append(jupyter.turn(cell, partial(jupyter.press, cell, "tokens", key)))
            assert_number_is_right(cell)
    with capsys.disabled():
        print(f"\nlesson 02, {len(times)} moves: median {median(times):.0f} ms,", end=" ")
        print(f"95th percentile {quantiles(times, n=20, method='inclusive')[-1]:.0f} ms")


def test_what_cannot_be_shared_out_is_said_and_the_picture_stays(lesson):
    with jupyter.screenshot_on_failure(lesson, "lesson_02_uneven"):
        cell = jupyter.find_control(lesson, "heads")
        jupyter.turn(cell, partial(jupyter.choose, cell, "model", 4), picture_too=False)
        assert setting(cell, "model") == "Qwen2.5-7B"
        before = jupyter.picture(cell)
        jupyter.turn(cell, partial(jupyter.choose, cell, "heads", 4), picture_too=False)
        assert jupyter.caption(cell) == "Not possible: 28 query heads cannot be shared out to groups of 8."
        assert jupyter.picture(cell) == before

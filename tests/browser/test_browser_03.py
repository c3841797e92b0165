"""Lesson 03 in a real browser: every control of the planner turned, its total and verdict read from the caption."""

import re
from functools import partial
from itertools import product
from statistics import median, quantiles

import pytest

from helpers.arithmetic import GiB, Plan, format_bytes
from tests.browser import jupyter
from tests.browser.test_browser import MOVES, course, open_lesson  # noqa: F401 (a fixture)

TOTAL = re.compile(r"([\d,.]+ [KMG]?i?B) in all")


@pytest.fixture(scope="module")
def lesson(course):  # noqa: F811
    page = open_lesson(course, "03_the_memory_budget.ipynb")
    with jupyter.screenshot_on_failure(page, "lesson_03"):
        jupyter.run_all(page)
    yield page
    page.close()


def number(cell, label):
    return float(jupyter.value(cell, label).replace(",", "").removesuffix("%").removesuffix("GiB"))


def plan_of(cell):
    context, second = int(number(cell, "context")), jupyter.value(cell, "second model")
    return Plan(
        jupyter.value(cell, "model"),
        jupyter.value(cell, "weights"),
        jupyter.value(cell, "card").replace("\xa0", " "),
        jupyter.value(cell, "KV format"),
        context,
        int(number(cell, "sequences")),
        round(number(cell, "shared prefix") / 100 * context),
        None if second == "none" else second,
        number(cell, "overhead") * GiB,
        number(cell, "tokens/s wanted"),
    )


def assert_numbers_are_right(cell):
    plan, caption = plan_of(cell), jupyter.caption(cell)
    assert TOTAL.findall(caption) == [format_bytes(plan.budget.total)], caption
    assert plan.verdict in caption


def test_every_move_of_the_planner_shows_the_right_numbers(lesson, capsys):
    with jupyter.screenshot_on_failure(lesson, "lesson_03_planner"):
        assert jupyter.errors(lesson) == []
        cell, times = jupyter.find_control(lesson, "second model"), []
        assert_numbers_are_right(cell)
        for key in ["ArrowRight"] * MOVES:
            times.append(jupyter.turn(cell, partial(jupyter.press, cell, "sequences", key)))
            assert_numbers_are_right(cell)
            if jupyter.value(cell, "sequences") == "16":
                break
        for label, index in product(jupyter.labels(cell, "dropdown"), (-1, 0)):
            times.append(jupyter.turn(cell, partial(jupyter.choose, cell, label, index)))
            assert_numbers_are_right(cell)
        for label, key in product(jupyter.labels(cell, "slider"), ("Home", "End")):
            if jupyter.value(cell, label) not in ("1", "0%", "16"):  # it stands at one of its ends already
                times.append(jupyter.turn(cell, partial(jupyter.press, cell, label, key), picture_too=False))
            assert_numbers_are_right(cell)
    with capsys.disabled():
        print(f"\nlesson 03, {len(times)} moves: median {median(times):.0f} ms,", end=" ")
        print(f"95th percentile {quantiles(times, n=20, method='inclusive')[-1]:.0f} ms")

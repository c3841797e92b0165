"""Lesson 09 in a real browser: controls turned and their captions computed once more, a plan saved, the quiz graded."""

import re
from functools import partial
from itertools import product
from statistics import median, quantiles

import pytest

from helpers.arithmetic.plan_report import report
from helpers.teaching.quiz import QUESTIONS
from helpers.widgets.own_plan import home_frame, plan_of
from tests.browser import jupyter
from tests.browser.test_browser import MOVES, course, open_lesson  # noqa: F401 (a fixture)

NAMES = {"weights": "weight_format", "KV format": "kv_format", "tokens kept": "kept", "shared prefix": "shared"}
NUMBERS = ("context", "sequences", "shared")


@pytest.fixture(scope="module")
def lesson(course):  # noqa: F811
    page = open_lesson(course, "09_bring_it_home.ipynb")
    with jupyter.screenshot_on_failure(page, "lesson_09"):
        jupyter.run_all(page)
    yield page
    page.close()


def chosen(cell):
    """What the controls say they are set to, as ``plan_of`` takes it."""
    values = {}
    for label in (*jupyter.labels(cell, "dropdown"), *jupyter.labels(cell, "slider")):
        name, text = NAMES.get(label, label), jupyter.value(cell, label).replace("\xa0", " ")
        values[name] = (0 if text == "nothing" else int(text.replace(",", ""))) if name in NUMBERS else text
    return values


def assert_caption_is_right(cell):
    try:
        said = home_frame(**chosen(cell))[1]
    except ValueError as error:
        said = f"Not possible: {error}."
    assert jupyter.caption(cell) == said


def test_every_move_shows_the_plan_that_the_controls_say(lesson, capsys):
    with jupyter.screenshot_on_failure(lesson, "lesson_09_control"):
        assert jupyter.errors(lesson) == []
        cell, times = jupyter.find_control(lesson, "tokens kept"), []
        assert_caption_is_right(cell)
        for label, index in product(jupyter.labels(cell, "dropdown"), (-1, 0)):
            times.append(jupyter.turn(cell, partial(jupyter.choose, cell, label, index), picture_too=False))
            assert_caption_is_right(cell)
        for label, key in product(jupyter.labels(cell, "slider"), ("End", "Home")):
            times.append(jupyter.turn(cell, partial(jupyter.press, cell, label, key), picture_too=False))
            assert_caption_is_right(cell)
        while len(times) < MOVES + 16:
            for key in ("ArrowRight", "ArrowLeft"):
                times.append(jupyter.turn(cell, partial(jupyter.press, cell, "context", key), picture_too=False))
                assert_caption_is_right(cell)
    with capsys.disabled():
        print(f"\nlesson 09, {len(times)} moves: median {median(times):.0f} ms,", end=" ")
        print(f"95th percentile {quantiles(times, n=20, method='inclusive')[-1]:.0f} ms")


def test_the_race_shows_its_two_runs_and_none_that_came_later(lesson):
    with jupyter.screenshot_on_failure(lesson, "lesson_09_race"):
        said = jupyter.caption(lesson.locator(".jp-CodeCell", has_text="race = Race").first)
        assert re.findall(r"([\w ]+): at most (\d+) blocks", said) == [
            (" full attention", "44"),
            (" TriAttention", "33"),
        ]


def test_the_plan_is_saved_beside_the_lesson(lesson, course):  # noqa: F811
    with jupyter.screenshot_on_failure(lesson, "lesson_09_plan"):
        cell, (_, lab) = jupyter.find_control(lesson, "tokens kept"), course
        cell.get_by_role("button", name="save this plan").click()
        cell.get_by_text(re.compile("Written to my_plan.md")).wait_for()
        [path] = lab.folder.rglob("my_plan.md")
        assert path.read_text(encoding="utf-8") == report(plan_of(**chosen(cell))) + "\n"


def test_the_ten_questions_are_graded_with_reasons(lesson):
    """All right but the first; then the first too, graded anew in the same place."""
    with jupyter.screenshot_on_failure(lesson, "lesson_09_quiz"):
        cell = lesson.locator(".jp-CodeCell", has=lesson.get_by_role("button", name="How many are right?")).last
        boxes = cell.locator(".widget-radio-box")
        assert boxes.count() == len(QUESTIONS) == 10
        for number, question in enumerate(QUESTIONS):
            choice = question.right if number else (question.right + 1) % len(question.options)
            boxes.nth(number).locator("input").nth(choice).check()
        button = cell.get_by_role("button", name="How many are right?")
        button.click()
        cell.get_by_text("9 of 10 right.").wait_for()
        assert "The answer is: it grows by the same number of bytes" in jupyter.caption(cell)
        boxes.first.locator("input").nth(QUESTIONS[0].right).check()
        button.click()
        cell.get_by_text("10 of 10 right.").wait_for()
        assert cell.get_by_text("9 of 10 right.").count() == 0

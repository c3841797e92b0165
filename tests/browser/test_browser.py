"""Lessons as a reader meets them: in JupyterLab, in a real browser, with controls that are turned.

Needs a Chromium (``chromium``, ``chromium-browser`` or ``google-chrome``, or the one that CHROMIUM names).
"""

import re
from functools import partial
from itertools import product
from statistics import median, quantiles

import pytest

from helpers.arithmetic import KVShape, find_model, format_bytes
from tests.browser import jupyter
from tests.house.normalise import NOTEBOOKS

MOVES = 20
CACHE_AT_END = re.compile(r"KV cache in \w+ at the end ([\d,.]+ [KMG]?i?B)")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A browser, and JupyterLab on a copy of the lessons."""
    chromium = jupyter.find_chromium()
    if chromium is None:
        pytest.skip(f"no Chromium here: none of {', '.join(jupyter.PROGRAMS)} is on the PATH, and CHROMIUM is not set")
    scratch = tmp_path_factory.mktemp("browser")
    folder = scratch / "course"
    jupyter.copy_notebooks(NOTEBOOKS, folder / NOTEBOOKS.name)
    with jupyter.jupyterlab(folder, scratch) as lab, jupyter.browser(chromium, scratch / "profile") as context:
        yield context, lab


def open_lesson(course, name):
    context, lab = course
    return jupyter.open_notebook(context, lab, f"{NOTEBOOKS.name}/{name}")


@pytest.fixture(scope="module")
def lesson_01(course):
    """Lesson 01 with all its cells run."""
    page = open_lesson(course, "01_kv_formula.ipynb")
    with jupyter.screenshot_on_failure(page, "lesson_01"):
        jupyter.run_all(page)
    yield page
    page.close()


def cache_by_formula(cell):
    """The KV cache that the caption should name, from what the controls say they are set to."""
    shape = KVShape.from_config(find_model(jupyter.value(cell, "model")).config)
    context = int(jupyter.value(cell, "context").replace(",", ""))
    per_sequence = shape.bytes(context, kv_format=jupyter.value(cell, "KV format")) + shape.fixed_bytes
    return format_bytes(int(jupyter.value(cell, "sequences")) * per_sequence)


def assert_number_is_right(cell):
    caption = jupyter.caption(cell)
    assert CACHE_AT_END.findall(caption) == [cache_by_formula(cell)], caption


def test_a_slider_redraws_the_wall_with_the_right_number(lesson_01, capsys):
    with jupyter.screenshot_on_failure(lesson_01, "a_slider_redraws_the_wall"):
        assert jupyter.errors(lesson_01) == []
        wall = jupyter.find_control(lesson_01, "sequences")
        assert_number_is_right(wall)
        times = []
        for _ in range(MOVES):
            times.append(jupyter.turn(wall, partial(jupyter.press, wall, "sequences", "ArrowRight")))
            assert_number_is_right(wall)
        assert jupyter.value(wall, "sequences") == str(1 + MOVES)
    with capsys.disabled():
        print(f"\n{MOVES} moves of a slider, each until picture and caption changed, ms:", *(f"{t:.0f}" for t in times))
        print(f"median {median(times):.0f} ms, 95th percentile {quantiles(times, n=20, method='inclusive')[-1]:.0f} ms")


def test_every_end_of_every_control_has_the_right_number(lesson_01):
    with jupyter.screenshot_on_failure(lesson_01, "every_end_of_every_control"):
        wall = jupyter.find_control(lesson_01, "sequences")
        for label, index in product(jupyter.labels(wall, "dropdown"), (0, -1)):
            # The picture may stay: two cards of 24 GiB have the same wall.
            jupyter.turn(wall, partial(jupyter.choose, wall, label, index), picture_too=False)
            assert_number_is_right(wall)
        for label, key in product(jupyter.labels(wall, "slider"), ("End", "Home")):
            jupyter.turn(wall, partial(jupyter.press, wall, label, key))
            assert_number_is_right(wall)


def test_a_guess_is_shown_beside_the_result(lesson_01):
    with jupyter.screenshot_on_failure(lesson_01, "a_guess_is_shown"):
        field = lesson_01.get_by_placeholder("your guess").first
        field.fill("1,000")
        field.press("Enter")
        verdict = lesson_01.locator(jupyter.OUTPUT, has_text="You predicted 1,000 ").first
        verdict.wait_for()
        assert "Result: " in verdict.text_content()


def test_lesson_00_draws_its_figure_while_the_model_thinks(course):
    page = open_lesson(course, "00_start_here.ipynb")
    seen = set()
    with jupyter.screenshot_on_failure(page, "lesson_00_draws_its_figure"):
        jupyter.run_all(page, meanwhile=lambda: seen.update(jupyter.pictures(page)))
        assert jupyter.errors(page) == []
        assert len(seen - set(jupyter.pictures(page))) >= 2, "no figure changed twice while the model was thinking"
    page.close()

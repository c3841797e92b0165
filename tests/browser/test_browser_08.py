"""Lesson 08 in a real browser: every control turned, the button pressed, and the whole caption computed once more."""

from functools import partial
from itertools import product
from statistics import median, quantiles

import pytest

from helpers.eviction import TriAttention
from helpers.models import gold_ids, load_reasoner, make_worksheets
from helpers.widgets.compression import N_SHEETS, compression_frame
from tests.browser import jupyter
from tests.browser.test_browser import MOVES, course, open_lesson  # noqa: F401 (a fixture)

BUTTON = f"run {N_SHEETS} worksheets"
PATIENCE = 180.0  # seconds for a run that takes three on a free machine


@pytest.fixture(scope="module")
def lesson(course):  # noqa: F811
    page = open_lesson(course, "08_triattention.ipynb")
    with jupyter.screenshot_on_failure(page, "lesson_08"):
        jupyter.run_all(page)
    yield page
    page.close()


@pytest.fixture(scope="module")
def caption_of():
    """The caption that belongs to what the controls say they are set to."""
    reasoner = load_reasoner()
    texts = gold_ids(reasoner, make_worksheets(32, 40, 11, held_out=False))
    calibrated = TriAttention.calibrate(reasoner.model, texts)

    def caption(cell):
        policy, selection, compaction = (
            jupyter.value(cell, label).replace("\xa0", " ") for label in ("policy", "selection", "compaction")
        )
        budget, interval = int(jupyter.value(cell, "budget")), int(jupyter.value(cell, "interval"))
        return compression_frame(calibrated, policy, budget, interval, selection, compaction)[1]

    return caption


def run(cell, move):
    """Move a control, see that nothing is drawn yet, press the button; milliseconds until the picture is there."""
    before = jupyter.caption(cell)
    move()
    cell.page.wait_for_timeout(100)
    assert jupyter.caption(cell) == before
    return jupyter.turn(cell, cell.get_by_role("button", name=BUTTON).click, picture_too=False)


def test_every_move_shows_the_right_numbers_once_the_button_is_pressed(lesson, caption_of, monkeypatch, capsys):
    monkeypatch.setattr(jupyter, "REDRAW", PATIENCE)
    with jupyter.screenshot_on_failure(lesson, "lesson_08_control"):
        assert jupyter.errors(lesson) == []
        cell, times = jupyter.find_control(lesson, "selection"), []
        assert jupyter.caption(cell) == caption_of(cell)
        for label, index in product(jupyter.labels(cell, "dropdown"), (-1, 0)):
            times.append(run(cell, partial(jupyter.choose, cell, label, index)))
            assert jupyter.caption(cell) == caption_of(cell)
        for key in ("End", "Home"):
            times.append(run(cell, partial(jupyter.press, cell, "budget", key)))
            assert jupyter.caption(cell) == caption_of(cell)
        while len(times) < MOVES:
            times.append(run(cell, partial(jupyter.press, cell, "budget", "ArrowRight")))
        assert jupyter.caption(cell) == caption_of(cell)
        done = cell.locator(".widget-hprogress, .jupyter-widget-hprogress").locator(".progress-bar")
        assert "100%" in done.get_attribute("style")
    with capsys.disabled():
        print(f"\nlesson 08, {len(times)} runs of six worksheets: median {median(times):.0f} ms,", end=" ")
        print(f"95th percentile {quantiles(times, n=20, method='inclusive')[-1]:.0f} ms")

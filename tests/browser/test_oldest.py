"""The oldest ipywidgets that the course allows: a control is shown, and turned. ``make test-oldest`` runs this."""

from functools import partial

import ipywidgets
import pytest

from tests.browser import jupyter
from tests.browser.test_lessons import CONTROLS
from tests.house.notebooks import NOTEBOOKS

IS_OLD = ipywidgets.__version__.startswith("7.")


@pytest.mark.skipif(not IS_OLD, reason="make test-oldest runs it; test_lessons.py turns them all")
def test_a_control_is_turned(course):
    [control] = [each for each in CONTROLS if each.lesson == "01"]
    [path] = NOTEBOOKS.glob("01_*.ipynb")
    with (
        jupyter.notebook(*course, f"{NOTEBOOKS.name}/{path.name}") as page,
        jupyter.screenshot_on_failure(page, "oldest"),
    ):
        jupyter.run_all(page)
        assert jupyter.errors(page) == []
        cell = jupyter.find_control(page, control.walk[0])
        for model in ("Qwen2.5-7B", "Qwen3-32B"):
            jupyter.turn(cell, partial(jupyter.choose, cell, "model", model))
            control.check(cell)
            assert jupyter.value(cell, "model") == model

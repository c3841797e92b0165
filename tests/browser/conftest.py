"""One browser and one JupyterLab for all lessons, and the page of each once all its cells have run."""

from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Page

from labs.learners_copy import make_copy
from tests.browser import jupyter
from tests.house.notebooks import LESSONS, NOTEBOOKS


class Lesson(NamedTuple):
    """A lesson that has run: its name, page and folder."""

    name: str
    page: Page
    folder: Path


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """A browser, and JupyterLab on a learner's copy: what a page shows comes from its run, and no lesson changes."""
    chromium = jupyter.find_chromium()
    if chromium is None:
        pytest.skip(f"no Chromium here: none of {', '.join(jupyter.PROGRAMS)} is on the PATH, and CHROMIUM is not set")
    scratch = tmp_path_factory.mktemp("browser")
    folder = scratch / "course"
    make_copy(folder)
    with jupyter.jupyterlab(folder, scratch) as lab, jupyter.browser(chromium, scratch / "profile") as context:
        yield context, lab


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request, course):
    """One lesson after the other."""
    (context, lab), path = course, request.param
    with jupyter.notebook(context, lab, f"{NOTEBOOKS.name}/{path.name}") as page:
        with jupyter.screenshot_on_failure(page, path.stem):
            jupyter.run_all(page)
        yield Lesson(path.stem, page, lab.folder / NOTEBOOKS.name)

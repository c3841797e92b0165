"""The README promises what the course does."""

import re

import pytest

from helpers.widgets.memory import wall_frame
from tests.house.notebooks import LESSONS, REPO, lesson_text
from tests.house.readme_figure import CHOICE, FIGURE

README = (REPO / "README.md").read_text()


def test_the_two_commands_come_within_80_words():
    assert len(README[: README.index("make test")].split()) <= 80
    makefile = (REPO / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in ("lab", "test", "notebooks"))


def test_the_caption_says_what_the_figure_shows():
    assert FIGURE.stat().st_size > 10_000
    assert wall_frame(**CHOICE)[1] in README


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(target):
    assert (REPO / target).is_file()


def test_the_table_lists_the_lessons_that_exist():
    rows = re.findall(r"^\| (?:\[)?(\d\d) ", README, re.MULTILINE)
    linked = set(re.findall(r"\(notebooks/(\w+\.ipynb)\)", README))
    assert rows == [path.name[:2] for path in LESSONS] == [f"{n:02}" for n in range(len(LESSONS))]
    assert linked == {path.name for path in LESSONS}


def test_the_map_in_lesson_00_gives_the_same_minutes():
    minutes = re.findall(r"^\|[^|]*?(\d\d) [^|]*\|[^|]*\| (\d+) \|$", README, re.MULTILINE)
    assert len(minutes) == len(LESSONS)
    assert all(re.search(rf"\|[^|]*{n} [^|]*\|[^|]*\| {m} \|", lesson_text("00")) for n, m in minutes)

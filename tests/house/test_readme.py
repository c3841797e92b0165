"""The README promises what the course does."""

import re

import pytest

from helpers.teaching.course_map import lessons
from helpers.widgets.memory import wall_frame
from tests.house.notebooks import LESSONS, NOTEBOOKS, REPO
from tests.house.readme_figure import CHOICE, FIGURE

README = (REPO / "README.md").read_text()


def test_the_two_commands_come_within_80_words():
    assert len(README[: README.index("make test")].split()) <= 80
    makefile = (REPO / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in ("lab", "test", "notebooks"))


def test_the_caption_says_what_the_figure_shows():
    assert FIGURE.stat().st_size > 10_000
    assert wall_frame(**CHOICE)[1] in README


@pytest.mark.parametrize("target", re.findall(r"\]\((?!https:)([^)]+)\)", README))
def test_links_lead_somewhere(target):
    assert (REPO / target).is_file()


def test_the_table_lists_the_lessons_that_exist_with_their_titles_and_minutes():
    rows = re.findall(r"^\| \[(\d\d) ([^\]]+)\]\(notebooks/([^)]+)\) \|[^|]+\| (\d+) \|$", README, re.MULTILINE)
    assert rows == [(one.number, one.title, one.file, one.minutes) for one in lessons(NOTEBOOKS)]


def test_it_names_the_lessons_that_run_on_another_model():
    *most, last = [path.name[:2] for path in LESSONS if "load_model()" in path.read_text(encoding="utf-8")]
    assert f"Lessons {', '.join(most)} and {last} then run on it" in README

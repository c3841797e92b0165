"""The README promises what the course does."""

import re
from pathlib import Path

import pytest

from helpers.widgets.memory import wall_frame
from tests.house.readme_figure import CHOICE, FIGURE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_two_commands_come_within_80_words():
    assert len(README[: README.index("make test")].split()) <= 80
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in ("lab", "test", "notebooks"))


def test_the_caption_says_what_the_figure_shows():
    assert FIGURE.stat().st_size > 10_000
    assert wall_frame(**CHOICE)[1] in README


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(target):
    assert (ROOT / target).is_file()


def test_the_table_lists_the_lessons_that_exist_and_all_ten():
    rows = re.findall(r"^\| (?:\[)?(\d\d) ", README, re.MULTILINE)
    linked = set(re.findall(r"\(notebooks/(\d\d)_\w+\.ipynb\)", README))
    assert rows == [f"{n:02}" for n in range(10)]
    assert linked == {path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_the_map_in_lesson_00_gives_the_same_minutes():
    lesson = (ROOT / "notebooks" / "00_start_here.ipynb").read_text()
    minutes = re.findall(r"^\|[^|]*?(\d\d) [^|]*\|[^|]*\| (\d+) \|$", README, re.MULTILINE)
    assert len(minutes) == 10
    assert all(re.search(rf"\|[^|]*{n} [^|]*\|[^|]*\| {m} \|", lesson) for n, m in minutes)

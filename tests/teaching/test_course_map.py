"""The map of the course: every lesson has a row with what it says of itself, and a reader's own files spoil nothing."""

import subprocess
import sys

import nbformat
import pytest

from helpers.teaching.course_map import Lesson, course_map, lessons
from tests.house.notebooks import NOTEBOOKS

OPENING = """# Blocks: build the garage

After this lesson you can

- **Count** blocks,
- **Tell apart** tokens and blocks.

About 40 minutes. It needs [lesson 01](01_x.ipynb)."""


@pytest.fixture
def write(tmp_path):
    def write(name, *cells):
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(cell) for cell in cells])
        nbformat.write(made, tmp_path / name)
        return tmp_path

    return write


def test_a_picture_may_stand_between_title_and_promise(write):
    title, promise = OPENING.split("\n\n", 1)
    folder = write("05_blocks.ipynb", f"{title}\n\nLook.", promise, "## More\n\n- **Not** this")
    assert lessons(folder)[0].verbs == ("count", "tell apart") and lessons(folder)[0].minutes == "40"


def test_a_row_is_what_the_opening_says(write):
    folder = write("05_blocks.ipynb", OPENING, "# Another\n\n- **Not** this\n\n7 minutes")
    assert lessons(folder) == [
        Lesson("05_blocks.ipynb", "05", "Blocks", "build the garage", ("count", "tell apart"), "40")
    ]
    row = "| [**05 Blocks**](05_blocks.ipynb) | build the garage | count, tell apart | 40 |"
    assert course_map(folder).splitlines()[2:] == [row]


def test_lessons_stand_in_order_and_other_files_are_left_out(write):
    for name in ("10_b.ipynb", "02_a.ipynb", "02_a-Copy1.ipynb", "Untitled.ipynb", "my_plan.md"):
        folder = write(name, OPENING)
    assert [lesson.number for lesson in lessons(folder)] == ["02", "10"]


@pytest.mark.parametrize("cells", [(), ("Mine now",)])
def test_a_lesson_that_a_reader_has_rewritten_keeps_its_row(write, cells):
    assert "| [**03 03_a**](03_a.ipynb) |  |  | ? |" in course_map(write("03_a.ipynb", *cells))


def test_a_page_without_lessons_beside_it_says_where_they_are(tmp_path):
    assert "`notebooks`" in course_map(tmp_path)


def test_every_lesson_of_the_course_is_on_the_map_with_all_that_belongs_there():
    found = lessons(NOTEBOOKS)
    assert [lesson.number for lesson in found] == [f"{n:02}" for n in range(len(found))]
    assert {lesson.file for lesson in found} == {path.name for path in NOTEBOOKS.glob("*.ipynb")}
    assert all(lesson.title and lesson.subject and lesson.verbs and lesson.minutes.isdigit() for lesson in found)


def test_the_saved_map_in_lesson_00_is_that_of_today():
    outputs = [
        out
        for cell in nbformat.read(NOTEBOOKS / lessons(NOTEBOOKS)[0].file, 4).cells
        for out in cell.get("outputs", [])
    ]
    assert course_map(NOTEBOOKS) in [output.get("data", {}).get("text/markdown") for output in outputs]


def test_the_map_needs_no_torch():
    code = "import sys, helpers.teaching.course_map; print(*{'torch', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.split() == []

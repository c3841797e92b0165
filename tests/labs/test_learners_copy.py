"""A learner's copy: made once, without outputs, never overwritten; a new version is put beside it, and links hold."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.teaching.course_map import lessons
from labs import learners_copy
from labs.learners_copy import make_copy
from labs.workshop.handout import MEMORY, course_files, hand_out
from tests.house.lint_prose import links_resolve
from tests.house.notebooks import REPO, read

LESSON, LAB = "notebooks/00_start_here.ipynb", "labs/lab_1_will_it_fit.ipynb"
NAMES = [LESSON, "notebooks/wall.png", LAB]


def notebook(text, **more):
    """A notebook that has run, as bytes."""
    cell = {"cell_type": "code", "id": "a", "metadata": {"tags": ["hide-input"]}, "source": [text]}
    cell |= {"outputs": [{"output_type": "stream", "name": "stdout", "text": ["the result"]}], "execution_count": 3}
    words = {"cell_type": "markdown", "id": "b", "metadata": {}, "source": ["Größe"]}
    found = {
        "cells": [cell, words],
        "metadata": {"kernelspec": {"name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(found | more).encode()


def write(folder, name, data):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def contents(home):
    """All that a learner has, without the copy's own memory."""
    paths = [path for path in home.rglob("*") if path.is_file() and path.name != MEMORY]
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in paths}


def new_course(folder, edition=1):
    for name in NAMES:
        data = notebook(f"edition {edition}") if name.endswith(".ipynb") else b"a picture"
        write(folder, name, data)
    write(folder, "labs/masters/lab_1_will_it_fit.ipynb", notebook("the solution"))
    write(folder, "labs/learners_copy.py", b"")
    write(folder, "notebooks/.ipynb_checkpoints/00_start_here.ipynb", b"")
    return folder


@pytest.fixture
def course(tmp_path):
    return new_course(tmp_path / "course")


@pytest.fixture
def home(course):
    return course / learners_copy.FOLDER


# --- Made once -------------------------------------------------------------------------------------------------------
def test_lessons_and_labs_are_copied_and_nothing_is_changed_in_the_course(course, home):
    before = contents(course)
    assert make_copy(home, course) == (NAMES, [])
    assert sorted(contents(home)) == sorted(NAMES)
    assert {name: data for name, data in contents(course).items() if not name.startswith(home.name)} == before


def test_outputs_are_gone_and_all_else_is_as_it_was(course, home):
    make_copy(home, course)
    given, mine = (json.loads((folder / LESSON).read_bytes()) for folder in (course, home))
    code = mine["cells"][0]
    assert (code["outputs"], code["execution_count"]) == ([], None)
    code |= {name: given["cells"][0][name] for name in ("outputs", "execution_count")}
    assert mine == given and "Größe".encode() in (home / LESSON).read_bytes()


def test_a_second_time_nothing_is_written(course, home):
    make_copy(home, course)
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file() and path.name != MEMORY}
    assert make_copy(home, course) == ([], [])
    assert {path: path.stat().st_mtime_ns for path in before} == before and len(contents(home)) == len(before)


def test_a_run_of_the_course_s_own_notebook_is_no_new_version(course, home):
    make_copy(home, course)
    again = json.loads((course / LESSON).read_bytes())
    again["cells"][0] |= {"outputs": [], "execution_count": 9}
    write(course, LESSON, json.dumps(again, indent=2).encode())
    assert make_copy(home, course) == ([], [])


def test_a_deleted_file_comes_back_fresh(course, home):
    make_copy(home, course)
    write(home, LESSON, b"lost")
    (home / LESSON).unlink()
    assert make_copy(home, course) == ([LESSON], [])


# --- Never overwritten -----------------------------------------------------------------------------------------------
def test_a_new_version_is_put_beside_once_whether_the_learner_s_was_touched_or_not(course, home):
    make_copy(home, course)
    write(home, LESSON, b"my work")
    before = contents(home)
    new_course(course, edition=2)
    beside = ["notebooks/00_start_here-new.ipynb", "labs/lab_1_will_it_fit-new.ipynb"]
    assert make_copy(home, course) == ([], beside)
    assert {name: contents(home)[name] for name in before} == before
    assert b"edition 2" in contents(home)[beside[0]] and b"the result" not in contents(home)[beside[0]]
    assert make_copy(home, course) == ([], [])
    (home / beside[0]).unlink()
    assert make_copy(home, course) == ([], []), "a new version that the learner threw away came back"


def test_a_second_new_version_gets_a_name_of_its_own(course, home):
    make_copy(home, course)
    for edition in (2, 3):
        new_course(course, edition)
        found = make_copy(home, course)[1]
    assert found == ["notebooks/00_start_here-new-2.ipynb", "labs/lab_1_will_it_fit-new-2.ipynb"]


def test_a_learner_who_has_the_new_version_already_gets_no_second_one(course, home):
    make_copy(home, course)
    new_course(course, edition=2)
    make_copy(home, course)
    (home / "notebooks/00_start_here-new.ipynb").replace(home / LESSON)
    assert make_copy(home, course) == ([], [])
    (home / MEMORY).unlink()
    (home / "labs/lab_1_will_it_fit-new.ipynb").replace(home / LAB)
    assert make_copy(home, course) == ([], [])


def test_a_damaged_memory_loses_nothing(course, home):
    make_copy(home, course)
    write(home, LESSON, b"my work")
    (home / MEMORY).write_text("{")
    assert make_copy(home, course) == ([], ["notebooks/00_start_here-new.ipynb"])
    assert (home / LESSON).read_bytes() == b"my work"


def test_the_course_s_map_passes_over_a_new_version(course, home):
    make_copy(home, course)
    new_course(course, edition=2)
    make_copy(home, course)
    assert [lesson.file for lesson in lessons(home / "notebooks")] == ["00_start_here.ipynb"]


STEPS = st.lists(
    st.tuples(st.sampled_from(["course", "learner", "delete", "copy"]), st.sampled_from(NAMES), st.integers(1, 3)),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_course_and_learner_do_no_byte_of_the_learner_s_is_changed(steps):
    with tempfile.TemporaryDirectory() as folder:
        course = new_course(Path(folder))
        home = course / learners_copy.FOLDER
        for step, name, edition in [*steps, ("copy", "", 0)]:
            before = contents(home)
            if step == "course":
                write(course, name, notebook(f"edition {edition}") if name.endswith(".ipynb") else bytes([edition]))
            elif step == "learner":
                write(home, name, b"mine %d" % edition)
            elif step == "delete":
                (home / name).unlink(missing_ok=True)
            else:
                made, beside = make_copy(home, course)
                after = contents(home)
                assert {one: after[one] for one in before} == before
                assert sorted([*made, *beside, *before]) == sorted(after)
                assert make_copy(home, course) == ([], [])
                assert set(NAMES) <= set(after)


def test_a_file_that_somebody_else_makes_meanwhile_is_not_replaced(tmp_path):
    write(tmp_path, "a", b"mine")
    with pytest.raises(FileExistsError):
        learners_copy._write_new(tmp_path / "a", b"the course's")
    assert (tmp_path / "a").read_bytes() == b"mine"


# --- What the learner is told ----------------------------------------------------------------------------------------
def test_one_line_says_where_it_is_and_one_what_is_new(course, home, capsys, monkeypatch):
    monkeypatch.setattr(learners_copy, "COURSE", course)
    monkeypatch.setattr(learners_copy.make_copy, "__defaults__", (course,))
    said = []
    for edition in (1, 1, 2):
        new_course(course, edition)
        learners_copy.main()
        said.append(capsys.readouterr().out)
    assert said[0] == f"Your own copy of the course is in {home}: 3 files were added.\n"
    assert said[1] == f"Your own copy of the course is in {home}.\n"
    assert said[2].startswith(said[1]) and said[2].count("\n") == 2
    assert "notebooks/00_start_here-new.ipynb, labs/lab_1_will_it_fit-new.ipynb" in said[2]


def test_a_copy_that_cannot_be_made_is_said_in_one_line(course, monkeypatch):
    monkeypatch.setattr(learners_copy, "COURSE", course)
    monkeypatch.setattr(learners_copy.make_copy, "__defaults__", (course,))
    write(course, learners_copy.FOLDER, b"a file where the folder must go")
    with pytest.raises(SystemExit) as end:
        learners_copy.main()
    assert str(end.value).startswith("Your copy of the course could not be made in ") and "\n" not in str(end.value)


def test_make_lab_makes_it_and_opens_its_first_lesson():
    recipe = (REPO / "Makefile").read_text(encoding="utf-8")
    assert "-m labs.learners_copy" in recipe and f"/lab/tree/{learners_copy.FOLDER}/notebooks/00_" in recipe
    done = subprocess.run(
        ["git", "check-ignore", f"{learners_copy.FOLDER}/x"], cwd=REPO, capture_output=True, text=True
    )
    if (REPO / ".git").exists():
        assert done.stdout.strip() == f"{learners_copy.FOLDER}/x"


# --- The real course -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learner") / learners_copy.FOLDER
    make_copy(folder)
    return folder


@pytest.mark.parametrize("name", [name for name in course_files() if name.endswith(".ipynb")])
def test_links_pictures_cells_and_metadata_of_every_lesson_and_lab_hold(copied, name):
    given, mine = read(REPO / name), read(copied / name)
    assert links_resolve(mine, (copied / name).parent) == []
    assert mine.metadata == given.metadata
    kept = [(cell.cell_type, cell.get("id"), cell.source, cell.metadata) for cell in mine.cells]
    assert kept == [(cell.cell_type, cell.get("id"), cell.source, cell.metadata) for cell in given.cells]
    assert all(cell.get("outputs", []) == [] for cell in mine.cells)


def test_no_solution_is_copied(copied):
    assert [name for name in contents(copied) if "masters" in name or name.endswith(".py")] == []


def test_helpers_are_imported_from_there(copied):
    command = [sys.executable, "-c", "import helpers.teaching.course_map as c; print(len(c.lessons('.')))"]
    done = subprocess.run(command, cwd=copied / "notebooks", capture_output=True, text=True)
    assert done.stdout.strip() == str(len(lessons(REPO / "notebooks"))), done.stderr


def test_the_hub_hands_out_the_same(copied, tmp_path):
    hand_out(tmp_path / "anna")
    assert contents(tmp_path / "anna") == contents(copied)

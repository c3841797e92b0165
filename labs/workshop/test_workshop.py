"""What the hub stands on, without a hub: the copies that learners get, and the first cell for hosted notebooks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from handout import course_files, hand_out  # noqa: E402
from hosted_first_cell import NEEDED  # noqa: E402


# --- The learner's own copy ------------------------------------------------------------------------------------------
@pytest.fixture
def course(tmp_path: Path) -> Path:
    """A small course."""
    folder = tmp_path / "course"
    for name in (
        "notebooks/00.ipynb",
        "notebooks/wall.png",
        "notebooks/.ipynb_checkpoints/00.ipynb",
        "labs/lab_1.ipynb",
        "labs/data/log.txt",
        "labs/README.md",
        "labs/TEACHING.md",
        "labs/student_copies.py",
        "labs/learners_copy.py",
        "labs/__pycache__/x.pyc",
        "labs/masters/lab_1.ipynb",
        "labs/workshop/README.md",
        "helpers/__init__.py",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}, first edition")
    return folder


GIVEN = ["notebooks/00.ipynb", "notebooks/wall.png", "labs/data/log.txt", "labs/lab_1.ipynb"]


def files(home: Path) -> set[str]:
    """All files in a learner's folder, but for the hand-out's own."""
    return {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()} - {".course_copies.json"}


def test_lessons_and_labs_are_handed_out_and_nothing_of_the_teacher_s(course: Path, tmp_path: Path) -> None:
    """The masters hold the solutions."""
    assert hand_out(tmp_path / "anna", course) == GIVEN
    assert files(tmp_path / "anna") == set(GIVEN)


def test_solutions_come_when_the_teacher_says_so(course: Path, tmp_path: Path) -> None:
    """On the next start, beside what is there."""
    hand_out(tmp_path / "anna", course)
    assert hand_out(tmp_path / "anna", course, solutions=True) == ["labs/masters/lab_1.ipynb"]


def test_a_second_hand_out_writes_nothing(course: Path, tmp_path: Path) -> None:
    """Nor does a third, after solutions."""
    hand_out(tmp_path / "anna", course)
    assert hand_out(tmp_path / "anna", course) == []


def test_what_a_learner_changed_stays_even_when_the_teacher_corrects_it(course: Path, tmp_path: Path) -> None:
    """And a copy that is still as it was gets the correction."""
    home = tmp_path / "anna"
    hand_out(home, course)
    (home / "notebooks/00.ipynb").write_text("mine")
    for name in ("notebooks/00.ipynb", "labs/lab_1.ipynb"):
        (course / name).write_text("second edition")
    assert hand_out(home, course) == ["labs/lab_1.ipynb"]
    assert (home / "notebooks/00.ipynb").read_text() == "mine"
    assert (home / "labs/lab_1.ipynb").read_text() == "second edition"
    assert hand_out(home, course) == []


def test_a_file_of_the_learner_s_under_a_name_of_the_course_stays(course: Path, tmp_path: Path) -> None:
    """It was there before anything was handed out."""
    (tmp_path / "anna/labs").mkdir(parents=True)
    (tmp_path / "anna/labs/lab_1.ipynb").write_text("mine")
    hand_out(tmp_path / "anna", course)
    assert (tmp_path / "anna/labs/lab_1.ipynb").read_text() == "mine"


def test_a_deleted_copy_comes_back_fresh(course: Path, tmp_path: Path) -> None:
    """So a learner who is lost can begin again."""
    home = tmp_path / "anna"
    hand_out(home, course)
    (home / "labs/lab_1.ipynb").write_text("lost")
    (home / "labs/lab_1.ipynb").unlink()
    assert hand_out(home, course) == ["labs/lab_1.ipynb"]


def test_what_a_lesson_found_is_not_handed_out(course: Path, tmp_path: Path) -> None:
    """A learner is to guess first; the cells and what is said about them stay."""
    cell = {"cell_type": "code", "metadata": {"tags": ["hide-input"]}, "source": ["print(6 * 7)"]}
    ran = {"cells": [cell | {"outputs": [{"text": "42"}], "execution_count": 1}], "metadata": {"name": "0"}}
    (course / "notebooks/00.ipynb").write_text(json.dumps(ran))
    hand_out(tmp_path / "anna", course)
    mine = json.loads((tmp_path / "anna/notebooks/00.ipynb").read_text())
    assert mine == ran | {"cells": [cell | {"outputs": [], "execution_count": None}]}


def test_a_damaged_memory_starts_the_server_and_loses_nothing(course: Path, tmp_path: Path) -> None:
    """Nothing says then that a copy is as it was handed out, so it stays."""
    home = tmp_path / "anna"
    hand_out(home, course)
    (home / ".course_copies.json").write_text("{")
    (course / "labs/lab_1.ipynb").write_text("second edition")
    assert hand_out(home, course) == []
    assert (home / "labs/lab_1.ipynb").read_text() == "labs/lab_1.ipynb, first edition"


def test_the_real_course_hands_out_its_lessons_and_no_master() -> None:
    """As it stands in this folder."""
    names = list(course_files())
    assert {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")} <= set(names)
    assert [name for name in names if "masters" in name or "workshop" in name] == []


def test_a_copy_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    """And the server is not started on an empty folder."""
    (tmp_path / "notebooks").write_text("a file where the folder must go")
    command = [sys.executable, str(HERE / "handout.py"), sys.executable, "-c", "print('started')"]
    done = subprocess.run(command, env=os.environ | {"HOME": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(r"The course could not be copied into .*\n", done.stderr)


# --- The first cell for hosted notebooks -----------------------------------------------------------------------------
def first_cell(python: str = sys.executable, *path: Path) -> list[str]:
    """What the cell prints, with folders put before all others on Python's path."""
    command = [python, "-c", (HERE / "hosted_first_cell.py").read_text()]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run(command, env=environment, cwd=HERE, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_where_the_course_is_installed_nothing_is_missing() -> None:
    """This environment is one."""
    assert first_cell() == ["Nothing is missing: open notebooks/00_start_here.ipynb"]


def test_a_bare_python_lacks_everything_one_line_each(tmp_path: Path) -> None:
    """The course's own comes first, for installing it brings the others."""
    venv.create(tmp_path / "bare")
    [first, *others, last] = first_cell(str(tmp_path / "bare" / "bin" / "python"))
    assert first.startswith("helpers, the course's own package, is missing.") and "%pip install FOLDER" in first
    assert others == [f'{name} is missing. In a cell: %pip install "{name}>={least}"' for name, least in NEEDED.items()]
    assert "restart the kernel" in last


def test_widgets_that_are_too_old_are_named(tmp_path: Path) -> None:
    """Hosted notebooks bring their own."""
    (tmp_path / "ipywidgets-7.6.5.dist-info").mkdir()
    (tmp_path / "ipywidgets-7.6.5.dist-info/METADATA").write_text("Name: ipywidgets\nVersion: 7.6.5\n")
    [line, _] = first_cell(sys.executable, tmp_path)
    assert line == 'ipywidgets 7.6.5 is too old. In a cell: %pip install --upgrade "ipywidgets>=7.7.1"'


@pytest.mark.parametrize("size", [None, 130], ids=["no file", "a pointer in its place"])
def test_weights_that_are_not_there_are_named(tmp_path: Path, size: int | None) -> None:
    """Some ways of copying a repository leave a small text in place of a large file."""
    shutil.copytree(ROOT / "helpers", tmp_path / "helpers", ignore=shutil.ignore_patterns("*.safetensors", "*.json"))
    if size:
        (tmp_path / "helpers/models/reasoner/model.safetensors").write_bytes(b"v" * size)
    [line, _] = first_cell(sys.executable, tmp_path)
    assert line.startswith("The reasoner's weights are missing.")


@pytest.mark.parametrize("path", ["helpers.py", "helpers/__init__.py", "helpers/notes.txt"])
def test_another_package_of_the_same_name_is_named(tmp_path: Path, path: str) -> None:
    """Many projects call something helpers."""
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text("")
    [line, _] = first_cell(str(bare(tmp_path)), tmp_path)[:2]
    assert line.startswith("helpers is here, but it is not the course's")


def bare(folder: Path) -> Path:
    """A Python with nothing installed."""
    venv.create(folder / "bare")
    return folder / "bare" / "bin" / "python"


def test_the_cell_asks_for_the_versions_that_the_course_declares() -> None:
    """But for JupyterLab and nbval, which a hosted notebook does not need, and what some platforms lack."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    least = dict(re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in declared if ";" not in line)
    assert {name: version for name, version in least.items() if name not in ("jupyterlab", "nbval")} == NEEDED

"""The journal of predictions: every guess is kept, whoever else writes, and a damaged file stops no lesson."""

import dataclasses
import json
import math
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.teaching import course_page, journal
from helpers.teaching.journal import FILE, Guess, Journal, predictions
from labs.student_copies import masters
from tests.house.notebooks import LESSONS, REPO, flat, outputs, read

numbers = st.floats(allow_nan=False, allow_infinity=False)
asked = st.builds(
    Guess,
    lesson=st.sampled_from(["00_start_here", "06_paged_blocks", ""]),
    question=st.one_of(st.sampled_from(["How many?", "How | many\nblocks?"]), st.text()),
    unit=st.sampled_from(["tokens", "GiB"]),
    guess=numbers,
    when=st.just("2026-11-27T10:00:00+01:00"),
    after=st.booleans(),
)


def guess(number, question="How many?", lesson="06_paged_blocks", **more):
    return Guess(lesson, question, "tokens", number, "2026-11-27T10:00:00+01:00", **more)


@pytest.fixture
def kept(tmp_path):
    return Journal(tmp_path / FILE)


def files(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


# --- What is kept ----------------------------------------------------------------------------------------------------
@settings(deadline=None)
@given(st.lists(asked, max_size=6), numbers)
def test_every_guess_comes_back_as_it_was_and_a_result_goes_to_those_that_lack_one(guesses, result):
    with tempfile.TemporaryDirectory() as folder:
        here = Journal(Path(folder) / FILE)
        for one in guesses:
            here.keep(one)
        assert Journal(here.path).guesses() == guesses
        here.settle("06_paged_blocks", "How many?", result)
        for before, after in zip(guesses, Journal(here.path).guesses(), strict=True):
            is_meant = (before.lesson, before.question) == ("06_paged_blocks", "How many?")
            assert after == (dataclasses.replace(before, result=result) if is_meant else before)
        assert here.notice == ""


def test_a_result_that_is_there_stays_when_the_lesson_is_run_again(kept):
    kept.keep(guess(10))
    kept.settle("06_paged_blocks", "How many?", 12)
    kept.keep(guess(11))
    kept.settle("06_paged_blocks", "How many?", 13)
    assert [(one.guess, one.result) for one in kept.guesses()] == [(10, 12), (11, 13)]


def test_where_nobody_guessed_no_file_is_made(kept, tmp_path):
    kept.settle("06_paged_blocks", "How many?", 12)
    assert kept.guesses() == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("result", [math.nan, math.inf])
def test_a_result_that_is_no_number_is_not_kept(kept, result):
    kept.keep(guess(1))
    kept.settle("06_paged_blocks", "How many?", result)
    assert kept.guesses() == [guess(1)]


@settings(deadline=None)
@given(st.lists(st.tuples(asked, st.none() | numbers), max_size=8))
def test_the_first_guess_counts_if_it_came_before_its_result(pairs):
    guesses = [dataclasses.replace(one, result=result) for one, result in pairs]
    counted = predictions(guesses)
    for one in counted:
        same = [other for other in guesses if (other.lesson, other.question) == (one.lesson, one.question)]
        assert same[0] is one and not one.after and one.result is not None
    questions = {(one.lesson, one.question) for one in guesses}
    firsts = [next(one for one in guesses if (one.lesson, one.question) == question) for question in questions]
    assert len(counted) == sum(not one.after and one.result is not None for one in firsts)


# --- Several notebooks, and a computer that stops --------------------------------------------------------------------
WRITER = """
import sys
from pathlib import Path
from helpers.teaching.journal import Guess, Journal
for number in range(20):
    Journal(Path(sys.argv[1])).keep(Guess(sys.argv[2], "How many?", "tokens", number, "now"))
"""


def test_notebooks_that_are_open_at_once_lose_nothing(tmp_path):
    names = ["00_start_here", "06_paged_blocks", "lab_3"]
    commands = [[sys.executable, "-c", WRITER, str(tmp_path / FILE), name] for name in names]
    with ThreadPoolExecutor() as pool:
        done = list(
            pool.map(lambda command: subprocess.run(command, cwd=REPO, capture_output=True, text=True), commands)
        )
    assert [one.stderr for one in done] == [""] * len(names)
    kept = Journal(tmp_path / FILE).guesses()
    assert {name: [one.guess for one in kept if one.lesson == name] for name in names} == {
        name: list(range(20)) for name in names
    }


def test_what_was_there_stays_when_writing_stops_half_way(kept, monkeypatch):
    kept.keep(guess(1))
    before = kept.path.read_bytes()

    def stop(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "fsync", stop)
    kept.keep(guess(2))
    assert kept.path.read_bytes() == before
    assert kept.notice == f"{FILE} could not be read or written: No space left on device."


def test_a_notebook_that_does_not_let_go_is_said_in_one_line(kept, monkeypatch):
    monkeypatch.setattr(journal, "PATIENCE", 0.05)
    with journal.FileLock(kept.path.with_name(f".{FILE}.lock")):
        kept.keep(guess(1))
    assert kept.notice.startswith(f"{FILE} could not be read or written: ") and "\n" not in kept.notice


def test_a_folder_in_the_file_s_place_is_said_in_one_line(kept):
    kept.path.mkdir()
    kept.keep(guess(1))
    assert kept.guesses() == [] and "could not be read or written" in kept.notice


# --- A damaged file --------------------------------------------------------------------------------------------------
def changed(**fields):
    return json.dumps({"guesses": [dataclasses.asdict(guess(1)) | fields]}).encode()


DAMAGED = [
    b"",
    b"{",
    b"\xff\xfe\x00",
    b"[]",
    b"[" * 100_000,
    b'{"guesses": 3}',
    b'{"guesses": ["a"]}',
    b'{"guesses": [{"lesson": "00"}]}',
    changed(guess="7"),
    changed(guess=True),
    changed(guess=10**400),
    changed(guess=math.nan),
    changed(result=False),
    changed(result=""),
    changed(after=0),
    changed(question=None),
]


@pytest.mark.parametrize("data", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_set_aside_with_one_line(kept, data, tmp_path):
    kept.path.write_bytes(data)
    assert kept.guesses() == []
    assert kept.notice == f"{FILE} was damaged: it is kept as my_predictions-damaged.json, and a new journal begins."
    kept.keep(guess(1))
    assert Journal(kept.path).guesses() == [guess(1)]
    assert files(tmp_path) == ["my_predictions-damaged.json", FILE]
    assert (tmp_path / "my_predictions-damaged.json").read_bytes() == data


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_whatever_is_in_the_file_a_guess_is_kept_and_no_byte_is_lost(data):
    with tempfile.TemporaryDirectory() as folder:
        here = Journal(Path(folder) / FILE)
        here.path.write_bytes(data)
        here.keep(guess(1))
        assert Journal(here.path).guesses() == [guess(1)]
        assert (Path(folder) / "my_predictions-damaged.json").read_bytes() == data


def test_a_second_damaged_file_does_not_replace_the_first(kept, tmp_path):
    for data in (b"one", b"two"):
        kept.path.write_bytes(data)
        kept.guesses()
    assert files(tmp_path) == ["my_predictions-damaged-2.json", "my_predictions-damaged.json"]
    assert (tmp_path / "my_predictions-damaged.json").read_bytes() == b"one"


# --- One name, one question ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", [*LESSONS, *masters()], ids=lambda path: path.stem)
def test_within_a_lesson_no_two_predictions_ask_in_the_same_words(path):
    shown = [flat(output.get("data", {}).get("text/markdown", "")) for _, _, output in outputs(read(path))]
    questions = [text for text in shown if text.startswith("**Predict:** ")]
    assert questions and len(set(questions)) == len(questions)


# --- Where it lies ---------------------------------------------------------------------------------------------------
@pytest.fixture
def course(tmp_path, monkeypatch):
    for name in ("notebooks/06_paged_blocks.ipynb", "labs/lab_3_build.ipynb", "labs/masters/lab_3_build.ipynb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return tmp_path


@pytest.mark.parametrize("folder", ["notebooks", "labs", "labs/masters", "."])
def test_lessons_and_labs_share_one_file(course, monkeypatch, folder):
    monkeypatch.chdir(course / folder)
    assert journal.journal_path() == course / FILE


def test_a_notebook_on_its_own_has_its_journal_beside_it(course, monkeypatch):
    (course / "else/where").mkdir(parents=True)
    monkeypatch.chdir(course / "else/where")
    (course / "notebooks/06_paged_blocks.ipynb").unlink()
    assert journal.journal_path() == course / "else/where" / FILE


@pytest.mark.parametrize(
    ("name", "lesson"),
    [
        ("notebooks/06_paged_blocks.ipynb", "06_paged_blocks"),
        ("notebooks/06_paged_blocks-new.ipynb", "06_paged_blocks"),
        ("notebooks/06_paged_blocks-Copy1.ipynb", "06_paged_blocks"),
        ("labs/masters/lab_3_build.ipynb", "lab_3_build"),
    ],
)
def test_jupyter_tells_which_lesson_it_is(course, monkeypatch, name, lesson):
    (course / name).write_text("{}")
    monkeypatch.setenv("JPY_SESSION_NAME", str(course / name))
    monkeypatch.chdir("/")  # wherever a cell may have gone
    assert (journal.lesson_name(), journal.journal_path()) == (lesson, course / FILE)


def test_vs_code_tells_it_in_the_kernel(course, monkeypatch):
    shell = type("Shell", (), {"user_ns": {"__vsc_ipynb_file__": str(course / "labs/lab_3_build.ipynb")}})()
    monkeypatch.setattr(journal, "get_ipython", lambda: shell)
    monkeypatch.setenv("JPY_SESSION_NAME", "a-session-of-no-file")
    assert journal.lesson_name() == "lab_3_build"


def test_where_nobody_tells_it_the_lesson_has_no_name(course, monkeypatch):
    monkeypatch.chdir(course / "notebooks")
    assert journal.lesson_name() == ""


# --- The page on the whole course ------------------------------------------------------------------------------------
@settings(deadline=None)
@given(st.lists(st.tuples(asked, st.none() | numbers), max_size=6))
def test_the_page_has_one_row_for_each_prediction_that_counts(pairs):
    guesses = [dataclasses.replace(one, result=result) for one, result in pairs]
    page = course_page.course_page(guesses, {})
    assert page == course_page.course_page(list(guesses), {})
    table = page[: page.index("## Claims")]
    rows = [line.replace("\\|", "") for line in table.split("\n") if line.startswith("|")][2:]
    assert len(rows) == len(predictions(guesses)) and all(row.count("|") == 7 for row in rows)


def test_the_page_says_how_far_off_how_often_guessed_and_what_is_left_out():
    guesses = [
        guess(50, result=100),
        guess(100, result=100, after=True),
        guess(0, "None?", result=0),
        guess(1, "Open?"),
    ]
    page = course_page.course_page(guesses, {})
    assert "| 06_paged_blocks | How many? | 50 tokens | 100 tokens | 2 times too low | 2 |" in page
    assert "| 06_paged_blocks | None? | 0 tokens | 0 tokens | exact | 1 |" in page
    assert "Left out: 1 more," in page and "Open?" not in page


def test_it_is_saved_beside_the_journal_and_computed_anew_from_the_lessons_outputs(course):
    kept = Journal(course / FILE)
    kept.keep(guess(50, result=100))
    note = {"claim": "B1", "values": {"weights": 42_100_000_000, "cache": 43_200_000_000}}
    cells = [{"outputs": [{"data": {"application/vnd.kv-memory.claim+json": note}}]}]
    (course / "notebooks/06_paged_blocks.ipynb").write_text(json.dumps({"cells": []}))
    said = [course_page.save_course_page(kept.path)]
    first = (course / "my_course.md").read_text()
    (course / "notebooks/06_paged_blocks.ipynb").write_text(json.dumps({"cells": cells}))
    said.append(course_page.save_course_page(kept.path))
    second = (course / "my_course.md").read_text()
    assert said == [f"Saved: {course / 'my_course.md'}"] * 2
    assert "weights 42.1 GB" in second and "weights 42.1 GB" not in first and "2 times too low" in first


def test_a_page_that_cannot_be_saved_is_said_in_one_line(course):
    (course / "my_course.md").mkdir()
    (course / "notebooks/06_paged_blocks.ipynb").write_text(json.dumps({"cells": []}))
    said = course_page.save_course_page(course / FILE)
    assert said.startswith("my_course.md could not be written: ") and "\n" not in said


def test_a_notebook_that_is_none_and_a_damaged_journal_leave_the_page_as_it_was(course):
    (course / "my_course.md").write_text("as it was")
    (course / "notebooks/06_paged_blocks.ipynb").write_text("no notebook")
    said = [course_page.save_course_page(course / FILE)]
    (course / FILE).write_text("{")
    said.append(course_page.save_course_page(course / FILE))
    assert said[0].startswith("my_course.md was not saved: a file in notebooks is no notebook (")
    assert said[1].startswith(f"my_course.md was not saved. {FILE} was damaged")
    assert all("\n" not in line for line in said) and (course / "my_course.md").read_text() == "as it was"

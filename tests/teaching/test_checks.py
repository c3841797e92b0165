"""Checks: a number and the mistake it shows, stages up to the first that is wrong, code that may raise anything."""

import math
import re

import numpy as np
import pytest

from helpers.teaching.attempts import Complaint, attempt, need, require_function, result_of
from helpers.teaching.checks import Number, check_stages, in_one_line, stage

# --- A number --------------------------------------------------------------------------------------------------------
MISTAKES = {"these are KiB, not bytes.": 128, "did you count query heads?": 524_288}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (..., "Not yet: replace the three dots by your answer, in bytes."),
        (131_072, "Right: 131,072 bytes."),
        (131_072.0, "Right: 131,072 bytes."),
        (131_000, "Right: 131,072 bytes."),  # within a thousandth: whoever rounds is not wrong
        (np.float64(131_072), "Right: 131,072 bytes."),
        (np.int64(131_072), "Right: 131,072 bytes."),
        (128, "Not yet: these are KiB, not bytes."),
        (524_288, "Not yet: did you count query heads?"),
        (262_144, "Not yet: 262,144 is 2 times too high."),
        (13_107.2, "Not yet: 13,107.2 is 10 times too low."),
        (0, "Not yet: it must be more than 0."),
        (-131_072, "Not yet: it must be more than 0."),
        (True, "Not yet: the answer is a number of bytes, not bool."),
        ("131072", "Not yet: the answer is a number of bytes, not str."),
        (None, "Not yet: the answer is a number of bytes, not NoneType."),
        ([131_072], "Not yet: the answer is a number of bytes, not list."),
    ],
    ids=repr,
)
def test_a_number_says_what_is_wrong(capsys, answer, said):
    (Number(131_072, "bytes") | MISTAKES)(answer)
    assert capsys.readouterr().out == said + "\n"


@pytest.mark.parametrize("answer", [131_072 * 1.002, 131_072 / 1.002])
def test_a_near_miss_is_not_1_times_too_large_or_small(capsys, answer):
    Number(131_072, "bytes")(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ")
    assert " 1 times" not in said


@pytest.mark.parametrize("answer", [math.nan, math.inf])
def test_no_number_at_all_is_not_compared(capsys, answer):
    Number(131_072, "bytes")(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ")
    assert "times" not in said


@pytest.mark.parametrize(("answer", "said"), [(0, "Right: 0 blocks."), (3, "Not yet: ")])
def test_the_right_number_may_be_0(capsys, answer, said):
    Number(0, "blocks")(answer)
    assert capsys.readouterr().out.startswith(said)


def test_a_number_does_not_show_its_answer():
    assert "131" not in repr(Number(131_072, "bytes"))


# --- Stages, and one line --------------------------------------------------------------------------------------------
def test_stages_stop_at_the_first_that_complains(capsys):
    stages = stage("kind", need, True, ""), stage("size", need, False, "it is 2."), stage("never", lambda: 1 / 0)
    assert not check_stages(*stages)
    assert capsys.readouterr().out == "Stage 1 of 3, kind: right.\nStage 2 of 3, size. Not yet: it is 2.\n"
    assert check_stages(stages[0])


def test_a_check_in_one_line(capsys):
    @in_one_line
    def check(answer):
        require_function(answer)
        return "a function."

    for answer in (len, ..., 3):
        check(answer)
    assert capsys.readouterr().out.splitlines() == [
        "Right: a function.",
        "Not yet: replace the three dots by your function.",
        "Not yet: the answer is a function, not int.",
    ]


# --- The reader's code -----------------------------------------------------------------------------------------------
def unwritten():
    raise NotImplementedError("Write it.")


def test_an_attempt_lets_stubs_pass_and_names_the_rest():
    assert attempt("double(2)", lambda x: 2 * x, 2) == 4
    with pytest.raises(Complaint, match=re.escape("at(0) raised IndexError: list index out of range") + "$"):
        attempt("at(0)", lambda: [][0])
    with pytest.raises(ZeroDivisionError):
        attempt("halve", lambda: 1 / 0, passes=ZeroDivisionError)
    with pytest.raises(NotImplementedError, match="Write it"):
        attempt("stub", unwritten)


def test_a_result_is_something():
    assert result_of(len, "abc") == 3
    for nothing in (lambda: None, lambda: ...):
        with pytest.raises(Complaint, match="is there a return"):
            result_of(nothing)
    with pytest.raises(Complaint, match="^it raised ZeroDivisionError: division by zero.$"):
        result_of(lambda: 1 / 0)

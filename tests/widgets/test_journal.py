"""A guess goes from its field into the journal, and from the journal into a picture; a static page has neither."""

import io
import math
from types import SimpleNamespace

import ipywidgets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.measuring.comparisons import factor_off
from helpers.plots.journal import GROUPS, NAMED, Mark, furthest, guess_against_result
from helpers.teaching.journal import FILE, Guess, Journal
from helpers.widgets import journal, page, prediction

numbers = st.floats(allow_nan=False, allow_infinity=False)
marks = st.lists(st.builds(Mark, st.just("05"), numbers, numbers | st.just(0.0)), min_size=1, max_size=12)


@pytest.fixture
def shown(monkeypatch):
    """Everything that is displayed, in order."""
    entries = []

    def display(*data, metadata=None, raw=False, display_id=False):
        entries.extend(data)
        return SimpleNamespace(update=lambda data, metadata=None, raw=False: entries.append(data))

    for module in (journal, page, prediction):
        monkeypatch.setattr(module, "display", display)
    return entries


@pytest.fixture
def live(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_STATIC", raising=False)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def texts(shown):
    return [data["text/markdown"] for data in shown if isinstance(data, dict) and "text/markdown" in data]


def ask(shown, question="How many?"):
    asked = prediction.Prediction(question, "tokens")
    return asked, shown[-1]


# --- From the field into the file ------------------------------------------------------------------------------------
def test_a_guess_is_kept_as_it_is_typed_and_gets_its_result(shown, live):
    asked, field = ask(shown)
    field.value = "1,000"
    assert [(one.guess, one.result, one.after) for one in Journal().guesses()] == [(1000, None, False)]
    asked.reveal(1_200)
    field.value = "1,200"
    kept = Journal().guesses()
    assert [(one.guess, one.result, one.after) for one in kept] == [(1000, 1200, False), (1200, 1200, True)]
    assert all((one.question, one.unit) == ("How many?", "tokens") and one.when[:2] == "20" for one in kept)


def test_what_is_no_number_is_no_guess(shown, live):
    asked, field = ask(shown)
    for typed in ("about ten", "nan", ""):
        field.value = typed
    asked.reveal(12)
    assert list(live.iterdir()) == []


def test_a_guess_after_a_result_that_is_no_number_is_kept_without_it(shown, live):
    asked, field = ask(shown)
    asked.reveal(math.inf)
    field.value = "3"
    assert [(one.guess, one.result, one.after) for one in Journal().guesses()] == [(3, None, True)]


def test_a_guess_of_yesterday_gets_its_result_today(shown, live):
    ask(shown)[1].value = "7"
    ask(shown)[0].reveal(8)
    assert [(one.guess, one.result) for one in Journal().guesses()] == [(7, 8)]


def test_a_static_page_writes_and_reads_none(shown, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_STATIC", "1")
    monkeypatch.chdir(tmp_path)
    asked = prediction.Prediction("How many?", "tokens")
    asked._field.value = "5"
    asked.reveal(6)
    assert list(tmp_path.iterdir()) == []
    Journal().keep(Guess("06_paged_blocks", "How many?", "tokens", 5, "now", result=6))
    del shown[:]
    journal.show_journal()
    assert texts(shown) == [journal.NONE_YET] and len(shown) == 1


def test_a_damaged_file_is_said_under_the_result(shown, live):
    (live / FILE).write_text("{")
    asked, field = ask(shown)
    field.value = "5"
    asked.reveal(6)
    result, notice = texts(shown)[-1].split("\n\n")
    assert result.startswith("**You predicted 5") and notice.startswith(f"{FILE} was damaged") and "\n" not in notice


def test_a_file_that_cannot_be_written_stops_no_lesson(shown, live):
    (live / FILE).mkdir()
    asked, field = ask(shown)
    field.value = "5"
    asked.reveal(6)
    assert "could not be read or written" in texts(shown)[-1]


# --- From the file into the picture ----------------------------------------------------------------------------------
def test_the_journal_is_drawn_with_a_caption_and_a_button_that_saves(shown, live):
    for number in (1, 2, 3):
        asked, field = ask(shown, f"Question {number}?")
        field.value = "10"
        asked.reveal(10 * number**2)
    del shown[:]
    journal.show_journal()
    [caption] = texts(shown)
    assert caption.startswith("Figure:") and "1 within 10%, 0 within a factor of 2, 2 further off" in caption
    assert "Question 3?" in caption and "factor of 4" in caption
    button, said = shown[-2:]
    assert isinstance(button, ipywidgets.Button)
    button.click()
    assert said.value == f"Saved: {live / 'my_course.md'}" and "Question 2?" in (live / "my_course.md").read_text()


def test_an_empty_journal_says_what_will_be_here(shown, live):
    journal.show_journal()
    assert texts(shown) == [journal.NONE_YET]


@pytest.mark.parametrize(
    ("lesson", "label"),
    [
        ("06_paged_blocks", "06"),
        ("lab_3_build_the_garage", "lab 3"),
        ("", ""),
        ("My_own_long_notebook", "My_own_long_"),
    ],
)
def test_labels_are_short(lesson, label):
    assert journal.label(Guess(lesson, "", "", 1, "")) == label


# --- The picture -----------------------------------------------------------------------------------------------------
@settings(max_examples=40, deadline=None)
@given(marks)
def test_every_question_has_one_mark_within_the_axes(drawn):
    figure = guess_against_result(drawn)
    figure.savefig(io.BytesIO(), format="svg")
    [ax] = figure.axes
    assert ax.get_xlim() == ax.get_ylim() and ax.get_xscale() == ax.get_yscale()
    low, high = ax.get_xlim()
    points = [point for line in ax.lines[1:] for point in zip(*line.get_data(), strict=True)]
    assert len(points) == len(drawn)
    assert all(low <= number <= high for point in points for number in point)
    assert len({line.get_marker() for line in ax.lines[1:]}) == len({line.get_color() for line in ax.lines[1:]}) == 3
    assert len(ax.texts) == min(NAMED, len(furthest(drawn)))


@settings(deadline=None)
@given(numbers, numbers)
def test_a_factor_is_the_same_both_ways_and_says_which_group(guess, value):
    factor = factor_off(guess, value)
    assert factor == factor_off(value, guess) >= 1
    group = Mark("", guess, value).group
    assert GROUPS[group][0] == (
        "within 10%" if factor <= 1.1 else "within a factor of 2" if factor <= 2 else "further off"
    )


@pytest.mark.parametrize(("guesses", "scale"), [([1.0, 1e9], "log"), ([0.0, 5.0], "symlog"), ([-3.0], "symlog")])
def test_axes_are_logarithmic_where_they_can_be(guesses, scale):
    assert guess_against_result([Mark("05", one, 7.0) for one in guesses]).axes[0].get_xscale() == scale


def test_no_marks_are_refused_in_one_line():
    with pytest.raises(ValueError, match="marks is empty; a figure needs one or more"):
        guess_against_result([])

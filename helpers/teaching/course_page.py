"""A page on the reader's own course, ``my_course.md``: predictions and claims, computed from the files beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from helpers.measuring.comparisons import how_far
from helpers.teaching.claims import Values, recorded, verdict_table
from helpers.teaching.journal import Guess, Journal, predictions

FILE = "my_course.md"
OPENING = """# My course

This page is computed from your guesses and from what your lessons noted. Each save writes it anew, so keep notes of
your own elsewhere."""
HEADS = "| lesson | question | your first guess | result | how far off | guesses |\n|---|---|---|---|---|---|"


def course_page(guesses: Sequence[Guess], values: dict[str, Values]) -> str:
    """The page, in Markdown; the same files give the same page.

    Args:
        guesses: all that the journal holds.
        values: what the lessons recorded, by claim.
    """
    counted = predictions(guesses)
    rows = [_row(one, sum(_is_same_question(one, other) for other in guesses)) for one in counted]
    questions = len({(one.lesson, one.question) for one in guesses})
    others = questions - len(counted)
    table = "\n".join([HEADS, *rows]) if rows else "None yet: a prediction counts once its lesson has shown the result."
    left_out = f"\n\nLeft out: {others} more, first guessed after the result or still without one." if others else ""
    title = "## Predictions\n\nThe first guess at a question counts. Later ones are kept beside it."
    return "\n\n".join([OPENING, title, table + left_out, "## Claims", verdict_table(values)]) + "\n"


def save_course_page(path: Path) -> str:
    """Write the page beside the journal in ``path``; returns one line that says where it is, or what went wrong."""
    journal, folder = Journal(path), path.parent
    lessons, guesses = folder / "notebooks", journal.guesses()
    if journal.notice:
        return f"{FILE} was not saved. {journal.notice}"
    try:
        values = recorded(lessons if lessons.is_dir() else folder)
        (folder / FILE).write_text(course_page(guesses, values), encoding="utf-8", newline="\n")
    except OSError as error:
        return f"{FILE} could not be written: {error.strerror or error}."
    except (ValueError, TypeError, KeyError) as error:
        return f"{FILE} was not saved: a file in {lessons.name} is no notebook ({error})."
    return f"Saved: {folder / FILE}"


def _row(one: Guess, n_guesses: int) -> str:
    guess, result = (f"{_number(number)} {one.unit}" for number in (one.guess, one.result))
    cells = [one.lesson, one.question, guess, result, _off(one)]
    return f"| {' | '.join(map(_cell, cells))} | {n_guesses} |"


def _off(one: Guess) -> str:
    if one.guess == one.result:
        return "exact"
    return how_far(one.guess, one.result) if one.guess > 0 and one.result > 0 else ""


def _number(number: float) -> str:
    return f"{number:,.4g}" if number % 1 else f"{number:,.0f}"


def _cell(text: str) -> str:
    """Text that stays within one cell of a table."""
    return " ".join(text.replace("|", "\\|").split())


def _is_same_question(one: Guess, other: Guess) -> bool:
    return (one.lesson, one.question) == (other.lesson, other.question)

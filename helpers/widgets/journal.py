"""The reader's journal on a page: guesses against results, and a button that saves the page on the whole course."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence

import ipywidgets
from IPython.display import display

from helpers.measuring.comparisons import factor_off
from helpers.plots.journal import GROUPS, Mark, furthest, guess_against_result
from helpers.teaching.course_page import FILE, save_course_page
from helpers.teaching.journal import Guess, Journal, predictions
from helpers.widgets.page import bundle_caption, is_static, show

NONE_YET = (
    "Here your predictions of the whole course are drawn against what was measured. None is kept yet: type a guess "
    "where a lesson asks for one, run the cell that measures, and run this cell again."
)


def show_journal() -> None:
    """Draw the predictions that count against what was measured; on a live page, offer to save the course's page.

    A static page shows nobody's guesses, so it says only what would be here.
    """
    journal = None if is_static() else Journal()
    counted = predictions(journal.guesses()) if journal else []
    if counted:
        marks = [Mark(label(one), one.guess, one.result) for one in counted]
        show(guess_against_result(marks), caption(counted))
    else:
        display(bundle_caption(NONE_YET), raw=True)
    if journal:
        if journal.notice:
            display(bundle_caption(journal.notice), raw=True)
        _offer_page(journal)


def label(one: Guess) -> str:
    """Where a guess was made, in a few signs: ``05``, ``lab 3``."""
    found = re.match(r"(lab)?_?(\d+)", one.lesson)
    return " ".join(filter(None, found.groups())) if found else one.lesson[:12]


def caption(counted: Sequence[Guess]) -> str:
    """What kind of picture it is and what to see, with how many guesses came how near."""
    marks = [Mark(label(one), one.guess, one.result) for one in counted]
    near = ", ".join(f"{sum(m.group == g for m in marks)} {words}" for g, (words, _, _) in enumerate(GROUPS))
    factors = statistics.median(factor_off(one.guess, one.result) for one in counted)
    text = (
        f"Figure: your predictions against what was measured, one mark for each of {len(counted)} questions: {near}. "
        f"On the dashed line a guess is exact; in the grey band it is at most a factor of 2 off. "
    )
    if factors < float("inf"):
        text += f"Half of your guesses are within a factor of {factors:.3g}. "
    if far := furthest(marks):
        worst = next(one for one, mark in zip(counted, marks, strict=True) if mark is far[0])
        text += f"The furthest off, in {far[0].label or 'a notebook'}: {worst.question} "
    return text + "Only a first guess, made before its result, is drawn."


def _offer_page(journal: Journal) -> None:
    button = ipywidgets.Button(description=f"Save {FILE}", layout={"width": "auto"})
    said = ipywidgets.Label()

    def save(_: ipywidgets.Button) -> None:
        said.value = save_course_page(journal.path)

    button.on_click(save)
    display(button, said)

"""The reader's own guess, asked for before a result and shown beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import ipywidgets
from IPython.display import display

from helpers.measuring.comparisons import how_far
from helpers.teaching.journal import Guess, Journal, lesson_name
from helpers.widgets.page import is_static


class Prediction:
    """The reader's own guess, asked for before a result and shown beside it; on a live page, the journal keeps it.

    Args:
        question: what to predict; a static page shows only this.
        unit: the unit of the guess, in the plural.
    """

    def __init__(self, question: str, unit: str) -> None:
        self.question, self.unit, self.guess, self._result = question, unit, None, None
        self._journal = None if is_static() else Journal()
        self._field = ipywidgets.Text(placeholder=f"your guess, in {unit}", continuous_update=False)
        self._field.observe(self._keep, names="value")
        display({"text/markdown": f"**Predict:** {question}", "text/plain": f"Predict: {question}"}, raw=True)
        if not is_static():
            display(self._field)

    def reveal(self, value: float) -> None:
        """Show the result beside the guess; a guess typed later, or changed, is shown too."""
        self._value = value
        if self._journal:
            self._journal.settle(lesson_name(), self.question, value)
        self._result = display(self._verdict(), raw=True, display_id=True)

    def _keep(self, change: dict[str, Any]) -> None:
        try:
            guess = float(change["new"].replace(",", "").replace("_", ""))
            self.guess = guess if math.isfinite(guess) else None
        except ValueError:
            self.guess = None
        if self._journal and self.guess is not None:
            self._enter(Guess.now(self.question, self.unit, self.guess))
        if self._result is not None:
            self._result.update(self._verdict(), raw=True)

    def _enter(self, guess: Guess) -> None:
        """Into the journal; to a guess made after the result belongs that result, if a journal can hold it."""
        if self._result is not None:
            guess = replace(guess, after=True, result=float(self._value) if math.isfinite(self._value) else None)
        self._journal.keep(guess)

    def _verdict(self) -> dict[str, str]:
        text = (
            f"Result: {self._value:,.4g} {self.unit}."
            if self._value % 1
            else f"Result: {self._value:,.0f} {self.unit}."
        )
        if self.guess is not None:
            text = f"You predicted {self.guess:,.10g} {self.unit}. {text}{self._comparison()}"
        elif self._field.value:
            text = f"Your guess {self._field.value!r} is not a number. {text}"
        notice = self._journal.notice if self._journal else ""  # shown here: what a callback prints, nobody sees
        return {
            "text/plain": "\n".join(filter(None, [text, notice])),
            "text/markdown": "\n\n".join(filter(None, [f"**{text}**", notice])),
        }

    def _comparison(self) -> str:
        if self.guess == self._value:
            return " Exactly right."
        both_positive = self.guess > 0 and self._value > 0
        return f" Your guess was {how_far(self.guess, self._value)}." if both_positive else ""

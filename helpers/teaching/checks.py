"""Checks of a reader's answer: what is right is called right; what is not, by the mistake that people make."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Any

from helpers.measuring.comparisons import how_far
from helpers.teaching.attempts import Complaint, is_number, need

Stage = tuple[str, Callable[[], None]]  # its name, and what complains where something is wrong


def stage(name: str, find: Callable[..., None], *args: Any) -> Stage:
    """A stage for ``check_stages``: ``find(*args)`` complains or is content."""
    return name, partial(find, *args)


def check_stages(*stages: Stage) -> bool:
    """Print stage by stage what is right, and stop at the first that is not; returns whether all were."""
    for number, (name, find) in enumerate(stages, start=1):
        try:
            find()
        except Complaint as complaint:
            print(f"Stage {number} of {len(stages)}, {name}. Not yet: {complaint}")
            return False
        print(f"Stage {number} of {len(stages)}, {name}: right.")
    return True


def in_one_line(find: Callable[..., str]) -> Callable[..., None]:
    """A check that prints one line: what ``find`` gives is right, what it complains of is not yet."""

    @wraps(find)
    def check(*args: Any) -> None:
        try:
            print(f"Right: {find(*args)}")
        except Complaint as complaint:
            print(f"Not yet: {complaint}")

    return check


@dataclass(frozen=True, repr=False)  # a repr would show the answer to who forgets the brackets
class Number:
    """A check of one number: ``check = Number(12, "tokens") | {"that is the half.": 6}``, then ``check(answer)``.

    Attributes:
        expected: the right one, finite.
        unit: its unit, in the plural.
        mistakes: what a wrong answer tells, mapped to the number that it gives.
    """

    expected: float
    unit: str
    mistakes: dict[str, float] = field(default_factory=dict)

    def __or__(self, mistakes: dict[str, float]) -> Number:
        """The same question, by which these mistakes are known."""
        return replace(self, mistakes=self.mistakes | mistakes)

    @in_one_line
    def __call__(self, answer: Any) -> str:
        """Print whether an answer is right and, where it equals a known mistake, which.

        Args:
            answer: the reader's number; ``...`` while it is not written yet.
        """
        need(answer is not ..., f"replace the three dots by your answer, in {self.unit}.")
        need(is_number(answer), f"the answer is a number of {self.unit}, not {_kind(answer)}.")
        if not math.isclose(answer, self.expected, rel_tol=1e-3):
            raise Complaint(self._diagnose(answer))
        return f"{self.expected:,.10g} {self.unit}."

    def _diagnose(self, answer: float) -> str:
        for message, value in self.mistakes.items():
            if math.isclose(answer, value, rel_tol=1e-3):
                return message
        if answer <= 0 < self.expected:
            return "it must be more than 0."
        if self.expected <= 0:
            return f"{answer:,.10g} is not it."
        return f"{answer:,.10g} is {how_far(answer, self.expected)}."


def _kind(answer: Any) -> str:
    return repr(answer) if isinstance(answer, float) else type(answer).__name__

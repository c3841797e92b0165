"""Checks for exercises that say what went wrong: each knows the mistakes that people make."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from helpers.measuring.comparisons import how_far


def check_number(answer: Any, expected: float, unit: str, mistakes: dict[str, float] | None = None) -> None:
    """Print whether a number is right and, where it equals a known mistake, which.

    Args:
        answer: the reader's number; ``...`` while it is not written yet.
        expected: the right one, finite.
        unit: its unit, in the plural.
        mistakes: what a wrong answer tells, mapped to the number that it gives.
    """
    if answer is ...:
        print(f"Not yet: replace the three dots by your answer, in {unit}.")
    elif isinstance(answer, bool) or not isinstance(answer, Real) or not math.isfinite(answer):
        print(f"Not yet: the answer is a number of {unit}, not {_kind(answer)}.")
    elif math.isclose(answer, expected, rel_tol=1e-3):
        print(f"Right: {expected:,.10g} {unit}.")
    else:
        print(f"Not yet: {_diagnose(answer, expected, mistakes or {})}")


def check_stages(*stages: tuple[str, Callable[[], str | None]]) -> bool:
    """Print stage by stage what is right, and stop at the first that is not; returns whether all were.

    Args:
        stages: the name of each, and a function that gives None, or one line that says what is wrong and why, probably.
    """
    for number, (name, find_problem) in enumerate(stages, start=1):
        problem = find_problem()
        if problem:
            print(f"Stage {number} of {len(stages)}, {name}. Not yet: {problem}")
            return False
        print(f"Stage {number} of {len(stages)}, {name}: right.")
    return True


def _diagnose(answer: float, expected: float, mistakes: dict[str, float]) -> str:
    for message, value in mistakes.items():
        if math.isclose(answer, value, rel_tol=1e-3):
            return message
    if answer <= 0 < expected:
        return "it must be more than 0."
    if expected <= 0:
        return f"{answer:,.10g} is not it."
    return f"{answer:,.10g} is {how_far(answer, expected)}."


def _kind(answer: Any) -> str:
    return repr(answer) if isinstance(answer, float) else type(answer).__name__

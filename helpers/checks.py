"""Checks for exercises that say what went wrong: each knows the mistakes that people make."""

from __future__ import annotations

import math
from typing import Any


def check_number(answer: Any, expected: float, unit: str, mistakes: dict[str, float] | None = None) -> None:
    """Print whether a number is right and, where it equals a known mistake, which.

    Args:
        answer: the reader's number; ``...`` while it is not written yet.
        expected: the right one.
        unit: its unit, in the plural.
        mistakes: what a wrong answer tells, mapped to the number that it gives.
    """
    if answer is ...:
        print(f"Not yet: replace the three dots by your answer, in {unit}.")
    elif isinstance(answer, bool) or not isinstance(answer, int | float):
        print(f"Not yet: the answer is a number of {unit}, not {type(answer).__name__}.")
    elif math.isclose(answer, expected, rel_tol=1e-3):
        print(f"Right: {expected:,.10g} {unit}.")
    else:
        print(f"Not yet: {_diagnose(answer, expected, mistakes or {})}")


def _diagnose(answer: float, expected: float, mistakes: dict[str, float]) -> str:
    for message, value in mistakes.items():
        if math.isclose(answer, value, rel_tol=1e-3):
            return message
    if answer <= 0:
        return "it must be more than 0."
    ratio = max(answer / expected, expected / answer)
    return f"{answer:,.10g} is {ratio:,.3g} times too {'large' if answer > expected else 'small'}."

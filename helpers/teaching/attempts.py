"""Runs a reader's code for a check: whatever goes wrong in it becomes one line that says so."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any


class Complaint(Exception):
    """One line for the reader: what is wrong, and what the likely mistake is."""


def need(condition: object, problem: str) -> None:
    """Complain unless the condition holds.

    Raises:
        Complaint: with ``problem``.
    """
    if not condition:
        raise Complaint(problem)


def attempt(
    case: str, call: Callable[..., Any], *args: Any, passes: type[Exception] = NotImplementedError, end: str = ""
) -> Any:
    """What the reader's function gives; a stub's NotImplementedError passes through.

    Args:
        case: the call in words, to begin the line with.
        call: the reader's function.
        args: its arguments.
        passes: an exception that belongs to the task and is not to be caught either.
        end: what the line ends with.

    Raises:
        Complaint: if the function raises anything else.
    """
    try:
        return call(*args)
    except (NotImplementedError, passes):
        raise
    except Exception as error:  # the reader's code may raise anything
        raise Complaint(f"{case} raised {type(error).__name__}: {error}{end}") from error


def result_of(function: Callable[..., Any], *args: Any) -> Any:
    """What the reader's function gives back.

    Raises:
        Complaint: if it raises anything, or gives nothing back.
    """
    found = attempt("it", function, *args, end=".")
    need(found is not None and found is not ..., "it gives nothing back: is there a return?")
    return found


def is_number(found: Any) -> bool:
    """Whether it is a finite number; True and False are none."""
    return isinstance(found, Real) and not isinstance(found, bool) and math.isfinite(found)


def require_function(answer: Any) -> None:
    """Complain unless the three dots have become a function."""
    need(answer is not ..., "replace the three dots by your function.")
    need(callable(answer), f"the answer is a function, not {type(answer).__name__}.")

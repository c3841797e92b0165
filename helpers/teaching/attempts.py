"""Runs a reader's code for a check: whatever goes wrong in it becomes one line that says so."""

from __future__ import annotations

from collections.abc import Callable
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


def attempt(case: str, call: Callable[..., Any], *args: Any, passes: type[Exception] = NotImplementedError) -> Any:
    """What the reader's function gives; a stub's NotImplementedError passes through.

    Args:
        case: the call in words, to begin the line with.
        call: the reader's function.
        args: its arguments.
        passes: an exception that belongs to the task and is not to be caught either.

    Raises:
        Complaint: if the function raises anything else.
    """
    try:
        return call(*args)
    except (NotImplementedError, passes):
        raise
    except Exception as error:  # the reader's code may raise anything
        raise Complaint(f"{case} raised {type(error).__name__}: {error}") from error


def stage(name: str, find: Callable[..., None], *args: Any) -> tuple[str, Callable[[], str | None]]:
    """A stage for ``check_stages``: ``find(*args)`` complains or is content."""

    def problem() -> str | None:
        try:
            find(*args)
        except Complaint as complaint:
            return str(complaint)
        return None

    return name, problem


def call(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str | None]:
    """What a function gives, and one line on what went wrong, or None; for checks that look at many calls.

    Raises:
        NotImplementedError: if the function does; its sentence tells the reader what to write.
    """
    try:
        found = attempt("it", function, *arguments)
    except Complaint as complaint:
        return None, f"{complaint}."
    if found is None or found is ...:
        return None, "it gives nothing back: is there a return?"
    return found, None

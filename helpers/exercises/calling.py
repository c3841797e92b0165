"""Calls the reader's own function: what it raises becomes one line, but for the sentence of a stub not yet written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def call(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str | None]:
    """What a function gives, and one line on what went wrong, or None.

    Raises:
        NotImplementedError: if the function does; its sentence tells the reader what to write.
    """
    try:
        found = function(*arguments)
    except NotImplementedError:
        raise
    except Exception as error:  # the reader's code may raise anything
        return None, f"it raised {type(error).__name__}: {error}."
    if found is None or found is ...:
        return None, "it gives nothing back: is there a return?"
    return found, None

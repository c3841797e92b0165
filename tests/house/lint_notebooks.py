"""What every lesson must be: all rules on its code and on its prose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.house import lint_code, lint_english, lint_prose
from tests.house.lint_prose import links_resolve
from tests.house.notebooks import Notebook

RULES: list[Callable[[Notebook], list[str]]] = [*lint_code.RULES, *lint_prose.RULES, *lint_english.RULES]


def lint(notebook: Notebook, folder: Path = Path(".")) -> list[str]:
    """All problems of one lesson; an empty list is a clean lesson.

    Args:
        notebook: the parsed notebook.
        folder: the notebook's own folder, from which its relative links start.
    """
    return [problem for rule in RULES for problem in rule(notebook)] + links_resolve(notebook, folder)

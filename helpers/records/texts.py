"""Texts to measure a model on, which nobody has trained on: frozen, so that a figure can be had again.

``english`` was written for this and holds 28 pieces that have nothing to do with each other; ``lists`` was too;
``code`` is some of the course's Python and ``course`` of its lessons' prose, as they once were.
"""

from __future__ import annotations

import random

from helpers.records.measured import FOLDER

TEXTS = ("english", "code", "lists", "course")


def read_text(name: str) -> str:
    """The frozen text of that name, one of ``TEXTS``.

    Raises:
        ValueError: if there is no such text.
    """
    if name not in TEXTS:
        raise ValueError(f"name is {name!r}; it may be {', '.join(TEXTS)}")
    return (FOLDER / "texts" / f"{name}.txt").read_text(encoding="utf-8")


def random_tokens(count: int, vocabulary: int, seed: int = 0) -> list[int]:
    """Tokens that mean nothing: each of the first ``vocabulary`` is as likely as any other."""
    draw = random.Random(seed)
    return [draw.randrange(vocabulary) for _ in range(count)]

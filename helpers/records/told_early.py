"""A fact told early in a conversation: what SmolLM2 says when it is asked, and which heads still had its rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from helpers.records.garage import unpacked
from helpers.records.measured import Measured, read
from helpers.records.smollm2_sweep import EVERY_HEAD, NO_EVICTION


@dataclass(frozen=True)
class Said:
    """Twelve conversations under one policy, budget and selection mode.

    Attributes:
        said: per conversation the answer, up to the first token that is wrong.
        heads_left: per conversation, how many heads have each token's row when the question has been read.
    """

    said: tuple[str, ...]
    heads_left: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class ToldEarly(Measured):
    """The saved conversations.

    Attributes:
        told, answers: the facts, and the words that answer.
        asked: per fact the question, and how the answer begins.
        told_at: per fact its first token, and the first after it.
        n_heads: KV heads of all layers together.
        shares: budgets, as shares of a conversation.
        cells: by policy, share and selection mode.
    """

    told: tuple[str, ...]
    answers: tuple[str, ...]
    asked: tuple[tuple[str, str], ...]
    told_at: tuple[tuple[int, int], ...]
    n_heads: int
    shares: tuple[float, ...]
    cells: dict[tuple[str, float, str], Said]

    def find(self, policy: str, share: float = 1.0, selection: str = EVERY_HEAD) -> Said:
        """The conversations of one cell; of no eviction, name ``NO_EVICTION``.

        Raises:
            ValueError: if it was not recorded.
        """
        if policy == NO_EVICTION:
            share, selection = 1.0, EVERY_HEAD
        if (policy, share, selection) not in self.cells:
            raise ValueError(f"{policy}, {selection}, was not recorded with {share:.1%} of the rows")
        return self.cells[policy, share, selection]

    @property
    def policies(self) -> list[str]:
        """Those that were recorded, in the register's order."""
        return list(dict.fromkeys(policy for policy, *_ in self.cells if policy != NO_EVICTION))


@cache
def load_told_early() -> ToldEarly:
    """The saved conversations."""
    facts = read("told_early")
    cells = {
        (cell["policy"], cell["share"], cell["selection"]): Said(
            tuple(cell["said"]), tuple(unpacked(text, -1) for text in cell["heads_left"])
        )
        for cell in facts.pop("cells")
    }
    lists = {name: tuple(facts.pop(name)) for name in ("told", "answers", "shares")}
    pairs = {name: tuple(map(tuple, facts.pop(name))) for name in ("asked", "told_at")}
    return ToldEarly(facts, **lists, **pairs, n_heads=facts["n_heads"], cells=cells)

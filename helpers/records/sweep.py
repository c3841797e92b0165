"""The saved sweeps, read back: policies, budgets and selection modes on the reasoner. No torch is needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from helpers.measuring.comparisons import Answers
from helpers.records.measured import RECORDS

DATA = RECORDS / "sweep.json"  # written by ``python -m helpers.experiments.sweep``


@dataclass(frozen=True)
class Result(Answers):
    """One cell of the sweep: the same worksheets under one policy, budget and selection mode.

    Attributes:
        right: per worksheet, whether every token of thought and answer was right.
        lookups, lookups_right: per worksheet, its look-ups and how many of them gave the right value.
        compressions: how often the cache was compressed.
        blocks_freed: blocks given back, per worksheet.
    """

    right: tuple[bool, ...]
    lookups: tuple[int, ...]
    lookups_right: tuple[int, ...]
    compressions: int
    blocks_freed: float

    @property
    def share_of_lookups(self) -> float:
        """Share of look-ups, over all worksheets, that gave the right value."""
        return sum(self.lookups_right) / sum(self.lookups)


@dataclass(frozen=True)
class Sweep:
    """A saved sweep: ``facts`` on how it was made, and its results."""

    facts: dict[str, Any]
    results: dict[tuple[str, float, str, bool], Result]

    def find(self, policy: str, share: float, selection: str, compact: bool = True) -> Result:
        """The result of one cell.

        Raises:
            ValueError: if the sweep has no such cell.
        """
        key = (policy, share, selection, compact)
        if key not in self.results:
            raise ValueError(f"the sweep has no cell {key}; run python -m helpers.experiments.sweep")
        return self.results[key]

    @property
    def made_on(self) -> str:
        """Machine, versions and date, for a caption."""
        machine, date = self.facts["machine"], self.facts["date"]
        versions = f"torch {machine['torch']}, transformers {machine['transformers']}"
        return f"{machine['cpu']}, {machine['cores']} cores, {versions}, {date}"


@cache
def load_sweep(path: Path = DATA) -> Sweep:
    """Read the saved sweep."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    cells = facts.pop("cells")
    return Sweep(facts, {_key(cell): _result(cell) for cell in cells})


def _key(cell: dict[str, Any]) -> tuple[str, float, str, bool]:
    return cell["policy"], cell["share"], cell["selection"], cell["compact"]


def _result(cell: dict[str, Any]) -> Result:
    right = tuple(digit == "1" for digit in cell["right"])
    return Result(
        right, tuple(cell["lookups"]), tuple(cell["lookups_right"]), cell["compressions"], cell["blocks_freed"]
    )

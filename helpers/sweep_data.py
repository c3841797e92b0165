"""The saved sweeps, read back: policies, budgets and selection modes on the reasoner. No torch is needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from helpers.measuring.comparisons import Answers

DATA = Path(__file__).parent / "data" / "sweep.json"  # written by ``python -m helpers.sweep``
RECALL_DATA = Path(__file__).parent / "data" / "recall.json"  # written by ``python -m helpers.recall``


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
            raise ValueError(f"the sweep has no cell {key}; run python -m helpers.sweep")
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


@dataclass(frozen=True)
class Recall:
    """Look-ups of one cell of the recall data: did the head that looks up have a copy of the value, did it come out.

    Attributes:
        sheets_right: worksheets right from the first token to the last.
        with_copy, right_with_copy: look-ups with a copy left, and how many of them gave the right value.
        without_copy, right_without_copy: the others.
        values_among_kept: share of values among the rows that the head had left at the end.
    """

    sheets_right: int
    with_copy: int
    right_with_copy: int
    without_copy: int
    right_without_copy: int
    values_among_kept: float

    @property
    def recall(self) -> float:
        """Share of look-ups with a copy left."""
        return self.with_copy / (self.with_copy + self.without_copy)

    @property
    def right(self) -> float:
        """Share of look-ups that gave the right value."""
        return (self.right_with_copy + self.right_without_copy) / (self.with_copy + self.without_copy)


@cache
def load_recall(path: Path = RECALL_DATA) -> tuple[dict[str, Any], dict[tuple[str, float, str], Recall]]:
    """Read the saved recall data: how it was made, and its cells by policy, share and selection mode."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    cells = {}
    for cell in facts.pop("cells"):
        key = cell.pop("policy"), cell.pop("share"), cell.pop("selection")
        cells[key] = Recall(without_copy=facts["lookups"] - cell["with_copy"], **cell)
    return facts, cells

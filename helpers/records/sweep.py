"""Policies, budgets and selection modes on the reasoner."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from helpers.measuring.comparisons import Answers
from helpers.records.measured import Measured, read


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


Kind = TypeVar("Kind", bound=Result)


@dataclass(frozen=True)
class Sweep(Measured):
    """A saved sweep: its results by policy, share, selection mode, and whether survivors were slid together."""

    results: dict[tuple[str, float, str, bool], Result]

    @property
    def shown(self) -> list[str]:
        """The policies that pictures show, in the register's order; the others make a table."""
        return self.facts["shown"]

    def find(self, policy: str, share: float, selection: str, compact: bool = True) -> Result:
        """The result of one cell.

        Raises:
            ValueError: if the sweep has no such cell.
        """
        key = (policy, share, selection, compact)
        if key not in self.results:
            raise ValueError(f"the sweep has no cell {key}; run python -m helpers.experiments.sweep")
        return self.results[key]


@cache
def load_sweep() -> Sweep:
    """The saved sweep."""
    facts = read("sweep")
    cells = facts.pop("cells")
    return Sweep(facts, {_key(cell): result_as(Result, cell) for cell in cells})


def _key(cell: dict[str, Any]) -> tuple[str, float, str, bool]:
    return cell["policy"], cell["share"], cell["selection"], cell["compact"]


def result_as(kind: type[Kind], saved: dict[str, Any]) -> Kind:
    """A result as an experiment saved it, ``right`` a digit per worksheet; what ``kind`` has no field for is left."""
    values = {name: saved[name] for name in kind.__dataclass_fields__}
    lists = {name: tuple(values[name]) for name in ("lookups", "lookups_right")}
    return kind(**values | lists | {"right": tuple(digit == "1" for digit in saved["right"])})

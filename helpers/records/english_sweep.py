"""Policies and selection modes on the English reasoner, and what the head that looks values up had left."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from helpers.measuring.comparisons import Answers
from helpers.records.measured import Measured, read
from helpers.records.smollm2_sweep import EVERY_HEAD


@dataclass(frozen=True)
class English(Answers):
    """The same worksheets in words under one policy and selection mode, half of the thought kept.

    Attributes:
        right: per worksheet, whether every token of thought and answer was right.
        lookups, lookups_right: per worksheet, its look-ups and how many of them gave the right value.
        compressions: how often the cache was compressed.
        blocks_freed: blocks given back, per worksheet.
        formula_lookups: look-ups of formulas' values, of all worksheets; a constant's value stands in the prompt.
        with_copy: those for which the head that looks up had a copy of the value left.
        right_with_copy, right_without_copy: how many gave the right value with a copy left, and without.
    """

    right: tuple[bool, ...]
    lookups: tuple[int, ...]
    lookups_right: tuple[int, ...]
    compressions: int
    blocks_freed: float
    formula_lookups: int
    with_copy: int
    right_with_copy: int
    right_without_copy: int

    @property
    def recall(self) -> float:
        """Share of look-ups of formulas' values with a copy left."""
        return self.with_copy / self.formula_lookups

    @property
    def share_of_lookups(self) -> float:
        """Share of look-ups, over all worksheets, that gave the right value."""
        return sum(self.lookups_right) / sum(self.lookups)


@dataclass(frozen=True)
class EnglishSweep(Measured):
    """A saved sweep: its results by policy and selection mode; of policies whose heads are alike in one mode alone."""

    results: dict[tuple[str, str], English]

    def find(self, policy: str, selection: str = EVERY_HEAD) -> English:
        """The result of one cell.

        Raises:
            ValueError: if the sweep has no such cell.
        """
        if (policy, selection) not in self.results:
            raise ValueError(f"the sweep has no cell {(policy, selection)}; it has {list(self.results)}")
        return self.results[policy, selection]


@cache
def load_english_sweep() -> EnglishSweep:
    """The saved sweep of the English reasoner."""
    facts, results = read("english_sweep"), {}
    for cell in facts.pop("cells"):
        key = cell.pop("policy"), cell.pop("selection")
        del cell["share"], cell["compact"]  # half of the thought, slid together, in all
        results[key] = english_of(cell)
    return EnglishSweep(facts, results)


def english_of(saved: dict[str, Any]) -> English:
    """A result as it is saved, ``right`` a digit per worksheet."""
    lists = {name: tuple(map(int, saved[name])) for name in ("lookups", "lookups_right")}
    return English(**saved | lists | {"right": tuple(digit == "1" for digit in saved["right"])})

"""Policies and selection modes on the English reasoner, and what the head that looks values up had left."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.records.measured import Measured, read
from helpers.records.smollm2_sweep import EVERY_HEAD
from helpers.records.sweep import Result, result_as


@dataclass(frozen=True)
class Traced(Result):
    """A result whose look-ups of formulas' values were traced to the head that looks up; constants are in the prompt.

    Attributes:
        formula_lookups: such look-ups, of all worksheets.
        with_copy: those for which the head had a copy of the value left.
        right_with_copy, right_without_copy: how many gave the right value with a copy left, and without.
    """

    formula_lookups: int
    with_copy: int
    right_with_copy: int
    right_without_copy: int

    @property
    def recall(self) -> float:
        """Share of these look-ups with a copy left."""
        return self.with_copy / self.formula_lookups


@dataclass(frozen=True)
class EnglishSweep(Measured):
    """A saved sweep: its results by policy and selection mode; of policies whose heads are alike in one mode alone."""

    results: dict[tuple[str, str], Traced]

    def find(self, policy: str, selection: str = EVERY_HEAD) -> Traced:
        """The result of one cell.

        Raises:
            ValueError: if the sweep has no such cell.
        """
        if (policy, selection) not in self.results:
            raise ValueError(f"the sweep has no cell {(policy, selection)}; it has {list(self.results)}")
        return self.results[policy, selection]

    def by_mode(self, policy: str) -> dict[str, Traced]:
        """A policy's results by selection mode, in the order of the sweep."""
        return {selection: result for (name, selection), result in self.results.items() if name == policy}


@cache
def load_english_sweep() -> EnglishSweep:
    """The saved sweep of the English reasoner."""
    facts = read("english_sweep")
    cells = facts.pop("cells")  # half of the thought kept, and survivors slid together, in all
    return EnglishSweep(facts, {(cell["policy"], cell["selection"]): result_as(Traced, cell) for cell in cells})

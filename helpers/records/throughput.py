"""Decoded tokens per second with and without eviction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from helpers.arithmetic.footprint import format_bytes
from helpers.records.measured import Measured, read

FULL, TRI = "full attention", "TriAttention"


@dataclass(frozen=True)
class Line:
    """One candidate at one batch.

    Attributes:
        name, budget: the candidate; no budget for full attention.
        batch: sequences.
        tokens_per_second: of all sequences together.
        bytes_held: of K and V, at the peak, of all sequences.
        floor_share: the time that weights and rows take at the speed of a plain copy, over the time of a step.
        compaction_share: scoring and moving rows, as a share of all time.
    """

    name: str
    budget: int | None
    batch: int
    tokens_per_second: float
    bytes_held: int
    floor_share: float
    compaction_share: float

    def __str__(self) -> str:
        name = self.name + (f", budget {self.budget:,}" if self.budget else "")
        speed = f"{self.tokens_per_second:9,.2f} tokens/s, floor {self.floor_share:4.0%}"
        return f"{name:32} batch {self.batch:4}: {speed}, {format_bytes(self.bytes_held):>9} of cache"


@dataclass(frozen=True)
class Throughput(Measured):
    """The table: ``equal`` and ``largest`` hold the lines of each comparison, full attention first."""

    equal: tuple[Line, ...]
    largest: tuple[Line, ...]

    @property
    def shape(self) -> str:
        """Name of the model whose shape was measured, with random weights."""
        return self.facts["plan"]["shape"]

    @property
    def tokens(self) -> int:
        """Length of the thought."""
        return self.facts["plan"]["tokens"]

    def find(self, which: str, name: str, budget: int | None = None) -> Line:
        """A line of the comparison ``equal`` or ``largest``.

        Raises:
            ValueError: if it was not measured.
        """
        for line in getattr(self, which):
            if (line.name, line.budget) == (name, budget):
                return line
        raise ValueError(f"the saved table has no {name} with budget {budget} at {which} batch")

    def ratios(self, which: str, budget: int) -> tuple[float, float]:
        """Speed and bytes of TriAttention at a budget against full attention: so many times faster, and smaller."""
        full, tri = self.find(which, FULL), self.find(which, TRI, budget)
        return tri.tokens_per_second / full.tokens_per_second, full.bytes_held / tri.bytes_held


def read_throughput(report: dict[str, Any]) -> Throughput:
    """The table of a report of ``helpers.experiments.throughput``, without the lines that ran out of memory."""
    facts = {name: value for name, value in report.items() if name != "lines"}
    lines = [line for line in report["lines"] if "error" not in line]
    equal, largest = ([_line(line) for line in lines if line[which]] for which in ("equal", "largest"))
    return Throughput(facts, tuple(equal), tuple(largest))


@cache
def load_throughput() -> Throughput:
    """The saved table."""
    return read_throughput(read("throughput"))


def _line(line: dict[str, Any]) -> Line:
    return Line(**{name: line[name] for name in Line.__dataclass_fields__})

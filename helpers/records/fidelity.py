"""What KV formats cost the reasoner in answers, for every pair of them, one for K and one for V."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.arithmetic.catalog import KV_LAYOUTS
from helpers.measuring.comparisons import Answers
from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class Pair(Answers):
    """One line of the table: the same worksheets with K in one format and V in another.

    Attributes:
        k, v: names of the two formats.
        right: per worksheet, whether every token of thought and answer was right.
        wrong_tokens: tokens that were not, over all worksheets.
        median, tail: error of attention's output, as a share of the output: in the middle, and the one that one output
            in a thousand exceeds.
    """

    k: str
    v: str
    right: tuple[bool, ...]
    wrong_tokens: int
    median: float
    tail: float

    @property
    def bits(self) -> float:
        """Bits per number, the mean of K and V, scales included."""
        return (KV_LAYOUTS[self.k].bits + KV_LAYOUTS[self.v].bits) / 2


@dataclass(frozen=True)
class Table(Measured):
    """The saved table: its pairs, and among its facts the relative errors of rows."""

    pairs: dict[tuple[str, str], Pair]

    def find(self, kv_format: str | tuple[str, str]) -> Pair:
        """The pair of a format for both, or of a format for K and one for V.

        Raises:
            ValueError: if the pair was not measured.
        """
        pair = (kv_format, kv_format) if isinstance(kv_format, str) else tuple(kv_format)
        if pair not in self.pairs:
            names = sorted({name for each in self.pairs for name in each})
            raise ValueError(f"kv_format is {kv_format!r}; measured are {', '.join(names)} and their pairs")
        return self.pairs[pair]


@cache
def load_table() -> Table:
    """The saved table."""
    facts = read("fidelity")
    pairs = [Pair(**line | {"right": tuple(d == "1" for d in line["right"])}) for line in facts.pop("pairs")]
    return Table(facts, {(pair.k, pair.v): pair for pair in pairs})

"""Answers of the reasoner by KV format when rows are turned before they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.measuring.comparisons import Answers
from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class TurnedPair(Answers):
    """The worksheets of ``load_table`` with K in one format and V in another, quantized rows turned first.

    Attributes:
        k, v: names of the two formats.
        right: per worksheet, whether every token of thought and answer was right.
        wrong_tokens: tokens that were not, over all worksheets.
    """

    k: str
    v: str
    right: tuple[bool, ...]
    wrong_tokens: int


@dataclass(frozen=True)
class TurnedAnswers(Measured):
    """All pairs, by format of K and of V."""

    pairs: dict[tuple[str, str], TurnedPair]


@cache
def load_turned_answers() -> TurnedAnswers:
    """The saved answers."""
    facts = read("turned_answers")
    pairs = [TurnedPair(**line | {"right": tuple(d == "1" for d in line["right"])}) for line in facts.pop("pairs")]
    return TurnedAnswers(facts, {(pair.k, pair.v): pair for pair in pairs})

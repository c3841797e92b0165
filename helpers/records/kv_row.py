"""One row of keys that SmolLM2 keeps of a word, to be stored in every format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class KVRow(Measured):
    """The saved row: its numbers, in the order in which the cache holds them."""

    row: list[float]


@cache
def load_kv_row() -> KVRow:
    """The saved row of keys."""
    facts = read("kv_row")
    return KVRow(facts, facts.pop("row"))

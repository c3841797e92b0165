"""TriAttention on the English reasoner, where some heads score by the mean query of their look-ups alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.records.english_sweep import Traced
from helpers.records.measured import Measured, read
from helpers.records.sweep import result_as

NONE, THE_ONE, OTHER, ALL = "none", "the one that looks up", "another of its layer", "all"


@dataclass(frozen=True)
class EnglishLookups(Measured):
    """The saved runs, by which heads score so."""

    results: dict[str, Traced]


@cache
def load_english_lookups() -> EnglishLookups:
    """The saved runs."""
    facts = read("english_lookups")
    return EnglishLookups(facts, {each["heads"]: result_as(Traced, each) for each in facts.pop("heads")})

"""Answers of the reasoner when llama.cpp runs it, by format of the KV cache."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.measuring.comparisons import Answers
from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class EnginePair(Answers):
    """llama.cpp's answers with K in one format and V in another, on the first worksheets of ``load_table``'s.

    Attributes:
        k, v: names of the two formats.
        right: per worksheet, whether every token of thought and answer was right, as in the table.
        answered: worksheets whose final answer was right.
        kv_mib: MiB of its cache, as llama.cpp printed them.
    """

    k: str
    v: str
    right: tuple[bool, ...]
    answered: int
    kv_mib: float


@dataclass(frozen=True)
class LlamaCppFormats(Measured):
    """All pairs, by format of K and of V."""

    pairs: dict[tuple[str, str], EnginePair]


@cache
def load_llama_cpp_formats() -> LlamaCppFormats:
    """The saved answers."""
    facts = read("llama_cpp_formats")
    pairs = [EnginePair(**line | {"right": tuple(d == "1" for d in line["right"])}) for line in facts.pop("pairs")]
    return LlamaCppFormats(facts, {(pair.k, pair.v): pair for pair in pairs})

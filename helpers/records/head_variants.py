"""Reasoners that grew up with other numbers of KV heads: their answers, and R while they learned."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import cache
from typing import Any

from helpers.measuring.comparisons import Answers
from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class Variant(Answers):
    """One training.

    Attributes:
        n_kv_heads, seed: what was varied: KV heads per layer, and the start.
        bytes_per_token: of its cache, in fp16.
        tokens: of its training.
        right: per worksheet of the exam, whether the final answer was right.
        grown_after: tokens of training after which the worksheets had their full length; None if they never had.
        concentration: tokens of training and R there, the mean over all query heads in their two strongest bands.
    """

    n_kv_heads: int
    seed: int
    bytes_per_token: int
    tokens: int
    right: tuple[bool, ...]
    grown_after: int | None
    concentration: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class HeadVariants(Measured):
    """All trainings, those with the most KV heads first."""

    variants: tuple[Variant, ...]

    @property
    def kv_heads(self) -> list[int]:
        """The numbers of KV heads, the largest first."""
        return sorted({variant.n_kv_heads for variant in self.variants}, reverse=True)

    def of(self, n_kv_heads: int) -> list[Variant]:
        """The trainings with so many KV heads, one per start."""
        return [variant for variant in self.variants if variant.n_kv_heads == n_kv_heads]


def read_head_variants(report: dict[str, Any]) -> HeadVariants:
    """The trainings of a report of ``helpers.experiments.head_variants``."""
    facts = {name: value for name, value in report.items() if name != "variants"}
    return HeadVariants(facts, tuple(_variant(line, facts["lines"]) for line in report["variants"]))


@cache
def load_head_variants() -> HeadVariants:
    """The saved trainings."""
    return read_head_variants(read("head_variants"))


def _variant(line: dict[str, Any], n_lines: int) -> Variant:
    grown = [tokens for tokens, longest, _ in line["history_tokens_lines_loss"] if longest >= n_lines]
    noted = [(each["tokens"], statistics.fmean(sum(each["R"], []))) for each in line["concentration"]]
    return Variant(
        n_kv_heads=line["n_kv_heads"],
        seed=line["seed"],
        bytes_per_token=line["bytes_per_token_fp16"],
        tokens=line["tokens"],
        right=tuple(digit == "1" for digit in line["right"]),
        grown_after=grown[0] if grown else None,
        concentration=tuple(noted),
    )

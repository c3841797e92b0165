"""Checks of the exercises of lesson 03: the right number, and the mistakes that people make on the way."""

from __future__ import annotations

from typing import Any

from helpers.arithmetic.catalog import GB, GiB, KiB, find_card
from helpers.arithmetic.footprint import MemoryBudget, decode_ceiling
from helpers.teaching.checks import check_number


def check_two_at_once(answer: Any) -> None:
    """GiB for two sequences of 8,192 tokens beside 18 GiB of weights and 0.75 GiB of overhead."""
    total = MemoryBudget(0.75 * GiB, 18 * GiB, 256 * KiB * 8_192, sequences=2).total / GiB
    mistakes = {
        "that is for one person; the cache is there once per person.": total - 2,
        "the overhead is missing.": total - 0.75,
        "the weights are loaded once, for both.": total + 18,
        "weights and overhead are there once, for both.": total + 18.75,
        "that is in bytes; the question is for GiB.": total * GiB,
    }
    check_number(answer, total, "GiB", mistakes)


def check_how_many_steps(answer: Any) -> None:
    """Whole steps of 2,000 tokens after a prefix of 10,000, within 131,072."""
    mistakes = {
        "the prefix takes room before the first step.": 131_072 // 2_000,
        "the last step does not fit whole.": 61,
        "only whole steps count.": (131_072 - 10_000) / 2_000,
    }
    check_number(answer, (131_072 - 10_000) // 2_000, "steps", mistakes)


def check_the_ceiling(answer: Any) -> None:
    """Tokens per second of Llama-3.1-8B in bf16 on an RTX 4090 with 32,768 tokens in the cache."""
    bandwidth, weights, cache = find_card("RTX 4090").bandwidth, 16.06 * GB, 32_768 * 131_072
    mistakes = {
        "that is with an empty cache; the cache is read too.": bandwidth / weights,
        "the weights are read too.": bandwidth / cache,
        "that is seconds per token; turn it round.": (weights + cache) / bandwidth,
    }
    check_number(answer, decode_ceiling(bandwidth, weights, cache), "tokens per second", mistakes)


def check_how_much_sharing(answer: Any) -> None:
    """Tokens of prefix that four agents at 131,072 tokens must share to fit into 100 GiB."""
    fit = 100 * GiB // 327_680
    over = 4 * 131_072 - fit
    mistakes = {
        "the prefix is still kept once: each of its tokens spares three, not four.": over / 4,
        "that is how many tokens are too many; each shared token spares three of them.": over,
        "that is how many tokens fit; how many must go?": fit,
        "that is what each keeps for itself if nothing is shared.": fit / 4,
    }
    check_number(answer, over / 3, "tokens", mistakes)

"""Checks of the exercises of lesson 02: the right number, and the mistakes that people make on the way."""

from __future__ import annotations

from typing import Any

from helpers.arithmetic.catalog import MODELS
from helpers.arithmetic.footprint import KVShape
from helpers.teaching.checks import check_number


def check_one_for_all(answer: Any) -> None:
    """Bytes of one token of Qwen3-32B if all its query heads shared one KV head."""
    mistakes = {
        "that is with the 8 KV heads that it has.": 64 * 8 * 128 * 2 * 2,
        "that is with 64 KV heads, one for each query head.": 64 * 64 * 128 * 2 * 2,
        "keys and values are both kept.": 64 * 128 * 2,
        "hidden size over query heads is 80, but the file names head_dim 128.": 64 * 80 * 2 * 2,
    }
    check_number(answer, KVShape(64, 1, 128).bytes_per_token(), "bytes", mistakes)


def check_short_stay(answer: Any) -> None:
    """Bytes that gpt-oss-20b keeps after 10,000 tokens."""
    row = 2 * 8 * 64 * 2
    mistakes = {
        "the sliding layers do not keep all 10,000 tokens.": 24 * 10_000 * row,
        "a sliding layer keeps one row fewer than its window: the token being read makes up the rest.": (
            12 * (10_000 + 128) * row
        ),
        "the sliding layers keep rows too.": 12 * 10_000 * row,
        "keys and values are both kept.": 12 * (10_000 + 127) * row // 2,
        "64 is the number of query heads; 8 KV heads keep rows.": 12 * (10_000 + 127) * row * 8,
    }
    shape = KVShape.from_config(MODELS["gpt-oss-20b"].config)
    check_number(answer, shape.bytes(10_000), "bytes", mistakes)


def check_guide(answer: Any) -> None:
    """Bytes per token that a guide must have used which gives 160 GiB for 131,072 tokens of Llama-3-70B."""
    mistakes = {
        "that is the true value; the guide's is 4 times as much.": 327_680,
        "that is with 64 heads and both keys and values, and gives 320 GiB.": 2_621_440,
        "that is in KiB.": 1_280,
        "that is the factor; the question is for bytes per token.": 4,
    }
    check_number(answer, 80 * 64 * 128 * 2, "bytes", mistakes)

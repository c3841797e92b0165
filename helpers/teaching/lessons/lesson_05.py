"""Checks of the exercises of lesson 05: the right number, and the mistakes that people make on the way."""

from __future__ import annotations

from typing import Any

from helpers.arithmetic.catalog import GB, MODELS, GiB
from helpers.arithmetic.footprint import KVShape
from helpers.cache.block_pool import blocks_for
from helpers.teaching.checks import check_number


def check_four_requests(answer: Any) -> None:
    """Blocks of 16 for requests of 100, 1, 16 and 17 tokens."""
    lengths = (100, 1, 16, 17)
    mistakes = {
        "two requests never share a block unless they share its tokens: round up for each, not for the sum.": 9,
        "a block is held whole, even for one token.": sum(lengths) / 16,
        "16 tokens fill one block exactly; the next is taken when token 17 comes.": 12,
    }
    check_number(answer, sum(blocks_for(length, 16) for length in lengths), "blocks", mistakes)


def check_four_forks(answer: Any) -> None:
    """Blocks of 16 for four forks of 1,000 tokens that write 100 each, when the parent has left."""
    full, own = 1_000 // 16, blocks_for(1_100, 16) - 1_000 // 16
    mistakes = {
        "that is without sharing.": 4 * blocks_for(1_100, 16),
        "the parent has left: the last fork to write is alone on the half-full block and needs no copy.": full
        + 4 * own
        + 1,
        "the last block of the prompt is not full, so each fork writes into a block of its own there.": full
        + 1
        + 4 * (own - 1),
        "these are the forks' own blocks; the shared ones are held too.": 4 * own,
    }
    check_number(answer, full + 4 * own, "blocks", mistakes)


def check_usage(answer: Any) -> None:
    """Tokens that a pool of 10 GiB still has room for at a usage of 25%, on Llama-3.1-8B."""
    pool_tokens = 10 * GiB // KVShape.from_config(MODELS["Llama-3.1-8B"].config).bytes_per_token()
    mistakes = {
        "that is what is held; the question is what is free.": pool_tokens * 0.25,
        "that is the whole pool; a quarter of it is held.": pool_tokens,
        "those are blocks; each has room for 16 tokens.": pool_tokens * 0.75 / 16,
        "the pool has 10 GiB, not 10 GB.": pool_tokens * 0.75 * GB / GiB,
    }
    check_number(answer, pool_tokens * 0.75, "tokens", mistakes)

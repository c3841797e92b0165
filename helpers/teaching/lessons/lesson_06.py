"""Checks of the exercises of lesson 06: the right number, and the mistakes that people make on the way."""

from helpers.arithmetic.catalog import GB, MODELS, GiB
from helpers.arithmetic.footprint import KVShape
from helpers.cache.block_pool import blocks_for
from helpers.teaching.checks import Number

# Blocks of 16 for four forks of 1,000 tokens that write 100 each, when the parent has left.
FULL, OWN = 1_000 // 16, blocks_for(1_100, 16) - 1_000 // 16
check_four_forks = Number(FULL + 4 * OWN, "blocks") | {
    "that is without sharing.": 4 * blocks_for(1_100, 16),
    "the parent has left: the last fork to write is alone on the half-full block and needs no copy.": (
        FULL + 4 * OWN + 1
    ),
    "the last block of the prompt is not full, so each fork writes into a block of its own there.": (
        FULL + 1 + 4 * (OWN - 1)
    ),
    "these are the forks' own blocks; the shared ones are held too.": 4 * OWN,
}

# Tokens that a pool of 10 GiB still has room for at a usage of 25%, on Llama-3.1-8B.
POOL_TOKENS = 10 * GiB // KVShape.from_config(MODELS["Llama-3.1-8B"].config).bytes_per_token()
check_usage = Number(POOL_TOKENS * 0.75, "tokens") | {
    "that is what is held; the question is what is free.": POOL_TOKENS * 0.25,
    "that is the whole pool; a quarter of it is held.": POOL_TOKENS,
    "those are blocks; each has room for 16 tokens.": POOL_TOKENS * 0.75 / 16,
    "the pool has 10 GiB, not 10 GB.": POOL_TOKENS * 0.75 * GB / GiB,
}

"""Checks of the exercises of lesson 03: the right number, and the mistakes that people make on the way."""

from helpers.arithmetic.catalog import GB, GiB, KiB, find_card
from helpers.arithmetic.footprint import MemoryBudget, decode_ceiling
from helpers.teaching.checks import Number

# GiB for two sequences of 8,192 tokens beside 18 GiB of weights and 0.75 GiB of overhead.
TOTAL = MemoryBudget(0.75 * GiB, 18 * GiB, 256 * KiB * 8_192, sequences=2).total / GiB
check_two_at_once = Number(TOTAL, "GiB") | {
    "that is for one person; the cache is there once per person.": TOTAL - 2,
    "the overhead is missing.": TOTAL - 0.75,
    "the weights are loaded once, for both.": TOTAL + 18,
    "weights and overhead are there once, for both.": TOTAL + 18.75,
    "that is in bytes; the question is for GiB.": TOTAL * GiB,
}

# Whole steps of 2,000 tokens after a prefix of 10,000, within 131,072.
check_how_many_steps = Number((131_072 - 10_000) // 2_000, "steps") | {
    "the prefix takes room before the first step.": 131_072 // 2_000,
    "the last step does not fit whole.": 61,
    "only whole steps count.": (131_072 - 10_000) / 2_000,
}

# Tokens per second of Llama-3.1-8B in bf16 on an RTX 4090 with 32,768 tokens in the cache.
BANDWIDTH, WEIGHTS, CACHE = find_card("RTX 4090").bandwidth, 16.06 * GB, 32_768 * 131_072
check_the_ceiling = Number(decode_ceiling(BANDWIDTH, WEIGHTS, CACHE), "tokens per second") | {
    "that is with an empty cache; the cache is read too.": BANDWIDTH / WEIGHTS,
    "the weights are read too.": BANDWIDTH / CACHE,
    "that is seconds per token; turn it round.": (WEIGHTS + CACHE) / BANDWIDTH,
}

# Tokens of prefix that four agents at 131,072 tokens must share to fit into 100 GiB.
FIT = 100 * GiB // 327_680
OVER = 4 * 131_072 - FIT
check_how_much_sharing = Number(OVER / 3, "tokens") | {
    "the prefix is still kept once: each of its tokens spares three, not four.": OVER / 4,
    "that is how many tokens are too many; each shared token spares three of them.": OVER,
    "that is how many tokens fit; how many must go?": FIT,
    "that is what each keeps for itself if nothing is shared.": FIT / 4,
}

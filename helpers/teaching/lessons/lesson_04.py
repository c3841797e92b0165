"""Checks of the exercises of lesson 04: the right number, and the mistakes that people make on the way."""

from helpers.arithmetic.catalog import GB, GiB, find_card
from helpers.arithmetic.footprint import decode_ceiling
from helpers.teaching.checks import Number

# Whole steps of 2,000 tokens after a prefix of 10,000, within 131,072.
check_how_many_steps = Number((131_072 - 10_000) // 2_000, "steps") | {
    "the prefix takes room before the first step.": 131_072 // 2_000,
    "the last step does not fit whole.": 61,
    "only whole steps count.": (131_072 - 10_000) / 2_000,
}

# Tokens per second of Llama-3.1-8B in bf16 on an RTX 4090 with 32,768 tokens in the cache.
BANDWIDTH, WEIGHTS, TABLE, CACHE = find_card("RTX 4090").bandwidth, 16.06 * GB, 1.05 * GB, 32_768 * 131_072
check_the_ceiling = Number(decode_ceiling(BANDWIDTH, WEIGHTS - TABLE, CACHE), "tokens per second") | {
    "of the embedding a token needs one row; the rest of it is not read.": decode_ceiling(BANDWIDTH, WEIGHTS, CACHE),
    "that is with an empty cache; the cache is read too.": BANDWIDTH / (WEIGHTS - TABLE),
    "the cache is read too, and the embedding is not.": BANDWIDTH / WEIGHTS,
    "the weights are read too.": BANDWIDTH / CACHE,
    "that is seconds per token; turn it round.": (WEIGHTS - TABLE + CACHE) / BANDWIDTH,
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

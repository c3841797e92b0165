"""Checks of the exercises of lesson 12: the right number, and the mistakes that people make on the way."""

from typing import Any

from helpers.arithmetic.catalog import KV_LAYOUTS, GiB
from helpers.teaching.checks import Number

# How many times smaller the cache is at the peak: budget 3,072, interval 128, 32,768 tokens.
check_peak = Number(32_768 / (3_072 + 128), "times") | {
    "that is right after a compression; at the peak the tokens of one interval have come on top.": 32_768 / 3_072,
    "that is the share that is left; the question is how many times smaller it is.": 3_200 / 32_768,
    "at the peak there are more tokens than the budget, not fewer.": 32_768 / (3_072 - 128),
}

# The better factor of sharing 30,000 of 40,000 tokens between four, and q8_0.
Q8_0, SHARING = 16 / KV_LAYOUTS["q8_0"].bits, 160_000 / 70_000
check_better_lever = Number(SHARING, "times") | {
    "that is q8_0; sharing saves more here.": Q8_0,
    "q8_0 takes 8.5 bits, not 8; and sharing saves more here.": 2,
    "that would be so if all 40,000 tokens were the same.": 4,
    "both together give that; the question is for the better one alone.": Q8_0 * SHARING,
    "the prefix is kept once, not left out.": 160_000 / 40_000,
    "that is the share that is left; the question is how many times less it is.": 70_000 / 160_000,
}

# The largest budget of two sequences of Qwen3-32B beside its weights on 24 GiB, in blocks of 16.
BLOCK = 16 * 262_144
EACH = int((24 - 18.38 - 0.75) * GiB) // BLOCK // 2
LARGEST = 16 * EACH - 1_500 - 128
in_blocks = Number(LARGEST, "tokens") | {
    "the interval's tokens come on top of the budget before the next compression.": LARGEST + 128,
    "the prompt is never evicted, so it comes on top of the budget.": LARGEST + 1_500,
    "the prompt and the interval come on top of the budget.": LARGEST + 1_628,
    "there are two sequences, and each has a cache of its own.": 16 * (2 * EACH) - 1_628,
    "the overhead takes room too.": 16 * (int((24 - 18.38) * GiB) // BLOCK // 2) - 1_628,
}


def check_largest_budget(answer: Any) -> None:
    """The same, after a word on budgets that fit as bytes alone."""
    if isinstance(answer, int | float) and not isinstance(answer, bool) and LARGEST < answer <= LARGEST + 16:
        print("Not yet: it fits as bytes, but blocks are held whole: round down to whole blocks per sequence first.")
    else:
        in_blocks(answer)

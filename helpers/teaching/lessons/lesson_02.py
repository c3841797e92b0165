"""Checks of the exercises of lesson 02: the right number, and the mistakes that people make on the way."""

from helpers.arithmetic.catalog import MODELS
from helpers.arithmetic.footprint import KVShape
from helpers.teaching.checks import Number

# KV heads before the one that query head 42 of Llama-3.1-70B reads, of 64 query heads over 8 KV heads.
check_whose_notes = Number(42 // (64 // 8), "KV heads") | {
    "head 42 is in the sixth group; five come before it.": 6,
    "neighbours share: heads 0 to 7 read KV head 0, heads 8 to 15 KV head 1.": 42 % 8,
    "that many query heads are in a group.": 64 // 8,
    "those are query heads; there are 8 KV heads in all.": 42,
}

# Bytes that gpt-oss-20b keeps after 10,000 tokens.
ROW = 2 * 8 * 64 * 2
check_short_stay = Number(KVShape.from_config(MODELS["gpt-oss-20b"].config).bytes(10_000), "bytes") | {
    "the sliding layers do not keep all 10,000 tokens.": 24 * 10_000 * ROW,
    "a sliding layer keeps one row fewer than its window: the token being read makes up the rest.": (
        12 * (10_000 + 128) * ROW
    ),
    "the sliding layers keep rows too.": 12 * 10_000 * ROW,
    "keys and values are both kept.": 12 * (10_000 + 127) * ROW // 2,
    "64 is the number of query heads; 8 KV heads keep rows.": 12 * (10_000 + 127) * ROW * 8,
}

# Bytes per token that a guide must have used which gives 160 GiB for 131,072 tokens of Llama-3-70B.
check_guide = Number(80 * 64 * 128 * 2, "bytes") | {
    "that is the true value; the guide's is 4 times as much.": 327_680,
    "that is with 64 heads and both keys and values, and gives 320 GiB.": 2_621_440,
    "that is in KiB.": 1_280,
    "that is the factor; the question is for bytes per token.": 4,
}

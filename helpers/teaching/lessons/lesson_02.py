"""Checks of the exercises of lesson 02: the right number, and the mistakes that people make on the way."""

from helpers.arithmetic.catalog import MODELS
from helpers.arithmetic.footprint import KVShape
from helpers.teaching.checks import Number

# Bytes of one token of Qwen3-32B if all its query heads shared one KV head.
check_one_for_all = Number(KVShape(64, 1, 128).bytes_per_token(), "bytes") | {
    "that is with the 8 KV heads that it has.": 64 * 8 * 128 * 2 * 2,
    "that is with 64 KV heads, one for each query head.": 64 * 64 * 128 * 2 * 2,
    "keys and values are both kept.": 64 * 128 * 2,
    "hidden size over query heads is 80, but the file names head_dim 128.": 64 * 80 * 2 * 2,
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

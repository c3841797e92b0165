"""Checks of the exercises of lesson 01: the right number, and the mistakes that people make on the way."""

from helpers.arithmetic.catalog import MODELS, GiB
from helpers.arithmetic.footprint import KVShape, max_tokens
from helpers.teaching.checks import Number

LLAMA = KVShape.from_config(MODELS["Llama-3.1-8B"].config)

# Bytes of one token of Qwen3-8B in 16 bits.
check_one_token = Number(KVShape(36, 8, 128).bytes_per_token(), "bytes") | {
    "32 is the number of query heads; only KV heads keep notes.": 2 * 36 * 32 * 128 * 2,
    "keys and values are both kept.": 36 * 8 * 128 * 2,
    "a number takes 2 bytes.": 2 * 36 * 8 * 128,
    "the hidden size plays no part; head_dim does.": 2 * 36 * 8 * 4096 * 2,
}

# How many times too small hidden size over query heads makes the cache of Qwen3-0.6B.
check_head_dim = Number(128 / (1024 / 16), "times") | {
    "that is the calculator's head_dim; compare it with the file's.": 1024 / 16,
    "that is the file's head_dim; by how many times is the calculator's smaller?": 128,
    "the other way round: the file's head_dim is the larger one.": 0.5,
}

# Tokens for each of two people who share a 24 GiB card with Llama-3.1-8B.
check_two_people = Number(max_tokens(18.75 * GiB, LLAMA, sequences=2), "tokens") | {
    "that is for one person alone.": max_tokens(18.75 * GiB, LLAMA),
    "the overhead is missing.": max_tokens(19.5 * GiB, LLAMA, sequences=2),
    "the weights are loaded once, for both.": max_tokens((24 - 9 - 0.75) * GiB, LLAMA, sequences=2),
}

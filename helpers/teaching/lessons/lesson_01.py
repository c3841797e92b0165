"""Checks of the exercises of lesson 01: the right number, and the mistakes that people make on the way."""

from helpers.arithmetic.catalog import MODELS, GiB
from helpers.arithmetic.footprint import KVShape, max_tokens
from helpers.teaching.checks import Number

LLAMA = KVShape.from_config(MODELS["Llama-3.1-8B"].config)
QWEN = KVShape.from_config(MODELS["Qwen3-0.6B"].config)

# Bytes of one token of Qwen3-0.6B in 16 bits, where a calculator takes hidden size over query heads for head_dim.
check_calculator = Number(QWEN.bytes_per_token(), "bytes") | {
    "that is the calculator's own figure; take head_dim as the file has it, and both K and V.": 57_344,
    "twice too much: query heads keep no notes, and a number takes 2 bytes.": 2 * 28 * 16 * 128 * 2,
    "the hidden size plays no part; head_dim does.": 2 * 28 * 8 * 1024 * 2,
}

# Tokens for each of two people who share a 24 GiB card with Llama-3.1-8B.
check_two_people = Number(max_tokens(18.75 * GiB, LLAMA, sequences=2), "tokens") | {
    "that is for one person alone.": max_tokens(18.75 * GiB, LLAMA),
    "the overhead is missing.": max_tokens(19.5 * GiB, LLAMA, sequences=2),
    "the weights are loaded once, for both.": max_tokens((24 - 9 - 0.75) * GiB, LLAMA, sequences=2),
}

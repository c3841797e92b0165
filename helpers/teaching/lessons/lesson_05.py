"""Checks of the exercises of lesson 05: the right number, and the mistakes that people make on the way."""

from helpers.arithmetic.catalog import GB, MODELS, GiB
from helpers.arithmetic.footprint import KVShape
from helpers.teaching.checks import Number

# Bytes of a key row of 128 numbers in q4_0.
check_one_key = Number(4 * (2 + 16), "bytes") | {
    "the scales are missing: one of 2 bytes for each group of 32.": 64,
    "a row of 128 numbers has four groups, each with a scale of its own.": 66,
    "those are bits.": 576,
    "that is fp16.": 256,
    "that is one group of 32; the row has four.": 18,
    "that is q8_0.": 136,
}


def _gib(kv_format: str | tuple[str, str]) -> float:
    """A context of 131,072 tokens on Llama-3.1-8B."""
    return KVShape.from_config(MODELS["Llama-3.1-8B"].config).bytes(131_072, kv_format=kv_format) / GiB


# GiB of it with K in q8_0 and V in q4_0.
check_mixed_pair = Number(_gib(("q8_0", "q4_0")), "GiB") | {
    "that has both in q8_0.": _gib("q8_0"),
    "that has both in q4_0.": _gib("q4_0"),
    "that is fp16.": _gib("fp16"),
    "8 and 4 bits leave the scales out: it is 8.5 and 4.5.": _gib("fp16") * 12 / 32,
    "13 bits are those of K and V together; a number takes half of them on average.": _gib("fp16") * 13 / 16,
    "those are GB; a GiB is 1,024 x 1,024 x 1,024 bytes.": _gib(("q8_0", "q4_0")) * GiB / GB,
}

# What q8_0 reads back for a 1.0 that shares its group with a 100.0.
check_outlier = Number(100 / 127, "units") | {
    "the largest number decides the scale, and 1.0 must then be a whole number of steps.": 1.0,
    "that is how many steps it is before rounding.": 127 / 100,
    "that is q4_0, with steps of 12.5.": 0,
    "255 levels are -127 to 127: the scale is the largest number over 127.": 100 / 128,
}

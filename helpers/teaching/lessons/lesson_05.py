"""Checks of the exercises of lesson 05: the right number, and the mistakes that people make on the way."""

from helpers.arithmetic.catalog import MiB
from helpers.arithmetic.footprint import KVShape
from helpers.arithmetic.layers import KVFormat
from helpers.teaching.checks import Number

_SMOLLM2 = KVShape(n_layers=30, n_kv_heads=3, head_dim=64)


def _mib(kv_format: KVFormat, cells: int = 2_048) -> float:
    """What llama.cpp prints for SmolLM2."""
    return round(_SMOLLM2.bytes(cells, kv_format=kv_format) / MiB, 2)


# MiB that llama.cpp prints for 2,048 cells with K in q8_0 and V in q4_0.
check_printed_line = Number(_mib(("q8_0", "q4_0")), "MiB") | {
    "that has both in q8_0.": _mib("q8_0"),
    "that has both in q4_0.": _mib("q4_0"),
    "that is fp16.": _mib("fp16"),
    "8 and 4 bits leave the scales out: it is 8.5 and 4.5.": _mib("fp16") * 12 / 32,
    "13 bits are those of K and V together; a number takes half of them on average.": _mib("fp16") * 13 / 16,
    "that is 4,096 cells.": _mib(("q8_0", "q4_0"), 4_096),
}

# How large each of 64 numbers is when one was 16, the rest 0, and the row is turned.
check_turned = Number(16 / 8, "units") | {
    "that shares the number out, and makes the row shorter: 64 numbers of that size have a length of 2, not of 16.": (
        16 / 64
    ),
    "that is the number before it is turned.": 16,
    "64 is the sum of the squares that are wanted with 1 for each; a row of length 16 has a sum of 256.": 1,
    "a row of 64 numbers is turned as a whole, not in groups of 32.": 16 / 32**0.5,
}

# What q8_0 reads back for a 1.0 that shares its group with a 100.0.
check_outlier = Number(100 / 127, "units") | {
    "the largest number decides the scale, and 1.0 must then be a whole number of steps.": 1.0,
    "that is how many steps it is before rounding.": 127 / 100,
    "that is q4_0, with steps of 12.5.": 0,
    "255 levels are -127 to 127: the scale is the largest number over 127.": 100 / 128,
}

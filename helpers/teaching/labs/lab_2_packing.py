"""q8_0 and q4_0 of one row of 32 numbers, written with a switch for every mistake that people make in them.

The right bytes come from ``gguf``. These functions, with a switch thrown, give the bytes of a mistake, by which a
reader's function is recognised; with none thrown they equal gguf's, which a test holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, quants

GROUP = 32
TYPES = {"q8_0": GGMLQuantizationType.Q8_0, "q4_0": GGMLQuantizationType.Q4_0}
Row = np.ndarray  # 32 float32 numbers, or a row's bytes
Switches = dict[str, Any]


def gguf_pack(row: Row, kv_format: str) -> Row:
    """The bytes of a row, by gguf: uint8 ``[34]`` in q8_0, ``[18]`` in q4_0."""
    return quants.quantize(row[None], TYPES[kv_format])[0]


def gguf_unpack(packed: Row, kv_format: str) -> Row:
    """The row that gguf reads from bytes, float32 ``[32]``."""
    return quants.dequantize(packed[None], TYPES[kv_format])[0]


# --- Rounding --------------------------------------------------------------------------------------------------------
def half_away(x: Row) -> Row:
    """Round to whole numbers, halves away from zero, as C's ``roundf``."""
    size = np.abs(x)
    return np.sign(x) * (np.floor(size) + (size % 1 >= 0.5))


ROUNDINGS: dict[str, Callable[[Row], Row]] = {
    "away": half_away,
    "even": np.round,
    "up": lambda x: np.floor(x + np.float32(0.5)),
    "cut": np.trunc,
    "down": np.floor,
}
ROUNDING_LINES = {
    "even": "numpy's round takes a half to the even neighbour: 2.5 becomes 2. Here a half goes away from zero.",
    "up": "a half goes up in yours: -2.5 becomes -2. Here it goes away from zero, to -3.",
    "cut": "what is behind the point is cut off: 2.7 becomes 2. Round it.",
    "down": "everything is rounded down: 2.7 becomes 2. Round to the nearest.",
}


# --- Packing ---------------------------------------------------------------------------------------------------------
def pack_q8_0(
    row: Row,
    peak: str = "size",
    parts: int = 127,
    rounding: str = "away",
    early: bool = False,
    divide: bool = False,
    scale_type: str = "<f2",
    store_inverse: bool = False,
    offset: int = 0,
    steps_first: bool = False,
    wide: bool = False,
) -> Row:
    """q8_0 as gguf has it, unless a switch is thrown; ``Q8_0_SLIPS`` says what each is."""
    row = row.astype(np.float64) if wide else row
    d = (np.abs(row) if peak == "size" else row).max(keepdims=True) / np.float32(parts)
    d = d.astype(np.float16).astype(np.float32) if early else d
    with np.errstate(all="ignore"):
        inverse = np.where(d == 0, np.float32(0), 1 / d)
        x = np.where(d == 0, np.float32(0), row / d) if divide else row * inverse
        steps = (ROUNDINGS[rounding](x) + offset).astype(np.int64).astype(np.uint8)
        scale = (inverse if store_inverse else d).astype(scale_type).view(np.uint8)
    return np.concatenate([steps, scale] if steps_first else [scale, steps])


SCALE_SLIPS: dict[str, Switches] = {
    "the steps are counted with the scale as float16; gguf counts them with the scale as it was, and rounds it only "
    "to store it.": {"early": True},
    "a number divided by the scale is not always the number times 1 / scale: the last bit differs, and with it a "
    "step. gguf multiplies.": {"divide": True},
    "the steps are counted in float64, and come out differently near a half; gguf counts in float32.": {"wide": True},
    "the two bytes of the scale are swapped: the lower one comes first.": {"scale_type": ">f2"},
}
Q8_0_SLIPS: dict[str, Switches] = {
    "the scale comes from the largest number, but it should from the one of largest size: take np.abs first.": {
        "peak": "signed"
    },
    "the largest size is 128 steps in yours; int8 ends at 127, so it must be 127.": {"parts": 128},
    **{line: {"rounding": name} for name, line in ROUNDING_LINES.items()},
    **SCALE_SLIPS,
    "1 / scale is stored; store the scale.": {"store_inverse": True},
    "128 is added to the steps; int8 has a sign of its own.": {"offset": 128},
    "the scale stands behind the steps; it comes first.": {"steps_first": True},
}


def pack_q4_0(
    row: Row,
    peak: str = "signed",
    parts: int = -8,
    rounding: str = "code up",
    early: bool = False,
    clip: bool = True,
    offset: int = 8,
    partner: str = "half",
    first: str = "low",
    scale_type: str = "<f2",
    divide: bool = False,
    wide: bool = False,
) -> Row:
    """q4_0 as gguf has it, unless a switch is thrown; ``Q4_0_SLIPS`` says what each is."""
    row = row.astype(np.float64) if wide else row
    largest = row[[np.abs(row).argmax()]]
    d = {"signed": largest, "size": np.abs(largest), "maximum": row.max(keepdims=True)}[peak] / np.float32(parts)
    d = d.astype(np.float16).astype(np.float32) if early else d
    with np.errstate(all="ignore"):
        x = np.where(d == 0, np.float32(0), row / d if divide else row * (1 / d))
    codes = np.trunc(x + np.float32(offset + 0.5)) if rounding == "code up" else ROUNDINGS[rounding](x) + offset
    codes = (codes.clip(offset - 8, offset + 7) if clip else codes).astype(np.int64).astype(np.uint8)
    codes = codes & 15 if offset == 0 else codes
    one, two = (codes[:16], codes[16:]) if partner == "half" else (codes[0::2], codes[1::2])
    one, two = (one, two) if first == "low" else (two, one)
    return np.concatenate([d.astype(scale_type).view(np.uint8), one | two << 4])


Q4_0_SLIPS: dict[str, Switches] = {
    "the number of largest size must keep its sign when it sets the scale: yours takes its size.": {"peak": "size"},
    "the scale comes from the largest number, but it should from the one of largest size, with its sign.": {
        "peak": "maximum"
    },
    "the number of largest size is +8 steps in yours; it must be -8, for there is no +8.": {"parts": 8},
    "the number of largest size is 7 steps in yours; it must be -8.": {"parts": 7},
    "the number of largest size is -7 steps in yours; it must be -8.": {"parts": -7},
    "codes above 15 do not fit into 4 bits, and spill into their neighbour: clip them to 15.": {"clip": False},
    "8 is missing: a step from -8 to 7 is stored as a code from 0 to 15.": {"offset": 0},
    "neighbours share a byte in yours; number 0 shares one with number 16, 1 with 17, and so on.": {
        "partner": "neighbour"
    },
    "the first half belongs into the low four bits, the second half into the high ones; yours are swapped.": {
        "first": "high"
    },
    "halves are rounded away from zero; here a half goes up: add 8.5 to the steps, then cut.": {"rounding": "away"},
    "halves are rounded to the even neighbour; here a half goes up: add 8.5 to the steps, then cut.": {
        "rounding": "even"
    },
    "the 0.5 is missing: add 8.5 before you cut, or everything is rounded down.": {"rounding": "down"},
    "the steps are cut off before 8 is added; add 8.5, then cut.": {"rounding": "cut"},
    **SCALE_SLIPS,
}


# --- Unpacking -------------------------------------------------------------------------------------------------------
def unpack_q8_0(
    packed: Row,
    step_type: str = "i1",
    offset: int = 0,
    scaled: str = "times",
    scale_type: str = "<f2",
    scale_last: bool = False,
    half: bool = False,
) -> Row:
    """q8_0 read back as gguf does, unless a switch is thrown; ``UNPACK_Q8_0_SLIPS`` says what each is."""
    scale, steps = (packed[32:], packed[:32]) if scale_last else (packed[:2], packed[2:])
    d = np.ascontiguousarray(scale).view(scale_type).astype(np.float32)
    x = np.ascontiguousarray(steps).view(step_type).astype(np.float32) - offset
    return _scaled(x, d, scaled, half)


UNPACK_Q8_0_SLIPS: dict[str, Switches] = {
    "the steps are read without their sign: -1 comes out as 255. Their type is int8.": {"step_type": "u1"},
    "128 is taken off; int8 has a sign of its own.": {"step_type": "u1", "offset": 128},
    "the steps come back without the scale; multiply by it.": {"scaled": "not"},
    "the steps are divided by the scale; multiply by it.": {"scaled": "divided"},
    "the two bytes of the scale are swapped: the lower one comes first.": {"scale_type": ">f2"},
    "the scale is looked for behind the steps; it comes first.": {"scale_last": True},
    "the product is rounded to float16; turn the scale into float32 first.": {"half": True},
}


def unpack_q4_0(
    packed: Row,
    offset: int = 8,
    wrap: bool = False,
    partner: str = "half",
    first: str = "low",
    scaled: str = "times",
    scale_type: str = "<f2",
    half: bool = False,
) -> Row:
    """q4_0 read back as gguf does, unless a switch is thrown; ``UNPACK_Q4_0_SLIPS`` says what each is."""
    low, high = packed[2:] & 15, packed[2:] >> 4
    one, two = (low, high) if first == "low" else (high, low)
    codes = np.concatenate([one, two]) if partner == "half" else np.stack([one, two], axis=1).ravel()
    x = (codes - np.uint8(offset)).astype(np.float32) if wrap else codes.astype(np.float32) - offset
    return _scaled(x, packed[:2].view(scale_type).astype(np.float32), scaled, half)


UNPACK_Q4_0_SLIPS: dict[str, Switches] = {
    "8 is not taken off the codes: code 8 means 0 steps.": {"offset": 0},
    "a uint8 has no negative numbers: code 7 less 8 came out as 255. Turn the codes into int8 or float32 first.": {
        "wrap": True
    },
    "neighbours are read from one byte; number 0 shares one with number 16, 1 with 17, and so on.": {
        "partner": "neighbour"
    },
    "the first half stands in the low four bits, the second half in the high ones; yours are swapped.": {
        "first": "high"
    },
    "the steps come back without the scale; multiply by it.": {"scaled": "not"},
    "the steps are divided by the scale; multiply by it.": {"scaled": "divided"},
    "the two bytes of the scale are swapped: the lower one comes first.": {"scale_type": ">f2"},
    "the product is rounded to float16; turn the scale into float32 first.": {"half": True},
}


def _scaled(x: Row, d: Row, scaled: str, half: bool) -> Row:
    with np.errstate(all="ignore"):
        product = {"times": x * d, "divided": x / d, "not": x}[scaled]
        return product.astype(np.float16).astype(np.float32) if half else product


# --- Recognising -----------------------------------------------------------------------------------------------------
def recognise(
    found: Sequence[Row], inputs: Sequence[Row], twin: Callable[..., Row], slips: dict[str, Switches]
) -> str | None:
    """The line of the slip, or of the two, that gives exactly what the reader's function gave; None if none does.

    Args:
        found: the reader's results.
        inputs: what each came from.
        twin: the function with switches.
        slips: a line for the reader, and the switches that it means.
    """
    for count in (1, 2):
        for chosen in combinations(slips.items(), count):
            switches = {name: value for _, thrown in chosen for name, value in thrown.items()}
            if all(_same(own, twin(row, **switches)) for own, row in zip(found, inputs, strict=True)):
                lines = [line for line, _ in chosen]
                return lines[0] if count == 1 else f"perhaps two things at once. First, {lines[0]} Second, {lines[1]}"
    return None


def _same(one: Row, other: Row) -> bool:
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")

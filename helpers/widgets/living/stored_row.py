"""What 32 numbers of a real row of keys become in a format, by ``encode`` and ``decode``: steps, bytes, error."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from helpers.arithmetic.catalog import KV_LAYOUTS
from helpers.cache.kv_formats import decode, encode
from helpers.records.kv_row import load_kv_row

SCALE_BYTES = {"fp16": 0, "fp8_e4m3": 0, "q8_0": 2, "q4_0": 2, "nvfp4": 1}  # in front of a group's numbers
CODE_BITS = {"fp16": 16, "fp8_e4m3": 8, "q8_0": 8, "q4_0": 4, "nvfp4": 4}
COUNT = 32
HALVES = {"second": COUNT, "first": 0}  # of the row, and how many numbers stand before them
TIMES = (1, 2, 4, 8, 16)
TOP = 2.6  # where the picture ends, above and below
APART = 2 * TOP / 85  # steps nearer than this are too close to draw


def store(kv_format: str, half: str, number: int, times: int) -> dict[str, Any]:
    """What half a row becomes in a format, one of its numbers made larger first.

    Args:
        kv_format: one of ``SCALE_BYTES``.
        half: of the row, one of ``HALVES``.
        number: 1 to 32, the one that is made larger.
        times: how many times as large, one of ``TIMES``.

    Raises:
        ValueError: in one line, if one of them is none.
    """
    wanted = {"format": (kv_format, SCALE_BYTES), "half": (half, HALVES), "times": (times, TIMES)}
    for name, (value, known) in (wanted | {"number": (number, range(1, COUNT + 1))}).items():
        if value not in known:
            raise ValueError(f"{name} is {value!r}; it may be {', '.join(map(str, known))}")
    row = torch.tensor(load_kv_row().row[HALVES[half] :][:COUNT])
    row[number - 1] *= times
    packed = encode(row, kv_format)
    length = KV_LAYOUTS[kv_format].bytes_per_group if SCALE_BYTES[kv_format] else len(packed)
    scales = packed.unflatten(-1, (-1, length))[:, : SCALE_BYTES[kv_format]].tolist()
    groups = [group(bytes(scale), kv_format) for scale in scales]
    frame = {"exact": _rounded(row), "read": _rounded(decode(packed, kv_format)), "hex": bytes(packed.tolist()).hex()}
    return frame | {"groups": groups, "line": _line(row, packed, kv_format, number, times)}


def places(kv_format: str) -> list[list[int]]:
    """Which of 32 numbers, counted from 1, lie in each of their bytes; none in the bytes of a scale."""
    size, bits = KV_LAYOUTS[kv_format].values_per_group, CODE_BITS[kv_format]
    if bits >= 8:
        numbers = [[n] for n in range(1, COUNT + 1) for _ in range(bits // 8)]
    else:  # two to a byte: llama.cpp puts the group's halves beside each other, NVIDIA neighbours
        near = kv_format == "nvfp4"
        pairs = [[2 * k + 1, 2 * k + 2] if near else [k + 1, k + 1 + size // 2] for k in range(size // 2)]
        numbers = [[first + n for n in pair] for first in range(0, COUNT, size) for pair in pairs]
    groups = COUNT // size if SCALE_BYTES[kv_format] else 1
    share = len(numbers) // groups
    scale = [[] for _ in range(SCALE_BYTES[kv_format])]
    return [each for i in range(groups) for each in (*scale, *numbers[i * share : (i + 1) * share])]


@lru_cache(maxsize=256)
def group(scale: bytes, kv_format: str) -> dict[str, Any]:
    """A group's steps that can be drawn, the range where they are too close for that, its scale, and all steps' count.

    Args:
        scale: the bytes in front of the group's numbers; none in a format without a scale.
        kv_format: of the group.
    """
    levels = steps(scale, kv_format)
    seen = levels[levels.abs() <= TOP]
    far = torch.full((1,), torch.inf)
    gaps = torch.cat([far, seen.diff(), far])
    close = torch.minimum(gaps[1:], gaps[:-1]) < APART
    dense = seen[close]
    found = {"lines": _rounded(seen[~close]), "dense": _rounded(dense[[0, -1]]) if len(dense) else []}
    if len(scale):
        dtype = torch.float16 if len(scale) == 2 else torch.float8_e4m3fn
        size = torch.tensor(list(scale), dtype=torch.uint8).view(dtype).abs().item()
        found["scale"] = float(f"{size:.3g}")
    return found | {"steps": len(levels)}


def steps(scale: bytes, kv_format: str) -> torch.Tensor:
    """All numbers that a group with this scale can say, rising: what ``decode`` makes of each code in turn."""
    codes, bits = torch.arange(2 ** CODE_BITS[kv_format]), CODE_BITS[kv_format]
    if kv_format == "q8_0":
        codes = codes[codes != 128]  # -128, which encode never writes
    code_bytes = [codes * 17] if bits == 4 else [codes >> 8 * i & 255 for i in range(bits // 8)]
    body = torch.stack(code_bytes, -1).to(torch.uint8)
    times = (KV_LAYOUTS[kv_format].bytes_per_group - len(scale)) // body.shape[1]
    head = torch.tensor(list(scale), dtype=torch.uint8).expand(len(codes), -1)
    found = decode(torch.cat([head, body.repeat(1, times)], -1), kv_format)[:, 0]
    return found[found.isfinite()].unique()


def _rounded(numbers: torch.Tensor) -> list[float]:
    return [float(f"{number:.4g}") for number in numbers.tolist()]


def _line(row: torch.Tensor, packed: torch.Tensor, kv_format: str, number: int, times: int) -> str:
    """What one sees, in words."""
    read, size = decode(packed, kv_format), KV_LAYOUTS[kv_format].values_per_group
    others = torch.arange(COUNT) != (number - 1 if times > 1 else COUNT)
    error = ((read - row)[others].norm() / row[others].norm()).item()
    zeros = int((read[others] == 0).sum())
    scale = f"one scale for {size} numbers" if SCALE_BYTES[kv_format] else "no scale"
    who = f"With number {number} made {times} times larger, the other 31" if times > 1 else "The 32 numbers"
    lost = f"; {zeros} of them became 0" if zeros else ""
    off = f"{float(f'{100 * error:.2g}'):g}"  # two digits, and 100 not as 1e+02
    return f"{kv_format}: {len(packed)} bytes, {scale}. {who} come back {off}% off{lost}."

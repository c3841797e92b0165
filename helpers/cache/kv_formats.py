"""How one row of K or V is stored: a few bits per number, in groups that share a scale.

``encode`` and ``decode`` work on tensors of any device, a whole row at a time. What a row costs stands in
``catalog.KV_LAYOUTS``. q8_0, q5_0 and q4_0 are llama.cpp's: their bytes equal those of the ``gguf`` package, whose
order of operations is therefore kept. Formats with a scale: x is stored as round(x / d), and read as d x round(x / d).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from helpers.arithmetic.catalog import KV_LAYOUTS
from helpers.arithmetic.layers import row_bytes

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)  # what the three bits behind the sign can say in NVFP4
E4M3_MAX = 448.0


class Format(NamedTuple):
    """How to pack groups ``[..., n_groups, values]`` into bytes ``[..., n_groups, bytes]``, and back into float32."""

    pack: Callable[[torch.Tensor], torch.Tensor]
    unpack: Callable[[torch.Tensor], torch.Tensor]


def encode(rows: torch.Tensor, kv_format: str, tensor_scale: float = 1.0) -> torch.Tensor:
    """Pack rows ``[..., dim]`` into bytes: uint8 ``[..., row_bytes]``.

    Args:
        rows: floating point, any shape.
        kv_format: a name in ``KV_FORMATS``.
        tensor_scale: the one float32 per tensor that NVFP4 divides by first (see ``nvfp4_tensor_scale``); 1 elsewhere.

    Raises:
        ValueError: if there is no such format, or its groups do not divide ``dim``.
    """
    row_bytes(rows.shape[-1], kv_format)  # raises one clear line for a format or width that cannot be
    groups = (rows.float() / tensor_scale).unflatten(-1, (-1, KV_LAYOUTS[kv_format].values_per_group))
    return KV_FORMATS[kv_format].pack(groups).flatten(-2)


def decode(packed: torch.Tensor, kv_format: str, tensor_scale: float = 1.0) -> torch.Tensor:
    """Read rows back: uint8 ``[..., row_bytes]`` into float32 ``[..., dim]``; the inverse of ``encode`` up to rounding.

    Raises:
        ValueError: if there is no such format, or ``packed`` is no whole number of its groups.
    """
    bits_per_element(kv_format)
    group = KV_LAYOUTS[kv_format].bytes_per_group
    if packed.dtype != torch.uint8 or packed.shape[-1] % group:
        raise ValueError(
            f"packed is {packed.dtype} {tuple(packed.shape)}; {kv_format} needs uint8 rows of groups of {group} bytes"
        )
    return KV_FORMATS[kv_format].unpack(packed.unflatten(-1, (-1, group)).contiguous()).flatten(-2) * tensor_scale


def bits_per_element(kv_format: str) -> float:
    """Bits that one number of a row takes, its share of the scale included: 8.5 for q8_0."""
    if kv_format not in KV_FORMATS:
        raise ValueError(f"kv_format is {kv_format!r}; it may be {', '.join(KV_FORMATS)}")
    return KV_LAYOUTS[kv_format].bits


def nvfp4_tensor_scale(rows: torch.Tensor) -> float:
    """The float32 by which NVFP4 divides a tensor so that its largest group scale is E4M3's largest, 448.

    Without it the smallest group scale, 2**-9, loses every group whose largest number is below about 0.003.
    """
    return max(rows.abs().max().item() / (E2M1[-1] * E4M3_MAX), torch.finfo(torch.float32).tiny)


# --- Formats without a scale ------------------------------------------------------------------------------------------
def _plain(dtype: torch.dtype) -> Format:
    return Format(lambda x: x.to(dtype).view(torch.uint8), lambda b: b.view(dtype).float())


def _pack_fp8(groups: torch.Tensor) -> torch.Tensor:
    # Saturate as engines do; the plain conversion turns what is too large into NaN.
    return groups.clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn).view(torch.uint8)


# --- llama.cpp's ------------------------------------------------------------------------------------------------------
def _pack_q8_0(groups: torch.Tensor) -> torch.Tensor:
    d = groups.abs().amax(-1, keepdim=True) / 127
    x = groups * _inverse(d)
    q = x.sign() * (x.abs().floor() + (2 * (x.abs() - x.abs().floor())).floor())  # halves away from zero
    return torch.cat([_half(d), _finite(q).to(torch.int8).view(torch.uint8)], dim=-1)


def _unpack_q8_0(packed: torch.Tensor) -> torch.Tensor:
    return packed[..., 2:].view(torch.int8).float() * _scale(packed)


def _signed_levels(groups: torch.Tensor, half: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and levels 0 to 2 half - 1: the number of largest size gets level 0, so its sign decides the scale's."""
    largest = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
    d = largest / -half
    q = (groups * _inverse(d) + (half + 0.5)).trunc()
    return d, _finite(q).clamp(0, 2 * half - 1).to(torch.uint8)


def _pack_q4_0(groups: torch.Tensor) -> torch.Tensor:
    d, q = _signed_levels(groups, half=8)
    return torch.cat([_half(d), q[..., :16] | q[..., 16:] << 4], dim=-1)


def _unpack_q4_0(packed: torch.Tensor) -> torch.Tensor:
    q = torch.cat([packed[..., 2:] & 15, packed[..., 2:] >> 4], dim=-1)
    return (q.float() - 8) * _scale(packed)


def _pack_q5_0(groups: torch.Tensor) -> torch.Tensor:
    d, q = _signed_levels(groups, half=16)
    fifth = ((q >> 4).unflatten(-1, (4, 8)) << _bits(q)).sum(-1).to(torch.uint8)  # 32 fifth bits in 4 bytes
    return torch.cat([_half(d), fifth, q[..., :16] & 15 | q[..., 16:] << 4], dim=-1)


def _unpack_q5_0(packed: torch.Tensor) -> torch.Tensor:
    fifth = (packed[..., 2:6, None] >> _bits(packed) & 1).flatten(-2)
    low = torch.cat([packed[..., 6:] & 15, packed[..., 6:] >> 4], dim=-1)
    return ((low | fifth << 4).float() - 16) * _scale(packed)


def _inverse(d: torch.Tensor) -> torch.Tensor:
    return torch.where(d == 0, 0.0, 1 / d)


def _finite(q: torch.Tensor) -> torch.Tensor:
    return torch.nan_to_num(q, 0.0, 0.0, 0.0)  # 1 / d is infinite for denormal d, whose float16 is 0 anyway


def _half(d: torch.Tensor) -> torch.Tensor:
    return d.to(torch.float16).view(torch.uint8)


def _scale(packed: torch.Tensor) -> torch.Tensor:
    return packed[..., :2].contiguous().view(torch.float16).float()


def _bits(like: torch.Tensor) -> torch.Tensor:
    return torch.arange(8, dtype=torch.uint8, device=like.device)


# --- NVIDIA's ---------------------------------------------------------------------------------------------------------
def _pack_nvfp4(groups: torch.Tensor) -> torch.Tensor:
    scale = _pack_fp8(groups.abs().amax(-1, keepdim=True) / E2M1[-1])
    x = groups * _inverse(scale.view(torch.float8_e4m3fn).float())
    levels = torch.tensor(E2M1, device=groups.device)
    middles = (levels[1:] + levels[:-1]) / 2
    code = torch.bucketize(x.abs().contiguous(), middles)  # in the middle between two levels: the lower one ...
    upper = x.abs() == middles[code.clamp(max=len(middles) - 1)]
    code = (code + (upper & (code % 2 == 1))).to(torch.uint8)  # ... unless its code is odd: round half to even
    code = code | (x < 0).to(torch.uint8) << 3
    return torch.cat([scale, code[..., 0::2] | code[..., 1::2] << 4], dim=-1)


def _unpack_nvfp4(packed: torch.Tensor) -> torch.Tensor:
    code = torch.stack([packed[..., 1:] & 15, packed[..., 1:] >> 4], dim=-1).flatten(-2)
    size = torch.tensor(E2M1, device=packed.device)[(code & 7).long()]
    scale = packed[..., :1].contiguous().view(torch.float8_e4m3fn).float()
    return torch.where(code > 7, -size, size) * scale


KV_FORMATS: dict[str, Format] = {
    "fp32": _plain(torch.float32),
    "fp16": _plain(torch.float16),
    "bf16": _plain(torch.bfloat16),
    "fp8_e4m3": Format(_pack_fp8, _plain(torch.float8_e4m3fn).unpack),
    "q8_0": Format(_pack_q8_0, _unpack_q8_0),
    "q5_0": Format(_pack_q5_0, _unpack_q5_0),
    "q4_0": Format(_pack_q4_0, _unpack_q4_0),
    "nvfp4": Format(_pack_nvfp4, _unpack_nvfp4),
}

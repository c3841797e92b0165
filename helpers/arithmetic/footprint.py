"""How many bytes a KV cache takes: the arithmetic, with no tensor in it.

Source of the formula: every layer keeps one key row and one value row per KV head and token, so

    bytes = 2 (K and V) x n_layers x n_kv_heads x head_dim x bytes per element x tokens x sequences

``KVShape`` says it layer by layer, since in many models the layers are not alike.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from typing import Any

from helpers.arithmetic.catalog import WEIGHT_BITS, GiB, KiB, MiB
from helpers.arithmetic.families import read_layers
from helpers.arithmetic.layers import ROWLESS, KVFormat, LayerKV, split_format

_UNITS = ((GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB"))


@dataclass(frozen=True)
class KVShape:
    """The shape of a model's KV cache: everything that decides its bytes.

    ``KVShape(n_layers, n_kv_heads, head_dim)`` is the plain case, all layers full. ``KVShape.from_config`` reads any
    model's. The bytes equal those of a filled ``DynamicCache(config=...)``, layer by layer.

    Attributes:
        n_layers: layers in all, those without a KV cache included.
        n_kv_heads: key-value heads per layer; not query heads.
        head_dim: numbers per row of K, and of V.
        layers: what each layer keeps, one entry per layer.
        fixed_bytes: recurrent state per sequence, which does not grow; apart from ``bytes``.
    """

    n_layers: int
    n_kv_heads: int
    head_dim: int
    layers: tuple[LayerKV, ...] = field(default=(), repr=False)
    fixed_bytes: int = 0

    def __post_init__(self) -> None:
        for name in ("n_layers", "n_kv_heads", "head_dim"):
            require_count(name, getattr(self, name), least=1)
        if not self.layers:
            plain = LayerKV("full", self.n_kv_heads, self.head_dim, self.head_dim)
            object.__setattr__(self, "layers", (plain,) * self.n_layers)
        if len(self.layers) != self.n_layers:
            raise ValueError(f"layers has {len(self.layers)} entries; n_layers is {self.n_layers}")

    @classmethod
    def from_config(cls, config: Any) -> KVShape:
        """Read the shape from a model's configuration.

        Args:
            config: a transformers config object, the dict of a ``config.json``, or the path of that file or its folder.

        Raises:
            ValueError: in one line, if the family is unknown, a field is missing or out of range, or a layer is of a
                kind that this course cannot count.
        """
        layers = tuple(read_layers(config))
        first = next((layer for layer in layers if layer.kind not in ROWLESS), layers[0])
        head_dim = first.k_dim + first.v_dim if first.kind == "latent" else first.k_dim
        return cls(len(layers), first.n_kv_heads, head_dim, layers, sum(layer.state for layer in layers))

    def bytes(self, tokens: int, sequences: int = 1, kv_format: KVFormat = "fp16") -> int:
        """Bytes of the cache after ``tokens`` tokens in each of ``sequences`` sequences, recurrent state left out.

        Args:
            tokens: of each sequence.
            sequences: how many.
            kv_format: one name for all rows; or a pair, for K and for V; or three, where the model keeps index rows,
                which are in K's format otherwise (DeepSeek-V3.2's engines keep them in 8 bits beside others).
        """
        self._require_format(kv_format)
        tokens, sequences = require_count("tokens", tokens, least=0), require_count("sequences", sequences, least=0)
        return sequences * sum(n * layer.bytes(tokens, kv_format) for layer, n in self._alike)

    def bytes_per_token(self, kv_format: KVFormat = "fp16") -> int | float:
        """Bytes that one more token costs while every layer still grows (no sliding window is full yet).

        Where several tokens share a row, it is the mean, and may be a fraction. ``kv_format`` is as for ``bytes``.
        """
        self._require_format(kv_format)
        mean = sum(n * layer.bytes_per_token(kv_format) for layer, n in self._alike)
        return int(mean) if mean == int(mean) else mean

    def _require_format(self, kv_format: KVFormat) -> None:
        """Raise if a format is named for index rows that the model does not keep."""
        split_format(kv_format, index=any(layer.index_dim for layer in self.layers))

    @cached_property
    def _alike(self) -> tuple[tuple[LayerKV, int], ...]:
        """Each different layer with the number of its like; most models have one or two."""
        return tuple(Counter(self.layers).items())

    def count(self, kind: str) -> int:
        """How many layers are of this kind, one of those that ``LayerKV`` names."""
        return sum(layer.kind == kind for layer in self.layers)


@dataclass(frozen=True)
class MemoryBudget:
    """The three terms that must fit: ``total = overhead + weights + cache_per_sequence x sequences``, all in bytes."""

    overhead: float
    weights: float
    cache_per_sequence: float
    sequences: int = 1

    def __post_init__(self) -> None:
        for name in ("overhead", "weights", "cache_per_sequence", "sequences"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 or more")

    @property
    def cache(self) -> float:
        """Bytes of all sequences' caches together."""
        return self.cache_per_sequence * self.sequences

    @property
    def total(self) -> float:
        """Bytes in all."""
        return self.overhead + self.weights + self.cache


def max_tokens(free_bytes: float, kv_shape: KVShape, sequences: int = 1, kv_format: KVFormat = "fp16") -> int | float:
    """The longest context, in tokens per sequence, whose cache fits into ``free_bytes``.

    Recurrent state is taken off first. 0 when nothing fits; ``math.inf`` when no layer keeps growing.
    """
    require_count("sequences", sequences, least=1)
    free = free_bytes - sequences * kv_shape.fixed_bytes
    windows = max((layer.window for layer in kv_shape.layers if layer.window), default=1)
    if free < 0:
        return 0
    grows = any(layer.grows for layer in kv_shape.layers)
    if not grows and kv_shape.bytes(windows, sequences, kv_format) <= free:
        return math.inf
    too_many = 1
    while kv_shape.bytes(too_many, sequences, kv_format) <= free:
        too_many *= 2
    return bisect_right(range(too_many + 1), free, key=lambda t: kv_shape.bytes(t, sequences, kv_format)) - 1


def weights_bytes(n_params: int, weight_format: str) -> float:
    """Bytes of a model's weights, scales included, if all of them are stored in one weight format."""
    if weight_format not in WEIGHT_BITS:
        raise ValueError(f"weight_format is {weight_format!r}; it may be {', '.join(WEIGHT_BITS)}")
    return n_params * WEIGHT_BITS[weight_format] / 8


def decode_ceiling(bandwidth: float, weights: float, kv_bytes: float) -> float:
    """The most tokens per second one sequence can decode: each token reads all weights and the whole cache once.

    Args:
        bandwidth: memory bandwidth in bytes per second.
        weights: bytes of weights read per token (for a mixture of experts, those of the experts in use).
        kv_bytes: bytes of KV cache read per token.
    """
    if bandwidth <= 0 or weights + kv_bytes <= 0:
        raise ValueError(f"bandwidth is {bandwidth} and weights + kv_bytes {weights + kv_bytes}; both must be above 0")
    return bandwidth / (weights + kv_bytes)


def format_bytes(n: float) -> str:
    """Bytes as people read them, in powers of 1024: ``format_bytes(43_008)`` is ``'42.0 KiB'``."""
    unit, name = binary_unit(n)
    return f"{n:,.0f} B" if unit == 1 else f"{n / unit:,.1f} {name}"


def format_band(low: float, high: float) -> str:
    """Two sizes as a range, in one unit where the lower fills half of it; one size where they read the same."""
    unit, name = binary_unit(high)
    first, last = format_bytes(low), format_bytes(high)
    if first == last:
        return last
    return f"{low / unit:,.1f} to {last}" if unit > 1 and low >= unit / 2 else f"{first} to {last}"


def binary_unit(n: float) -> tuple[int, str]:
    """The largest unit of 1024 to some power that ``n`` bytes fill at least once: its bytes and its name."""
    return next(((unit, name) for unit, name in _UNITS if abs(n) >= unit), (1, "B"))


def require_count(name: str, value: Any, least: int) -> int:
    """The value as an int; raise one clear line unless it is a whole number of ``least`` or more."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of {least} or more")
    return int(value)

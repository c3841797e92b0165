"""How many bytes a KV cache takes: the arithmetic, with no tensor in it.

Source of the formula: every layer keeps one key row and one value row per KV head and token, so

    bytes = 2 (K and V) x n_layers x n_kv_heads x head_dim x bytes per element x tokens x sequences

``KVShape`` says it layer by layer, since in many models the layers are not alike.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from helpers.catalog import KV_LAYOUTS, WEIGHT_BITS, GiB, KiB, MiB

KVFormat = str | tuple[str, str]  # one name for both, or (format of K, format of V)

KIND_OF_LAYER_TYPE = {
    "full_attention": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "sliding",
    "linear_attention": "none",
}


@dataclass(frozen=True)
class LayerKV:
    """What one layer keeps of one token.

    Attributes:
        kind: ``full`` keeps every token; ``sliding`` the last ``window - 1``, which with the token being read make up
            the window; ``latent`` one compressed row for all heads; ``none`` nothing per token (a recurrent layer).
        n_kv_heads: key-value heads; 1 for ``latent``.
        k_dim: numbers per key row; for ``latent`` the compressed row of keys and values together.
        v_dim: numbers per value row; for ``latent`` the small rotated key that cannot be compressed.
        window: tokens a sliding layer sees, otherwise None.
    """

    kind: str
    n_kv_heads: int
    k_dim: int
    v_dim: int
    window: int | None = None

    def rows(self, tokens: int) -> int:
        """Rows kept per KV head after ``tokens`` tokens."""
        if self.kind == "none":
            return 0
        return min(tokens, self.window - 1) if self.kind == "sliding" else tokens

    def token_bytes(self, kv_format: KVFormat = "fp16") -> int:
        """Bytes of one token's rows, K and V, over all KV heads of the layer."""
        k_format, v_format = split_format(kv_format)
        return self.n_kv_heads * (row_bytes(self.k_dim, k_format) + row_bytes(self.v_dim, v_format))


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
            ValueError: if a field is missing or a layer is of a kind that this course cannot count.
        """
        fields = _config_fields(config)
        layers = tuple(_layer(fields, kind) for kind in _layer_kinds(fields))
        first = next((layer for layer in layers if layer.kind != "none"), layers[0])
        head_dim = first.k_dim + first.v_dim if first.kind == "latent" else first.k_dim
        state = _state_bytes(fields) if any(layer.kind == "none" for layer in layers) else 0
        n_recurrent = sum(layer.kind == "none" for layer in layers)
        return cls(len(layers), first.n_kv_heads, head_dim, layers, fixed_bytes=n_recurrent * state)

    def bytes(self, tokens: int, sequences: int = 1, kv_format: KVFormat = "fp16") -> int:
        """Bytes of the cache after ``tokens`` tokens in each of ``sequences`` sequences, recurrent state left out."""
        require_count("tokens", tokens, least=0)
        require_count("sequences", sequences, least=0)
        alike = Counter(self.layers)
        return sequences * sum(n * layer.rows(tokens) * layer.token_bytes(kv_format) for layer, n in alike.items())

    def bytes_per_token(self, kv_format: KVFormat = "fp16") -> int:
        """Bytes that one more token costs while every layer still grows (no sliding window is full yet)."""
        return sum(layer.token_bytes(kv_format) for layer in self.layers if layer.kind != "none")

    def count(self, kind: str) -> int:
        """How many layers are of this kind: ``full``, ``sliding``, ``latent`` or ``none``."""
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
    growing = [layer for layer in kv_shape.layers if layer.kind in ("full", "latent")]
    windows = max((layer.window for layer in kv_shape.layers if layer.kind == "sliding"), default=1)
    if free < 0:
        return 0
    if not growing and kv_shape.bytes(windows, sequences, kv_format) <= free:
        return math.inf
    at_most = windows + int(free // sum(layer.token_bytes(kv_format) for layer in growing or kv_shape.layers))
    return bisect_right(range(at_most + 1), free, key=lambda t: kv_shape.bytes(t, sequences, kv_format)) - 1


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


def row_bytes(dim: int, kv_format: str) -> int:
    """Bytes of one row of ``dim`` numbers stored in a KV format, its scales included."""
    if kv_format not in KV_LAYOUTS:
        raise ValueError(f"kv_format is {kv_format!r}; it may be {', '.join(KV_LAYOUTS)}")
    layout = KV_LAYOUTS[kv_format]
    if dim % layout.values_per_group:
        raise ValueError(f"{kv_format} stores {layout.values_per_group} numbers at a time, which a row of {dim} is not")
    return dim // layout.values_per_group * layout.bytes_per_group


def split_format(kv_format: KVFormat) -> tuple[str, str]:
    """The formats of K and of V, from one name or a pair."""
    return (kv_format, kv_format) if isinstance(kv_format, str) else tuple(kv_format)


def format_bytes(n: float) -> str:
    """Bytes as people read them, in powers of 1024: ``format_bytes(43_008)`` is ``'42.0 KiB'``."""
    for unit, name in ((GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
        if abs(n) >= unit:
            return f"{n / unit:,.1f} {name}"
    return f"{n:,.0f} B"


def require_count(name: str, value: int, least: int) -> None:
    """Raise one clear line unless ``value`` is a whole number of ``least`` or more."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of {least} or more")


def _config_fields(config: Any) -> dict[str, Any]:
    """The language model's part of a config, as a dict."""
    if isinstance(config, str | Path):
        path = Path(config)
        path = path / "config.json" if path.is_dir() else path
        if not path.is_file():
            raise ValueError(f"config is {str(config)!r}; no such file, or no config.json in that folder")
        config = json.loads(path.read_text())
    fields = config if isinstance(config, dict) else config.to_dict()
    return fields.get("text_config") or fields


def _get(fields: dict[str, Any], name: str) -> Any:
    if fields.get(name) is None:
        raise ValueError(f"the config (model_type {fields.get('model_type')!r}) names no {name}")
    return fields[name]


def _layer_kinds(fields: dict[str, Any]) -> list[str]:
    """One kind per layer; where the file does not list them, the rule that transformers applies to its model_type."""
    n_layers, model_type = _get(fields, "num_hidden_layers"), fields.get("model_type", "")
    if fields.get("kv_lora_rank"):
        return ["latent"] * n_layers
    if fields.get("layer_types"):
        return [_kind(layer_type) for layer_type in fields["layer_types"]]
    every = fields.get("full_attention_interval") or (4 if model_type == "qwen3_next" else None)
    if every:
        return ["full" if (i + 1) % every == 0 else "none" for i in range(n_layers)]
    window, first_sliding = fields.get("sliding_window"), 0
    pattern = fields.get("sliding_window_pattern") or {"gemma3_text": 6, "gpt_oss": 2, "gemma2": 2}.get(model_type, 0)
    if "use_sliding_window" in fields:  # Qwen2 and Qwen3 files name a window and then do not use it
        window = window if fields["use_sliding_window"] else None
        first_sliding = fields.get("max_window_layers", 0)
    return [
        "sliding" if window and i >= first_sliding and not (pattern and (i + 1) % pattern == 0) else "full"
        for i in range(n_layers)
    ]


def _kind(layer_type: str) -> str:
    if layer_type not in KIND_OF_LAYER_TYPE:
        raise ValueError(f"layer type {layer_type!r} cannot be counted; known are {', '.join(KIND_OF_LAYER_TYPE)}")
    return KIND_OF_LAYER_TYPE[layer_type]


def _layer(fields: dict[str, Any], kind: str) -> LayerKV:
    if kind == "latent":
        return LayerKV(kind, 1, _get(fields, "kv_lora_rank"), _get(fields, "qk_rope_head_dim"))
    n_heads = _get(fields, "num_attention_heads")
    n_kv_heads = fields.get("num_key_value_heads") or n_heads  # no field: one KV head per query head
    head_dim = fields.get("head_dim") or _get(fields, "hidden_size") // n_heads  # only where the file names no head_dim
    window = fields.get("attention_chunk_size") or fields.get("sliding_window")
    return LayerKV(kind, n_kv_heads, head_dim, head_dim, window if kind == "sliding" else None)


def _state_bytes(fields: dict[str, Any]) -> int:
    """Bytes of one gated-delta-rule layer's state per sequence: a convolution window and one matrix per value head.

    The matrices are float32 whatever the weights are, as transformers computes them.
    """
    k_heads, k_dim = _get(fields, "linear_num_key_heads"), _get(fields, "linear_key_head_dim")
    v_heads, v_dim = _get(fields, "linear_num_value_heads"), _get(fields, "linear_value_head_dim")
    element = 4 if "float32" in str(fields.get("dtype") or fields.get("torch_dtype") or "bfloat16") else 2
    convolution = (2 * k_heads * k_dim + v_heads * v_dim) * _get(fields, "linear_conv_kernel_dim") * element
    return convolution + v_heads * k_dim * v_dim * 4

"""What each layer of a model keeps of a token, read from the model's configuration.

Most models keep the same in every layer. The others are the reason for this file: sliding windows, latent attention,
recurrent layers, and files that leave out what transformers then fills in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.arithmetic.catalog import KV_LAYOUTS

KVFormat = str | tuple[str, str]  # one name for both, or (format of K, format of V)
KIND_OF_LAYER_TYPE = {
    "full_attention": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "sliding",
    "linear_attention": "none",
}
# What transformers fills in where a published file leaves a field out. Held, by test, to transformers' own classes.
FILE_DEFAULTS: dict[str, dict[str, Any]] = {
    "qwen2": {"use_sliding_window": False, "max_window_layers": 28},
    "qwen3": {"head_dim": 128, "use_sliding_window": False, "max_window_layers": 28},
    "qwen3_moe": {"use_sliding_window": False},
    "qwen3_next": {"full_attention_interval": 4},
    "mistral": {"sliding_window": 4096},
    "gemma2": {"head_dim": 256, "sliding_window": 4096, "sliding_window_pattern": 2},
    "gemma3_text": {
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
    },
    "gpt_oss": {"head_dim": 64, "sliding_window": 128, "sliding_window_pattern": 2},
    "cohere2": {"sliding_window": 4096, "sliding_window_pattern": 4},
    "llama4_text": {"attention_chunk_size": 8192, "sliding_window_pattern": 4},
}
ALL_SLIDING = ("mistral", "qwen3_moe", "phi3")  # a window in the file then holds for every layer
# Fields of layers that keep something else than rows of K and V; better no number than a wrong one.
OTHER_MEMORY = re.compile(
    "mamba|ssm|lru_width|linear_attn|index_topk|attn_layer_|layers_block_type|block_types|num_kv_shared_layers|global_head_dim|swa_"
)


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


def read_layers(config: Any) -> tuple[tuple[LayerKV, ...], int]:
    """What each layer keeps, and the bytes of recurrent state of one sequence.

    Args:
        config: a transformers config object, the dict of a ``config.json``, or the path of that file or its folder.

    Raises:
        ValueError: if a field is missing or a layer is of a kind that this course cannot count.
    """
    fields, is_file = _read_fields(config)
    other = next((name for name, value in fields.items() if value and OTHER_MEMORY.search(name)), None)
    if other:
        raise ValueError(
            f"the config (model_type {fields.get('model_type')!r}) has {other}: such layers are not counted"
        )
    kinds = _kinds(fields, is_file)
    n_recurrent = kinds.count("none")
    return tuple(_layer(fields, kind) for kind in kinds), n_recurrent * _state_bytes(fields) if n_recurrent else 0


def _read_fields(config: Any) -> tuple[dict[str, Any], bool]:
    """The language model's part of a config as a dict, and whether it is a file's, with gaps to fill."""
    if isinstance(config, str | Path):
        path = Path(config)
        path = path / "config.json" if path.is_dir() else path
        if not path.is_file():
            raise ValueError(f"config is {str(config)!r}; no such file, or no config.json in that folder")
        config = json.loads(path.read_text(encoding="utf-8"))
    is_file = isinstance(config, dict)
    if not is_file:
        _require_even(config)
    fields = config if is_file else config.to_dict()
    fields = fields.get("text_config") or fields
    return (FILE_DEFAULTS.get(fields.get("model_type", ""), {}) | fields if is_file else fields), is_file


def _require_even(config: Any) -> None:
    """Refuse a model whose layers differ in the width or number of their rows, as Gemma-4's do."""
    per_layer = getattr(config.get_text_config(decoder=True), "per_layer_config", ())
    widths = {(getattr(c, "head_dim", None), getattr(c, "num_key_value_heads", None)) for c in per_layer}
    if len(widths) > 1:
        raise ValueError(
            f"the config (model_type {config.model_type!r}) has layers of uneven rows, which are not counted"
        )


def _get(fields: dict[str, Any], name: str) -> Any:
    if fields.get(name) is None:
        raise ValueError(f"the config (model_type {fields.get('model_type')!r}) names no {name}")
    return fields[name]


def _kinds(fields: dict[str, Any], is_file: bool) -> list[str]:
    """One kind per layer: listed, or by the rule of the model's type."""
    n_layers = _get(fields, "num_hidden_layers")
    listed = fields.get("layer_types")
    if listed and len(listed) != n_layers:
        raise ValueError(f"the config lists {len(listed)} layer_types; num_hidden_layers is {n_layers}")
    kinds = [_kind(name) for name in listed] if listed else [_rule(fields, is_file)(i) for i in range(n_layers)]
    return ["latent" if kind == "full" and fields.get("kv_lora_rank") else kind for kind in kinds]


def _kind(layer_type: str) -> str:
    if layer_type not in KIND_OF_LAYER_TYPE:
        raise ValueError(f"layer type {layer_type!r} cannot be counted; known are {', '.join(KIND_OF_LAYER_TYPE)}")
    return KIND_OF_LAYER_TYPE[layer_type]


def _rule(fields: dict[str, Any], is_file: bool) -> Callable[[int], str]:
    """The kind of layer ``i`` where no list says it, as transformers has it for the model's type."""
    model_type, window = fields.get("model_type"), _window(fields)
    if every := fields.get("full_attention_interval"):
        return lambda i: "none" if (i + 1) % every else "full"
    if not window or fields.get("use_sliding_window") is False:  # Qwen files name a window and then do not use it
        return lambda i: "full"
    if every := fields.get("sliding_window_pattern"):
        return lambda i: "sliding" if (i + 1) % every else "full"
    if model_type in ("qwen2", "qwen3"):
        return lambda i: "sliding" if i >= _get(fields, "max_window_layers") else "full"
    if is_file and model_type not in ALL_SLIDING:
        raise ValueError(f"the config (model_type {model_type!r}) has a sliding_window and names no layer_types")
    return lambda i: "sliding"


def _window(fields: dict[str, Any]) -> int | None:
    return fields.get("attention_chunk_size") or fields.get("sliding_window")


def _layer(fields: dict[str, Any], kind: str) -> LayerKV:
    if kind == "latent":
        return LayerKV(kind, 1, _get(fields, "kv_lora_rank"), _get(fields, "qk_rope_head_dim"))
    n_heads = _get(fields, "num_attention_heads")
    n_kv_heads = fields.get("num_key_value_heads") or n_heads  # no field: one KV head per query head
    if fields.get("v_head_dim"):
        raise ValueError(
            f"the config (model_type {fields.get('model_type')!r}) has v_head_dim: uneven rows are not counted"
        )
    head_dim = fields.get("head_dim") or _get(fields, "hidden_size") // n_heads  # only where the file names no head_dim
    window = (_window(fields) or _get(fields, "sliding_window")) if kind == "sliding" else None
    return LayerKV(kind, n_kv_heads, head_dim, head_dim, window)


def _state_bytes(fields: dict[str, Any]) -> int:
    """Bytes of one gated-delta-rule layer's state per sequence: a convolution window and one matrix per value head.

    The matrices are float32 whatever the weights are, as transformers computes them.
    """
    k_heads, k_dim = _get(fields, "linear_num_key_heads"), _get(fields, "linear_key_head_dim")
    v_heads, v_dim = _get(fields, "linear_num_value_heads"), _get(fields, "linear_value_head_dim")
    element = 4 if "float32" in str(fields.get("dtype") or fields.get("torch_dtype") or "bfloat16") else 2
    convolution = (2 * k_heads * k_dim + v_heads * v_dim) * _get(fields, "linear_conv_kernel_dim") * element
    return convolution + v_heads * k_dim * v_dim * 4


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
    pair = kv_format if isinstance(kv_format, tuple | list) else (kv_format, kv_format)
    if len(pair) != 2:
        raise ValueError(f"kv_format is {kv_format!r}; it may be one name or a pair, (format of K, format of V)")
    return pair[0], pair[1]

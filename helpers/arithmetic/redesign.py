"""What a model would keep if its heads shared differently, or its layers kept otherwise: shapes to compare with."""

from __future__ import annotations

from typing import Any

from helpers.arithmetic.footprint import KVShape
from helpers.arithmetic.layers import LayerKV

AS_PUBLISHED = "as published"
SHARING: dict[str, int | None] = {  # query heads per KV head; 0 stands for all of them
    AS_PUBLISHED: None,
    "each its own (MHA)": 1,
    "2 share one": 2,
    "4 share one": 4,
    "8 share one": 8,
    "16 share one": 16,
    "all share one (MQA)": 0,
}
LAYERS = (
    AS_PUBLISHED,
    "all full",
    "5 of 6 sliding, window 1,024",
    "3 of 4 without rows",
    "latent, 512 + 64 numbers",
)


def unshared(config: dict[str, Any]) -> KVShape:
    """The model with keys and values of its own for every query head, and every layer keeping every token.

    Args:
        config: the dict of a ``config.json``.
    """
    fields = config.get("text_config", config)
    n_heads, (k_dim, v_dim) = fields["num_attention_heads"], head_dims(config)
    layer = LayerKV("full", n_heads, k_dim, v_dim)
    return KVShape(fields["num_hidden_layers"], n_heads, k_dim, (layer,) * fields["num_hidden_layers"])


def head_dims(config: dict[str, Any]) -> tuple[int, int]:
    """Numbers per key and per value of one head, before any compression to a latent row."""
    fields = config.get("text_config", config)
    if fields.get("kv_lora_rank"):
        return fields["qk_nope_head_dim"] + fields["qk_rope_head_dim"], fields["v_head_dim"]
    head_dim = KVShape.from_config(config).head_dim
    return head_dim, head_dim


def redesign(config: dict[str, Any], sharing: str, layers: str) -> KVShape:
    """The model with another sharing of heads and other layers.

    Args:
        config: the dict of a ``config.json``.
        sharing: one of ``SHARING``; a latent layer keeps one row for all heads whatever this says.
        layers: one of ``LAYERS``.

    Raises:
        ValueError: if the query heads cannot be shared out to equal groups.
    """
    fields, published = config.get("text_config", config), KVShape.from_config(config)
    n_heads, (k_dim, v_dim) = fields["num_attention_heads"], head_dims(config)
    group_size = SHARING[sharing]
    if group_size is None:
        group_size = n_heads // fields["num_key_value_heads"]
    group_size = group_size or n_heads
    if n_heads % group_size:
        raise ValueError(f"{n_heads} query heads cannot be shared out to groups of {group_size}")
    full = LayerKV("full", n_heads // group_size, k_dim, v_dim)
    new = tuple(_layer(full, layers, i, layer) for i, layer in enumerate(published.layers))
    return KVShape(published.n_layers, full.n_kv_heads, k_dim, new)


def _layer(full: LayerKV, layers: str, index: int, published: LayerKV) -> LayerKV:
    """Layer ``index`` of the redesign, made from the full layer with the wished sharing."""
    kind, window = {
        "all full": ("full", None),
        "5 of 6 sliding, window 1,024": ("full" if index % 6 == 5 else "sliding", 1024),
        "3 of 4 without rows": ("full" if index % 4 == 3 else "none", None),
        "latent, 512 + 64 numbers": ("latent", None),
    }.get(layers, (published.kind, published.window))
    if kind == "latent":
        return published if published.kind == "latent" else LayerKV("latent", 1, 512, 64)
    state = published.state if kind == published.kind else 0
    return LayerKV(kind, full.n_kv_heads, full.k_dim, full.v_dim, window if kind == "sliding" else None, state=state)

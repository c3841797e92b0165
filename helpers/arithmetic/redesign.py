"""What a model would keep if its heads shared nothing, or all its layers every token: shapes to compare with."""

from __future__ import annotations

from typing import Any

from helpers.arithmetic.footprint import KVShape
from helpers.arithmetic.layers import LayerKV


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


def all_full(config: dict[str, Any]) -> KVShape:
    """The model with its heads shared as they are, and every layer keeping every token.

    Args:
        config: the dict of a ``config.json``.
    """
    fields = config.get("text_config", config)
    n_kv_heads, (k_dim, v_dim) = fields["num_key_value_heads"], head_dims(config)
    layer = LayerKV("full", n_kv_heads, k_dim, v_dim)
    return KVShape(fields["num_hidden_layers"], n_kv_heads, k_dim, (layer,) * fields["num_hidden_layers"])

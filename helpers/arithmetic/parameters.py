"""Parameters of a model from its config alone, for families that are plain enough to count exactly.

Plain means: tables in and out, and in each layer two norms, four projections of attention, and one network with a gate
or experts of that kind. A test builds every family named here with transformers and counts.
"""

from __future__ import annotations

from typing import Any

from helpers.arithmetic.experts import MIXTURES, is_tied, read_experts
from helpers.arithmetic.families import known_fields, read_layers

# What a family has besides: a bias on Q, K and V in any case, a norm of Q and K over a head, or over all of them.
QKV_BIAS, HEAD_NORM, WIDE_NORM = "qkv bias", "norm of each head", "norm of all heads"
PLAIN: dict[str, str | None] = {
    **dict.fromkeys(("llama", "granite", "mistral", "mixtral", "smollm3"), None),
    "qwen2": QKV_BIAS,
    **dict.fromkeys(("qwen3", "qwen3_moe"), HEAD_NORM),
    "olmo2": WIDE_NORM,
}


def parameters_of(config: Any) -> int | None:
    """Parameters that transformers' class for this config has, or None if the family is not plain.

    Args:
        config: a transformers config object, the dict of a ``config.json``, or the path of that file or its folder.

    Raises:
        ValueError: in one line, if the config's cache cannot be counted, or a field is missing or out of range.
    """
    fields, layers = known_fields(config), read_layers(config)
    if fields.model_type not in PLAIN:
        return None
    besides, hidden, experts = PLAIN[fields.model_type], fields.count("hidden_size"), read_experts(config)
    if fields.model_type in MIXTURES and (experts is None or experts.layers < len(layers)):
        return None
    q_dim, kv_dim = fields.count("num_attention_heads") * layers[0].k_dim, layers[0].n_kv_heads * layers[0].k_dim
    biased = bool(fields.get("attention_bias")) and fields.model_type not in ("mistral", "mixtral", "qwen2")
    mlp_biased = bool(fields.get("mlp_bias")) and fields.model_type in ("llama", "granite", "smollm3")
    attention = 2 * hidden * (q_dim + kv_dim) + biased * (q_dim + 2 * kv_dim + hidden)
    extra = {QKV_BIAS: q_dim + 2 * kv_dim, HEAD_NORM: 2 * layers[0].k_dim, WIDE_NORM: q_dim + kv_dim}
    attention += extra.get(besides or "", 0)
    if experts is None:
        width = fields.count("intermediate_size")
        network = 3 * hidden * width + (2 * width + hidden) * mlp_biased
    else:
        network = experts.total * (experts.size + hidden)  # and the router's row for each
    tables = fields.count("vocab_size") * hidden * (1 if is_tied(fields) else 2)
    return tables + hidden + len(layers) * (2 * hidden + attention + network)

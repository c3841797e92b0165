"""Small relatives of published models: the same kinds of layers in the same order, narrow rows, random weights.

What a layer keeps does not depend on what the model has learned, so these show in a second what giants keep.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, logging

from helpers.arithmetic.catalog import find_model

VOCABULARY = 64  # tokens; a published vocabulary would be most of the model
N_LAYERS, WINDOW = 12, 64  # of a miniature: layers, and tokens where the published model has a window
NARROW: dict[str, int] = {
    "intermediate_size": 16,
    "max_position_embeddings": 512,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "n_routed_experts": 16,  # 8 groups of 2, the default that DeepSeek-V3's entry leaves out
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 8,
    "shared_expert_intermediate_size": 8,
    "q_lora_rank": 12,
    "qk_nope_head_dim": 8,
    "v_head_dim": 10,
    "query_pre_attn_scalar": 16,
    # These decide the cache: small, and no two alike.
    "head_dim": 16,
    "kv_lora_rank": 14,
    "qk_rope_head_dim": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 12,
}


def shrink(config: dict[str, Any], n_layers: int, window: int) -> dict[str, Any]:
    """A published ``config.json``, made small: kinds of layers and group size stay, and so do the fields left out.

    Args:
        config: as published; a ``text_config`` in it is made small in its place.
        n_layers: how many of its layers, the first ones.
        window: tokens of the sliding window, where the model has one.
    """
    if "text_config" in config:
        return config | {"text_config": shrink(config["text_config"], n_layers, window)}
    group_size = config["num_attention_heads"] // config["num_key_value_heads"]
    small = {name: NARROW.get(name, value) for name, value in config.items()}
    small |= {
        "num_hidden_layers": n_layers,
        "num_key_value_heads": 2,
        "num_attention_heads": 2 * group_size,
        "hidden_size": 8 * 2 * group_size,  # head_dim is 8 only where the file names none
        "vocab_size": VOCABULARY,
    }
    if config.get("sliding_window"):
        small["sliding_window"] = window
    if config.get("layer_types"):
        small["layer_types"] = config["layer_types"][:n_layers]
    if config.get("max_window_layers"):
        small["max_window_layers"] = n_layers
    return small


def build(config: dict[str, Any], dtype: torch.dtype = torch.float32, seed: int = 0) -> Any:
    """The text model of a ``config.json`` in eval mode, with random weights that are the same on every call."""
    torch.manual_seed(seed)
    text_config = AutoConfig.for_model(**config).get_text_config()
    return AutoModelForCausalLM.from_config(text_config, dtype=dtype).eval()


def miniature(name: str) -> Any:
    """The first layers of a catalog's model, made narrow, in float32 with random weights; in eval mode."""
    logging.set_verbosity_error()  # transformers recommends faster kernels for some of them
    return build(shrink(find_model(name).config, N_LAYERS, WINDOW))


@torch.inference_mode()
def filled_cache(model: Any, n_tokens: int) -> DynamicCache:
    """The model's cache after it has read ``n_tokens`` random tokens at once."""
    cache = DynamicCache(config=model.config)
    ids = torch.randint(3, VOCABULARY, (1, n_tokens), generator=torch.manual_seed(0))
    model(ids, past_key_values=cache, logits_to_keep=1)
    return cache

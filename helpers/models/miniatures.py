"""Small relatives of published models: the same kinds of layers in the same order, narrow rows, random weights.

What a layer keeps does not depend on what the model has learned, so these show in a second what giants keep.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, logging

from helpers.arithmetic.catalog import find_model

WINDOW = 64  # tokens, where the published model has a window
NARROW: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "sliding_window": WINDOW,
    "kv_lora_rank": 24,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 8,
    "num_experts_per_tok": 1,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}


def miniature(name: str, n_layers: int = 12) -> Any:
    """The first layers of a catalog's model, made narrow, in float32 with random weights; in eval mode.

    Args:
        name: a model of the catalog.
        n_layers: how many of its layers.
    """
    published = find_model(name).config
    fields = published.get("text_config", published)
    small = fields | {key: value for key, value in NARROW.items() if fields.get(key)} | {"num_hidden_layers": n_layers}
    small |= {"vocab_size": 100, "pad_token_id": 0, "n_group": 1, "topk_group": 1}
    if fields.get("kv_lora_rank"):  # every query head has a key of its own, made from the latent row
        small["num_key_value_heads"] = small["num_attention_heads"]
    if fields.get("layer_types"):
        small["layer_types"] = fields["layer_types"][:n_layers]
    torch.manual_seed(0)
    logging.set_verbosity_error()  # transformers recommends faster kernels for some of them
    config = AutoConfig.for_model(**small, dtype="float32")
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


@torch.inference_mode()
def filled_cache(model: Any, n_tokens: int) -> DynamicCache:
    """The model's cache after it has read ``n_tokens`` random tokens at once."""
    cache = DynamicCache(config=model.config)
    ids = torch.randint(3, 100, (1, n_tokens), generator=torch.manual_seed(0))
    model(ids, past_key_values=cache, logits_to_keep=1)
    return cache

"""Small twins of published models: layer pattern and head ratio of the original, few and narrow layers, random weights.

Shared by the tests that run a model of another family than the reasoner's.
"""

from helpers.arithmetic.catalog import IN_LESSONS, MODELS
from helpers.models.miniatures import VOCABULARY, build, shrink

__all__ = ["CATALOG", "EXPERTS", "EXTRA", "FAMILIES", "VOCABULARY", "WINDOW", "build", "plain"]

WINDOW = 8
N_LAYERS = {"gemma3_text": 8, "qwen3_next": 8, "gpt_oss": 4}  # at least one full period; 3 for the rest


def shrunk(config):
    model_type = config.get("text_config", config)["model_type"]
    return shrink(config, N_LAYERS.get(model_type, 3), WINDOW)


def plain(model_type, **fields):
    """The ``config.json`` of a small model whose head_dim is not hidden_size / num_attention_heads."""
    small = {
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_size": 32,
        "intermediate_size": 16,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return {"model_type": model_type} | small | fields


CATALOG = {name: shrunk(MODELS[name].config) for name in IN_LESSONS}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
EXTRA = {
    "Mistral with a window": plain("mistral", head_dim=16, sliding_window=WINDOW),
    "Mistral without": plain("mistral", head_dim=16, sliding_window=None),
    "Qwen2, window named, not used": plain(
        "qwen2", use_sliding_window=False, sliding_window=WINDOW, max_window_layers=1
    ),
    "Qwen2, window from layer 1 on": plain(
        "qwen2", use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1
    ),
    "Qwen2, window in every layer": plain("qwen2", use_sliding_window=True, sliding_window=WINDOW, max_window_layers=0),
    "Qwen3, window from layer 2 on": plain(
        "qwen3", head_dim=16, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=2
    ),
    "Qwen3-MoE": plain(
        "qwen3_moe", head_dim=16, use_sliding_window=False, sliding_window=None, max_window_layers=3, **EXPERTS
    ),
    # transformers has no max_window_layers for this family: a window, once in use, is every layer's.
    "Qwen3-MoE with a window": plain(
        "qwen3_moe", head_dim=16, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=3, **EXPERTS
    ),
    "OLMo-2": plain("olmo2"),
    "OLMo-2 that names no KV heads": plain("olmo2", num_key_value_heads=None),
    "Granite": plain("granite"),
    "Phi-3": plain("phi3", sliding_window=None),
    "Phi-3 with a window": plain("phi3", sliding_window=WINDOW),
    "Gemma-2": plain("gemma2", head_dim=16, sliding_window=WINDOW),
    "Gemma-3 with another pattern": plain("gemma3_text", head_dim=16, sliding_window=WINDOW, sliding_window_pattern=2),
    # As published: the file lists no layer types; every fourth layer is full.
    "Llama-4": plain(
        "llama4_text",
        num_hidden_layers=5,
        head_dim=16,
        attention_chunk_size=WINDOW,
        no_rope_layers=[],
        interleave_moe_layer_step=5,
        intermediate_size_mlp=16,
        num_local_experts=2,
        num_experts_per_tok=1,
    ),
}
FAMILIES = CATALOG | EXTRA

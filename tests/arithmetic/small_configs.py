"""A small config for every family that transformers has a language model for: few and narrow layers of every kind.

Sizes that decide a cache are all different, so that one taken for another shows.
"""

import importlib
import inspect
from functools import cache

import torch
from transformers import AutoModel, AutoModelForCausalLM, DynamicCache, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

CLASSES = sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES})
WINDOW, VOCABULARY = 8, 64
SMALL = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 4),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model"), 64),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner"), 32),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input"), VOCABULARY),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 512),
    **dict.fromkeys(("num_experts", "num_local_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k", "moe_topk"), 2),
    **dict.fromkeys(("sliding_window", "attention_chunk_size"), WINDOW),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 8),
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "num_key_value_heads": 2,
    "head_dim": 20,
    "kv_channels": 20,
    "n_routed_experts": 16,
    "n_shared_experts": 1,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 12,
    "q_lora_rank": 10,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 14,
    "v_head_dim": 6,
    "index_head_dim": 18,
    "index_n_heads": 2,
    "index_topk": 4,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 12,
    "linear_head_dim": 10,
    "linear_num_heads": 4,
    "mamba_d_state": 6,
    "mamba_n_heads": 8,
    "mamba_d_head": 16,
    "mamba_n_groups": 2,
    "hidden_size_per_layer_input": 4,
    "altup_num_inputs": 2,
    "laurel_rank": 4,
}
ABSENT = "absent"
SLIDING_THEN_FULL = ["sliding_attention", "full_attention"] * 2
STATE_THEN_FULL = ["linear_attention", "full_attention"] * 2
LATENT = {"head_dim": ABSENT, "num_key_value_heads": 4}


def image_rope(*sections):
    """RoPE over time, height and width, in so many pairs each."""
    return {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": list(sections)}}


LISTED = {"layer_types": SLIDING_THEN_FULL}
MAMBA_2 = {"mamba_num_heads": 8, "mamba_head_dim": 16, "ssm_state_size": 6, "n_groups": 2}
OWN = {  # what a family needs besides
    **dict.fromkeys(("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite"), LATENT),
    **dict.fromkeys(("glm_moe_dsa", "hy_v4", "mistral4", "minicpm3", "youtu"), LATENT),
    **dict.fromkeys(("glm4v_text", "qwen2_vl_text", "qwen2_5_vl_text", "qwen2_5_omni_text"), image_rope(2, 3, 3)),
    **dict.fromkeys(("glm4v_moe_text", "glm_ocr_text"), image_rope(1, 1, 2)),
    **dict.fromkeys(("beam", "cohere2_moe", "cohere_compass_text", "cwm", "flint", "granite_swa", "kolibri1"), LISTED),
    **dict.fromkeys(("granitemoe_swa", "laguna", "mellum", "muse_glimmer_text", "muse_spark_text", "step3p5"), LISTED),
    **dict.fromkeys(("codegen", "gptj"), {"rotary_dim": 8}),
    "bailing_hybrid": {"num_key_value_heads": 4, "layer_group_size": 2},
    "bamba": {"attn_layer_indices": [1, 3]},
    "cosmos3_edge_text": {"head_dim": 128},
    "deepseek_v4": {
        "layer_types": ["sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"]
        + ["compressed_sparse_attention"],
        "compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 5},
    },
    "ernie4_5_vl_moe_text": {"moe_intermediate_size": [8, 8]},
    "falcon_h1": {"mamba_d_ssm": 128},
    "gemma3n_text": {"num_kv_shared_layers": 2, "layer_types": SLIDING_THEN_FULL},
    "gemma4_text": {"num_kv_shared_layers": 2, "layer_types": SLIDING_THEN_FULL, "global_head_dim": 24},
    "gemma4_unified_text": {"layer_types": SLIDING_THEN_FULL, "num_global_key_value_heads": 1},
    "deepseek_ocr2_text": {"head_dim": ABSENT},
    "helium": {"head_dim": 16},
    "lfm3": {"layer_types": ["conv", "full_attention", "conv", "sliding_attention"]},
    "paddleocr_vl_text": image_rope(2, 4, 4),
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granitemoehybrid": {"layer_types": STATE_THEN_FULL},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": LATENT | {"layer_types": STATE_THEN_FULL},
    "lfm2": {"full_attn_idxs": [2]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "longcat_flash": LATENT | {"num_hidden_layers": ABSENT, "head_dim": 8},
    "mimo_v2_flash": {"layer_types": SLIDING_THEN_FULL},
    "minimax_m3_vl_text": {"layer_types": ["full_attention", "minimax_m3_sparse"] * 2},
    "mllama_text_model": {"cross_attention_layers": [1]},
    "nemotron_h": MAMBA_2 | {"layers_block_type": ["mamba", "moe", "attention", "mlp"], "num_hidden_layers": ABSENT},
    "olmo_hybrid": {"layer_types": STATE_THEN_FULL},
    "phi4_multimodal": {
        "vision_config": {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 32},
        "audio_config": {"hidden_size": 32, "num_blocks": 1, "intermediate_size": 32},
    },
    "zamba": {"layers_block_type": ["mamba", "hybrid"] * 2},
    "zamba2": {"layers_block_type": ["mamba", "hybrid"] * 2, "head_dim": ABSENT},
}


@cache
def text_classes():
    """The config class of every language model that a causal or image-text class of transformers has, by its type."""
    found = {}
    for name in CLASSES:
        try:
            text = CONFIG_MAPPING[name]().get_text_config(decoder=True)
        except Exception:  # a config that needs arguments
            continue
        found[text.model_type] = type(text)
    return found


def fields_of(config_class):
    """The fields of a config class, under all their names."""
    named = {name for base in config_class.__mro__ for name in getattr(base, "__annotations__", {})}
    return named | set(config_class.attribute_map)


def small(model_type):
    """A ``config.json`` of the family in which only what differs from the defaults is written, as publishers do."""
    config_class = text_classes()[model_type]
    known, mapped = fields_of(config_class), config_class.attribute_map
    chosen = {
        name: value
        for name, value in (SMALL | OWN.get(model_type, {})).items()
        if (name in known or name in OWN.get(model_type, {})) and value != ABSENT
    }
    doubled = {name for name, other in mapped.items() if name in chosen and other in chosen}
    return {"model_type": model_type} | {name: value for name, value in chosen.items() if name not in doubled}


def config_of(published):
    """The transformers object of such a file."""
    values = dict(published)
    return text_classes()[values.pop("model_type")](**values)


def model_class(config):
    """The class that runs this config: the one transformers names, or the one of its own module."""
    for auto in (AutoModelForCausalLM, AutoModel):
        if type(config) in auto._model_mapping:
            return auto._model_mapping[type(config)]
    module = importlib.import_module(type(config).__module__.replace("configuration_", "modeling_"))
    fits = [
        c
        for _, c in inspect.getmembers(module, inspect.isclass)
        if issubclass(c, PreTrainedModel)
        and c.config_class is type(config)
        and "past_key_values" in inspect.signature(c.forward).parameters
    ]
    return min(fits, key=lambda c: (not c.__name__.endswith("ForCausalLM"), c.__name__))


def build(config, dtype=torch.float32):
    """The model of a config object, in eval mode, with random weights."""
    torch.manual_seed(0)
    return model_class(config)._from_config(config, dtype=dtype).eval()


@torch.inference_mode()
def cache_after(model, prefill, steps):
    """What the model's own cache holds after a prefill and single steps, for one sequence."""
    cache = DynamicCache(config=model.config)
    for length in (prefill, *(1,) * steps):
        model(input_ids=torch.randint(3, VOCABULARY, (1, length)), past_key_values=cache, use_cache=True)
    return cache

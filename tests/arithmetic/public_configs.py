"""Fields of published config.json files that decide a cache, and what a token costs by hand, in 16 bits.

``CLASS`` marks fields that are the defaults of transformers' class for the family (5.23). Its docstring names the
checkpoint, and where the defaults are known to be another's, the name says "class of". The others were read in the
place that is named. ``state`` is in bytes, of one sequence: a convolution's window in bfloat16, the rest in float32.
"""

from dataclasses import dataclass, field
from typing import Any

CLASS = "transformers"
PAIR = 2 * 2  # bytes of a key and a value number


@dataclass(frozen=True)
class Public:
    """One published model: where its fields are from, and the figures worked out by hand or printed by an engine."""

    name: str
    source: str
    fields: dict[str, Any] | str  # a dict, or the model_type of the class that has them
    per_token: float
    state: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


def text(model_type: str, layers: int, heads: int, kv: int, hidden: int, **more: Any) -> dict[str, Any]:
    """The four sizes that every file has, and what it has besides."""
    sizes = {
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "hidden_size": hidden,
    }
    return {"model_type": model_type, "torch_dtype": "bfloat16"} | sizes | more


DELTA = {"linear_num_key_heads": 16, "linear_key_head_dim": 128, "linear_value_head_dim": 128}
DELTA |= {"linear_conv_kernel_dim": 4, "full_attention_interval": 4, "mamba_ssm_dtype": "float32"}
QWEN_27 = text("qwen3_5_text", 64, 24, 4, 5120, head_dim=256, linear_num_value_heads=48, **DELTA)
QWEN_35 = text("qwen3_5_moe_text", 40, 16, 2, 2048, head_dim=256, linear_num_value_heads=32, **DELTA)
GEMMA_31 = text("gemma4_text", 60, 32, 16, 5376, head_dim=256, global_head_dim=512, num_global_key_value_heads=4)
GEMMA_31 |= {"layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 10, "attention_k_eq_v": True}
GEMMA_31 |= {"sliding_window": 1024, "num_kv_shared_layers": 0, "use_bidirectional_attention": "vision"}
NANO = text("nemotron_h", 52, 32, 2, 2688, head_dim=128, mamba_num_heads=64, mamba_head_dim=64, ssm_state_size=128)
NANO |= {"n_groups": 8, "conv_kernel": 4, "mamba_ssm_cache_dtype": "float32"}
NANO |= {"hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"}
MLA_LAYERS = [*range(4, 93, 4), 93]
K3 = {
    "linear_attn_config": {
        "num_heads": 96,
        "head_dim": 128,
        "short_conv_kernel_size": 4,
        "full_attn_layers": MLA_LAYERS,
        "kda_layers": [i for i in range(1, 94) if i not in MLA_LAYERS],
    }
}
FALCON_7 = text("falcon_h1", 44, 12, 2, 3072, head_dim=128, mamba_d_conv=4, mamba_d_head=128, mamba_d_ssm=3072)
FALCON_7 |= {"mamba_d_state": 256, "mamba_expand": 2, "mamba_n_groups": 1, "mamba_n_heads": 24}
FALCON_HALF = text("falcon_h1", 36, 8, 2, 1024, head_dim=64, mamba_d_conv=4, mamba_d_head=64, mamba_d_ssm=1536)
FALCON_HALF |= {"mamba_d_state": 128, "mamba_n_groups": 1, "mamba_n_heads": 24}
MIMO = text("mimo_v2_flash", 48, 64, 4, 4096, head_dim=192, v_head_dim=128, swa_num_key_value_heads=8, swa_head_dim=192)
MIMO |= {"swa_v_head_dim": 128, "sliding_window": 128, "sliding_window_size": 128}
MIMO |= {"hybrid_layer_pattern": [int(i not in (0, 5, 11, 17, 23, 29, 35, 41, 47)) for i in range(48)]}
JAMBA = text("jamba", 32, 32, 8, 4096, attn_layer_offset=4, attn_layer_period=8, mamba_d_conv=4, mamba_d_state=16)
JAMBA |= {"mamba_expand": 2}
M1 = text(
    "minimax_m1", 80, 64, 8, 6144, head_dim=128, attn_type_list=[0, 0, 0, 0, 0, 0, 0, 1] * 10, sliding_window=None
)
GRANITE = text(
    "granitemoehybrid", 40, 32, 8, 4096, mamba_d_state=128, mamba_d_conv=4, mamba_expand=2, mamba_n_heads=128
)
GRANITE |= {"layer_types": (["mamba"] * 9 + ["attention"]) * 4, "mamba_n_groups": 1, "mamba_d_head": 64}
RING = text("bailing_moe_linear", 20, 16, 4, 2048, head_dim=128, layer_group_size=5)
M3_SPARSE = {"sparse_attention_freq": [0] * 3 + [1] * 57, "sparse_index_dim": 128}
STEP = text("step3p5", 45, 64, 8, 4096, num_attention_groups=8, head_dim=128, sliding_window=512)
del STEP["num_key_value_heads"]
STEP |= {"layer_types": (["full_attention"] + ["sliding_attention"] * 3) * 12, "num_nextn_predict_layers": 3}
V4_PRO = text("deepseek_v4", 61, 128, 1, 7168, head_dim=512, sliding_window=128, index_head_dim=128)
V4_PRO |= {"compress_ratios": [128, 128] + [4, 128] * 29 + [4] + [0], "num_nextn_predict_layers": 1}
V4_FLASH = text("deepseek_v4", 43, 64, 1, 4096, head_dim=512, sliding_window=128, index_head_dim=128)
V4_FLASH |= {"compress_ratios": [0, 0] + [4, 128] * 20 + [4] + [0]}
HY_7 = text(
    "hunyuan_v1_dense", 32, 32, 8, 4096, head_dim=128, attention_head_dim=128, use_cla=False, cla_share_factor=2
)
EXAONE = text("exaone4", 64, 40, 8, 5120, head_dim=128, sliding_window=4096, sliding_window_pattern="LLLG")
EXAONE |= {"layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 16}
SALA = text("minicpm_sala", 32, 32, 2, 4096, head_dim=128, lightning_nkv=32, lightning_head_dim=128)
SALA |= {"mixer_types": ["minicpm4" if i in (0, 9, 16, 17, 22, 29, 30, 31) else "lightning-attn" for i in range(32)]}


def gated(k_heads: int, v_heads: int, dim: int = 128) -> int:
    """Bytes of one gated-delta layer's state."""
    return (2 * k_heads + v_heads) * dim * 4 * 2 + v_heads * dim * dim * 4


def delta(heads: int, dim: int = 128) -> int:
    """Bytes of one layer of Kimi delta attention."""
    return 3 * heads * dim * 4 * 2 + heads * dim * dim * 4


def mamba_2(heads: int, width: int, d_state: int, groups: int) -> int:
    """Bytes of one Mamba 2 layer's state."""
    return (heads * width + 2 * groups * d_state) * 4 * 2 + heads * width * d_state * 4


V4_BUFFERS = 2 * (2 * 4) * 2 * (512 + 128) * 4, 2 * 128 * 512 * 4  # of a layer of compression 4, and of one of 128
PUBLIC = (
    # Recurrent and full layers.
    Public("Qwen3.8-27B", "a test of vLLM's accounting", QWEN_27, 16 * 4 * 256 * PAIR, 48 * gated(16, 48)),
    Public("Qwen3.6-35B-A3B", "a test of vLLM's accounting", QWEN_35, 10 * 2 * 256 * PAIR, 30 * gated(16, 32)),
    Public("class of Qwen3.5-27B", CLASS, "qwen3_5_text", 8 * 4 * 256 * PAIR, 24 * gated(16, 32)),
    Public("Qwen3.5-35B-A3B", CLASS, "qwen3_5_moe_text", 10 * 2 * 256 * PAIR, 30 * gated(16, 32)),
    Public("Qwen3-Next-80B-A3B", CLASS, "qwen3_next", 12 * 2 * 256 * PAIR, 36 * gated(16, 32)),
    Public(
        "Nemotron-3-Nano-30B", "a test of vLLM's accounting", NANO, 6 * 2 * 128 * PAIR, 23 * mamba_2(64, 64, 128, 8)
    ),
    Public("Granite-4.0-H-Small", "a worked example that gives 16,384", GRANITE, 16_384, 36 * mamba_2(128, 64, 128, 1)),
    Public("Falcon-H1-7B", "an Ollama client's tests", FALCON_7, 44 * 2 * 128 * PAIR, 44 * mamba_2(24, 128, 256, 1)),
    Public(
        "Falcon-H1-0.5B", "shapes of a run", FALCON_HALF, 36 * 2 * 64 * PAIR, 36 * (1792 * 4 * 2 + 24 * 64 * 128 * 4)
    ),
    Public("Jamba-1.5-Mini", "an ONNX exporter", JAMBA, 4 * 8 * 128 * PAIR, 28 * (8192 * 4 * 2 + 8192 * 16 * 4)),
    Public("Jamba-v0.1", CLASS, "jamba", 4 * 8 * 128 * PAIR, 28 * (8192 * 4 * 2 + 8192 * 16 * 4)),
    Public(
        "LFM2-1.2B",
        CLASS,
        "lfm2",
        6 * 8 * 64 * PAIR,
        10 * 2048 * 3 * 2,
        {"num_hidden_layers": 16, "hidden_size": 2048, "full_attn_idxs": [2, 5, 8, 10, 12, 14]},
    ),
    Public("MiniMax-M1", "PaddlePaddle/FastDeploy", M1, 10 * 8 * 128 * PAIR, 70 * 64 * 128 * 128 * 2),
    Public("Ring-mini-linear-2.0", "a test of its engine", RING, 4 * 4 * 128 * PAIR, 16 * 16 * 128 * 128 * 2),
    Public("MiniCPM-SALA", "a GPTQ recipe", SALA, 8 * 2 * 128 * PAIR, 24 * 32 * 128 * 128 * 2),
    Public(
        "Kimi-Linear-48B",
        CLASS,
        "kimi_linear",
        7 * 576 * 2,
        20 * delta(32),
        {
            "layer_types": [
                "full_attention" if i in (3, 7, 11, 15, 19, 23, 26) else "linear_attention" for i in range(27)
            ]
        },
    ),
    Public(
        "Kimi-K3",
        "tpu_inference and a preflight test",
        text("kimi_k3", 93, 96, 96, 7168) | K3,
        24 * 576 * 2,
        69 * delta(96),
    ),
    Public("Ling-3.0-Flash", CLASS, "bailing_hybrid", 7 * 576 * 2, 35 * delta(32)),
    Public(
        "Olmo-Hybrid-7B",
        CLASS,
        "olmo_hybrid",
        8 * 30 * 128 * PAIR,
        24 * ((2 * 30 * 96 + 30 * 192) * 4 * 2 + 30 * 96 * 192 * 4),
    ),
    # Latent rows, and index rows beside them.
    Public("DeepSeek-V3.2", "vLLM: 83.9 GiB at 1,048,576", "deepseek_v32", 61 * (576 + 128) * 2),
    Public("GLM-5", CLASS, "glm_moe_dsa", 78 * (576 + 128) * 2),
    Public("Hy4-preview", CLASS, "hy_v4", 34 * 576 * 2 + 10 * 128 * 2),
    Public("A.X-K1", CLASS, "axk1", 61 * 576 * 2),
    Public("A.X-K2", CLASS, "axk2", 48 * (128 + 32 + 128) * 2),
    Public("LongCat-Flash", CLASS, "longcat_flash", 2 * 28 * 576 * 2),
    Public("DeepSeek-V2-Lite", CLASS, "deepseek_v2", 27 * 576 * 2, 0, {"num_hidden_layers": 27}),
    Public("Mistral-Small-4", CLASS, "mistral4", 36 * (256 + 64) * 2),
    Public("MiniCPM3-4B", CLASS, "minicpm3", 62 * (256 + 32) * 2),
    Public("Youtu-LLM-2B", CLASS, "youtu", 32 * 576 * 2),
    Public(
        "DeepSeek-V4-Pro",
        "vLLM: 9.62 GiB at 1,048,576",
        V4_PRO,
        61 * 1024 + 30 * (1024 + 256) / 4 + 31 * 1024 / 128,
        30 * V4_BUFFERS[0] + 31 * V4_BUFFERS[1],
    ),
    Public(
        "DeepSeek-V4-Flash",
        "vllm-ascend",
        V4_FLASH,
        43 * 1024 + 21 * (1024 + 256) / 4 + 20 * 1024 / 128,
        21 * V4_BUFFERS[0] + 20 * V4_BUFFERS[1],
    ),
    Public(
        "MiniMax-M3",
        "rtp-llm",
        text("minimax_m3_vl", 60, 64, 4, 6144, head_dim=128, sparse_attention_config=M3_SPARSE),
        137_472,
    ),
    # Windows, shared layers, rows of several widths.
    Public("Gemma-4-31B", "a test of vLLM's accounting", GEMMA_31, 901_120),
    Public("Gemma-3n-E4B", CLASS, "gemma3n_text", 20 * 2 * 256 * PAIR),
    Public("gpt-oss-120b", CLASS, "gpt_oss", 36 * 8 * 64 * PAIR),
    Public("Llama-4-Scout", CLASS, "llama4_text", 48 * 8 * 128 * PAIR),
    Public("MiMo-V2-Flash", "a test of its sizes", MIMO, (9 * 4 + 39 * 8) * (192 + 128) * 2),
    Public("Step-3.5-Flash", "a maker's figure, 184,320", STEP, 184_320),
    Public("EXAONE-4.0-32B", "NVIDIA/TensorRT-LLM", EXAONE, 64 * 8 * 128 * PAIR),
    Public("Hunyuan-7B", "a llama.cpp converter's test", HY_7, 32 * 8 * 128 * PAIR),
    Public("Hy3-preview", CLASS, "hy_v3", 80 * 8 * 128 * PAIR),
    Public("Phi-3-mini-4k", CLASS, "phi3", 32 * 32 * 96 * PAIR),
    Public("Phi-4-multimodal", CLASS, "phi4_multimodal", 32 * 8 * 128 * PAIR, 0, {"num_attention_heads": 24}),
    Public("Phi-3.5-MoE", CLASS, "phimoe", 32 * 8 * 128 * PAIR),
    Public("Mistral-7B-v0.1", CLASS, "mistral", 32 * 8 * 128 * PAIR),
    Public("Ministral-3-8B", CLASS, "ministral3", 34 * 8 * 128 * PAIR),
    Public("Llama-3.2-11B-Vision", CLASS, "mllama_text_model", 32 * 8 * 128 * PAIR),
    Public("Olmo-3-7B", CLASS, "olmo3", 32 * 32 * 128 * PAIR),
    Public("Laguna-XS.2", CLASS, "laguna", 40 * 8 * 128 * PAIR),
    Public("Muse-Glimmer-30B", CLASS, "muse_glimmer_text", 52 * 2 * 128 * PAIR),
    # Every layer full.
    Public("MiniMax-M2", CLASS, "minimax_m2", 62 * 8 * 128 * PAIR),
    Public("GLM-4.5-Air", CLASS, "glm4_moe", 46 * 8 * 128 * PAIR, 0, {"head_dim": 128}),
    Public("Seed-OSS-36B", CLASS, "seed_oss", 64 * 8 * 128 * PAIR),
    Public("falcon-7b", CLASS, "falcon", 32 * 1 * 64 * PAIR),
    Public("class of Apertus-8B", CLASS, "apertus", 32 * 32 * 128 * PAIR),
    Public("ERNIE-4.5-21B-A3B", CLASS, "ernie4_5_moe", 28 * 4 * 128 * PAIR),
    Public("SmolLM3-3B", CLASS, "smollm3", 36 * 4 * 128 * PAIR),
    Public("StarCoder2-3B", CLASS, "starcoder2", 30 * 2 * 128 * PAIR),
    Public("class of nanochat-d32", CLASS, "nanochat", 12 * 6 * 128 * PAIR),
    Public("IQuest-Coder-40B", CLASS, "iquestcoder", 80 * 8 * 128 * PAIR),
)

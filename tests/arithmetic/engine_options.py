"""Every option that a plan's page gives to an engine: what it says, and who says so."""

from dataclasses import dataclass

from helpers.arithmetic.engines_today import EXAMPLE, KV_CACHE, LLAMA_CPP, PLUG_IN, SERVE, SGLANG, TRIATTENTION, VLLM

EXTENSION = "docs.vllm.ai, features, context extension, for Qwen3"
QWEN = "the pages of Qwen3.5 and Qwen3.6, processing ultra-long texts, vllm serve"
DRAFTS = "docs.vllm.ai, speculative decoding: MTP (v0.19.1), draft model, n-gram; and api/vllm/config/speculative"
DAY = "2026-11-27"


@dataclass(frozen=True)
class Option:
    """An option, a variable or a field of a config file.

    Attributes:
        engine: whose.
        name: as it is written; a dot leads into a nested field.
        values: a pattern of what it may be given; empty for an option without a value.
        says: what it does.
        source: where that stands.
        date: when it was read there.
    """

    engine: str
    name: str
    values: str
    says: str
    source: str
    date: str = DAY


N, SHARE = r"[1-9]\d*", r"0\.\d+"
TYPES = "f32|f16|bf16|q8_0|q4_0|q4_1|iq4_nl|q5_0|q5_1"
OPTIONS = (
    Option("vLLM", "--max-model-len", N, "tokens of a sequence, prompt and answer", VLLM),
    Option("vLLM", "--max-num-seqs", N, "sequences of one step", VLLM),
    Option("vLLM", "--kv-cache-dtype", "auto|fp8|nvfp4", "how rows are stored; auto: as the model computes", VLLM),
    Option("vLLM", "--gpu-memory-utilization", SHARE, "share of the card for weights, cache and the rest", VLLM),
    Option("vLLM", "--enable-prefix-caching", "", "blocks with the same beginning are kept once", VLLM),
    Option("vLLM", "--no-enable-prefix-caching", "", "the same, off; compressed rows are no prefix's", PLUG_IN),
    Option("vLLM", "--speculative-config", r"\{.*\}", "who drafts, and how many tokens for each pass", DRAFTS),
    Option("vLLM", "--enforce-eager", "", "no CUDA graphs, as the plug-in's authors serve", PLUG_IN),
    Option("vLLM", "--max-num-batched-tokens", N, "a prompt is read so many tokens at a time", PLUG_IN),
    Option("vLLM", "TRIATTN_RUNTIME_KV_BUDGET", N, "tokens kept of each sequence, 2048 by default", PLUG_IN),
    Option("vLLM", "TRIATTN_RUNTIME_SPARSE_STATS_PATH", r"\S+\.pt", "the model's statistics, required", PLUG_IN),
    Option("vLLM", "--hf-overrides", r"\{.*\}", "fields of the model's config, here those of YaRN", EXTENSION),
    Option("vLLM", "VLLM_ALLOW_LONG_MAX_MODEL_LEN", "1", "go beyond the positions of the config", QWEN),
    Option("llama.cpp", "-m", r"\S+\.gguf", "the model's file", LLAMA_CPP),
    Option("llama.cpp", "--ctx-size", N, "tokens of all sequences together", LLAMA_CPP),
    Option("llama.cpp", "--parallel", N, "sequences; named, each has a cache of its own", LLAMA_CPP),
    Option("llama.cpp", "--cache-type-k", TYPES, "how K rows are stored", LLAMA_CPP),
    Option("llama.cpp", "--cache-type-v", TYPES, "how V rows are stored", LLAMA_CPP),
    Option("llama.cpp", "--flash-attn", "on|off|auto", "needed for a quantized V", LLAMA_CPP),
    Option("llama.cpp", "--gpu-layers", r"all|auto|\d+", "layers on the card; auto leaves some out to fit", LLAMA_CPP),
    Option("llama.cpp", "--cache-ram", r"-?\d+", "MiB of earlier prompts in main memory; 8192 by default", LLAMA_CPP),
    Option("llama.cpp", "--no-context-shift", "", "a full sequence ends, which is the default", LLAMA_CPP),
    Option("llama.cpp", "--rope-scaling", "none|linear|yarn", "how positions are stretched", LLAMA_CPP),
    Option("llama.cpp", "--rope-scale", N, "how far they are stretched", LLAMA_CPP),
    Option("llama.cpp", "--yarn-orig-ctx", N, "positions that the model was trained with", LLAMA_CPP),
    Option("llama.cpp", "--model-draft", r"\S+\.gguf", "the file of a model that drafts", LLAMA_CPP),
    Option("llama.cpp", "--spec-type", "draft-mtp|draft-simple|ngram-simple", "who drafts", LLAMA_CPP),
    Option("llama.cpp", "--spec-draft-n-max", N, "tokens drafted for each pass, at most", LLAMA_CPP),
    Option("llama.cpp", "--spec-ngram-simple-size-m", N, "the same where the text is looked up", LLAMA_CPP),
    Option("SGLang", "--model-path", r"\S+", "the model's folder", SGLANG),
    Option("SGLang", "--context-length", N, "tokens of a sequence, prompt and answer", SGLANG),
    Option("SGLang", "--max-running-requests", N, "sequences at the same time", SGLANG),
    Option("SGLang", "--kv-cache-dtype", "auto|fp8_e4m3", "how rows are stored; auto: as the model computes", SGLANG),
    Option("SGLang", "--mem-fraction-static", SHARE, "share of the card for weights and cache", SGLANG),
    Option("TensorRT-LLM", "--config", r"\S+\.yaml", "a file with the fields below", EXAMPLE),
    Option("TensorRT-LLM", "backend", "pytorch", "the runtime that has compression", EXAMPLE),
    Option("TensorRT-LLM", "max_seq_len", N, "tokens of a sequence, prompt and answer", SERVE),
    Option("TensorRT-LLM", "max_batch_size", N, "sequences at the same time", SERVE),
    Option("TensorRT-LLM", "kv_cache_config.dtype", "auto|fp8|nvfp4", "how rows are stored", KV_CACHE),
    Option("TensorRT-LLM", "kv_cache_config.enable_block_reuse", "True|False", "a prefix is kept once", KV_CACHE),
    Option("TensorRT-LLM", "kv_cache_config.free_gpu_memory_fraction", SHARE, "of what the weights leave", KV_CACHE),
    Option("TensorRT-LLM", "kv_cache_config.use_kv_cache_manager_v2", "True", "needed to compress", EXAMPLE),
    Option("TensorRT-LLM", "kv_cache_compression_config.algorithm", "triattention", "which", TRIATTENTION),
    Option("TensorRT-LLM", "kv_cache_compression_config.budget", N, "tokens kept, the prompt on top", TRIATTENTION),
    Option("TensorRT-LLM", "kv_cache_compression_config.beta", N, "tokens between compressions", TRIATTENTION),
    Option("TensorRT-LLM", "kv_cache_compression_config.eviction_mode", "union", "one set for all", TRIATTENTION),
    Option("TensorRT-LLM", "kv_cache_compression_config.calibration_path", r"\S+\.pt", "statistics", TRIATTENTION),
)

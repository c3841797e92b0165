"""A plan as engines take it: for each the command or the file that runs it, or a line that says why it cannot.

Options are those of the engines' own documentation, read in November 2026: vLLM's engine arguments, llama.cpp's
``llama-server --help``, SGLang's server arguments, TensorRT-LLM's KvCacheConfig and
TriAttentionKvCacheCompressionConfig, and the authors' vLLM plug-in. A test holds every one of them to a list of
sources. A share of the card is that of the larger overhead: with the smaller one the engine has room to spare.
"""

from __future__ import annotations

import json
import math

from helpers.arithmetic.catalog import Yarn
from helpers.arithmetic.fields import read_fields
from helpers.arithmetic.plan import Plan
from helpers.arithmetic.positions import llama_cpp_words, said_of, vllm_words, yarn_of

INTERVAL = 128  # tokens between two compressions, the published default
# What the formats of this course are called there; a format that is missing here cannot be chosen there.
VLLM_FORMATS = {"fp16": "auto", "bf16": "auto", "fp8_e4m3": "fp8", "nvfp4": "nvfp4"}
TENSORRT_LLM_FORMATS = VLLM_FORMATS
SGLANG_FORMATS = {"fp16": "auto", "bf16": "auto", "fp8_e4m3": "fp8_e4m3"}
LLAMA_CPP_FORMATS = {
    "fp32": "f32",
    "fp16": "f16",
    "bf16": "bf16",
    "q8_0": "q8_0",
    "q5_0": "q5_0",
    "q4_0": "q4_0",
}
STOCK_KERNELS = ("f32", "f16", "bf16", "q8_0", "q4_0")  # pull request 28079 of llama.cpp; f32 is turned into f16
NO_DRAFTS = "{}'s options for drafts are not listed here."


def settings(plan: Plan) -> dict[str, str]:
    """What each engine needs to run the plan, in Markdown, by the engine's name."""
    try:
        yarn = yarn_of(plan)
    except ValueError as error:
        return {"every engine": str(error)}
    said = {"every engine": said_of(plan, yarn)} if yarn else {}
    return said | {
        "vLLM": _vllm(plan, yarn),
        "llama.cpp": _llama_cpp(plan, yarn),
        "SGLang": _sglang(plan, yarn),
        "TensorRT-LLM": _tensorrt_llm(plan),
    }


def _vllm(plan: Plan, yarn: Yarn | None) -> str:
    if _maker(plan) == "Apple":
        return "vLLM itself does not run on Apple's GPUs; vllm-metal, a plug-in with options of its own, does."
    if refused := _cannot_store(plan, "vLLM", VLLM_FORMATS):
        return refused
    options = [f"--max-model-len {plan.context}", f"--max-num-seqs {plan.sequences}"]
    options.append(f"--kv-cache-dtype {VLLM_FORMATS[plan.kv_format]}")
    # vLLM takes this share of the card, whatever it needs; its own 0.92 is too little for a plan that fits closely.
    options.append(f"--gpu-memory-utilization {_share(plan.budgets[1].total, plan.machine.driver_memory)}")
    variables, stretching = vllm_words(plan, yarn) if yarn else ([], [])
    options += stretching
    if plan.kept is None:
        options += ["--enable-prefix-caching"] if plan.shared_cache else []
        options += [f"--speculative-config '{json.dumps(_vllm_drafts(plan))}'"] if plan.draft_tokens else []
        return _command(_vllm_name(plan), [*variables, "vllm serve MODEL", *options])
    if plan.draft_tokens:
        return "vLLM cannot do both, as far as this course knows: its TriAttention plug-in says nothing of drafts."
    if plan.shared_cache:
        return "vLLM cannot do both: its TriAttention plug-in needs prefix caching off, and this plan shares a prefix."
    if plan.kept <= INTERVAL:
        return _no_budget(plan, "vLLM's TriAttention plug-in")
    variables += [f"TRIATTN_RUNTIME_KV_BUDGET={plan.kept - INTERVAL}", "TRIATTN_RUNTIME_SPARSE_STATS_PATH=MODEL.pt"]
    options += ["--no-enable-prefix-caching", "--enforce-eager", "--max-num-batched-tokens 1024"]
    name = "vLLM, with the TriAttention plug-in of its authors (MODEL.pt holds its statistics of this model)"
    return _command(name, [*variables, "vllm serve MODEL", *options])


def _vllm_drafts(plan: Plan) -> dict[str, str | int]:
    count = {"num_speculative_tokens": plan.draft_tokens}
    if plan.second_model is not None:
        return {"method": "draft_model", "model": "DRAFT"} | count
    return {"method": "mtp" if plan.predicting else "ngram"} | count


def _vllm_name(plan: Plan) -> str:
    return "vLLM (DRAFT is the second model)" if plan.draft_tokens and plan.second_model is not None else "vLLM"


def _llama_cpp(plan: Plan, yarn: Yarn | None) -> str:
    if refused := _cannot_store(plan, "llama.cpp", LLAMA_CPP_FORMATS):
        return refused
    if plan.kept is not None:
        return (
            "llama.cpp evicts no tokens inside a thought; a fork of it, or another engine, would have to. Its "
            "`--context-shift` drops the oldest tokens of a full sequence, whatever they say."
        )
    if plan.shared_cache:
        return "llama.cpp keeps a shared prefix once for each sequence; this plan, which counts it once, it cannot run."
    if yarn and "mrope_section" in yarn.parameters:
        return (
            "llama.cpp has options for YaRN, and nothing says that they stretch this model's three kinds of positions."
        )
    name = LLAMA_CPP_FORMATS[plan.kv_format]
    options = [f"--ctx-size {plan.context * plan.sequences}", f"--parallel {plan.sequences}"]
    options += [f"--cache-type-k {name} --cache-type-v {name}", "--flash-attn on"]  # quantized V needs flash attention
    options += ["--gpu-layers all", "--cache-ram 0", "--no-context-shift", *(llama_cpp_words(yarn) if yarn else [])]
    options += _llama_cpp_drafts(plan) if plan.draft_tokens else []
    command = _command(
        "llama.cpp (its context is that of all sequences together)", ["llama-server -m MODEL.gguf", *options]
    )
    return "\n\n".join([command, *_without_kernel(plan), _two_caches(plan)])


def _llama_cpp_drafts(plan: Plan) -> list[str]:
    if plan.second_model is not None:
        return ["--spec-type draft-simple --model-draft DRAFT.gguf", f"--spec-draft-n-max {plan.draft_tokens}"]
    if plan.predicting is not None:
        return ["--spec-type draft-mtp", f"--spec-draft-n-max {plan.draft_tokens}"]
    return ["--spec-type ngram-simple", f"--spec-ngram-simple-size-m {plan.draft_tokens}"]


def _without_kernel(plan: Plan) -> list[str]:
    """A warning where a stock build of llama.cpp runs the plan slowly; Metal has kernels for every format of ours."""
    name = LLAMA_CPP_FORMATS[plan.kv_format]
    if name in STOCK_KERNELS or _maker(plan) == "Apple":
        return []
    return [
        f"A stock CUDA or ROCm build of llama.cpp has no kernel of its own for {name}, and is slow: build it with "
        f"`-DGGML_CUDA_FA_QUANTS={name}-{name}`, or store rows as q8_0."
    ]


def _two_caches(plan: Plan) -> str:
    """What the two options do that are taken for one another."""
    where = "in the memory that this plan counts" if plan.machine.unified else "in main memory, not on the card"
    return (
        f"`--cache-ram` is for copies of the rows of earlier prompts, {where}: up to 8,192 MiB if you leave it out. "
        "`--context-shift` is for a sequence that is full: it goes on without its oldest tokens. Here it ends."
    )


def _sglang(plan: Plan, yarn: Yarn | None) -> str:
    if _maker(plan) == "Apple":
        return "SGLang's options here are those for NVIDIA's and AMD's cards."
    if refused := _cannot_store(plan, "SGLang", SGLANG_FORMATS):
        return refused
    if plan.kept is not None:
        return "SGLang evicts no tokens inside a thought; what it evicts are prefixes that nobody uses at the moment."
    if plan.draft_tokens:
        return NO_DRAFTS.format("SGLang")
    if yarn:
        return "SGLang reads stretched positions in config.json; an option of its own for them is not listed here."
    options = [f"--context-length {plan.context}", f"--max-running-requests {plan.sequences}"]
    options.append(f"--kv-cache-dtype {SGLANG_FORMATS[plan.kv_format]}")
    # What is static there are weights and cache, without the rest. It shares prefixes by itself.
    static = plan.weights + plan.second + plan.cache
    options.append(f"--mem-fraction-static {_share(static, plan.machine.driver_memory)}")
    return _command("SGLang", ["python -m sglang.launch_server", "--model-path MODEL", *options])


def _tensorrt_llm(plan: Plan) -> str:
    if _maker(plan) != "NVIDIA":
        return "TensorRT-LLM runs on NVIDIA's cards alone."
    if plan.draft_tokens:
        return NO_DRAFTS.format("TensorRT-LLM")
    if refused := _cannot_store(plan, "TensorRT-LLM", TENSORRT_LLM_FORMATS):
        return refused
    if plan.kept is not None and (refused := _cannot_compress(plan)):
        return refused
    lines = [
        "backend: pytorch",
        f"max_seq_len: {plan.context}",
        f"max_batch_size: {plan.sequences}",
        "kv_cache_config:",
        f"  dtype: {TENSORRT_LLM_FORMATS[plan.kv_format]}",
        f"  enable_block_reuse: {str(plan.shared_cache > 0).lower()}",
        f"  free_gpu_memory_fraction: {_share(plan.cache, plan.cache + plan.spare[0])}",
    ]
    if plan.kept is not None:
        lines += _compression(plan)
    text = _command("TensorRT-LLM", ["trtllm-serve MODEL --config config.yaml"])
    text += "\n\nwith this as `config.yaml`:\n\n```yaml\n" + "\n".join(lines) + "\n```"
    if plan.kept is not None:
        text += f"\n\nThe prompt comes on top of the budget: take its tokens off the {plan.kept - INTERVAL:,} as well."
    return text


def _compression(plan: Plan) -> list[str]:
    return [
        "  use_kv_cache_manager_v2: true",
        "kv_cache_compression_config:",
        "  algorithm: triattention",
        f"  budget: {plan.kept - INTERVAL}",
        f"  beta: {INTERVAL}",
        "  eviction_mode: union",
        "  calibration_path: MODEL.pt",
    ]


def _cannot_compress(plan: Plan) -> str | None:
    """Why TensorRT-LLM does not evict under this plan, or None if it does."""
    heads = read_fields(plan.entry.config).get("num_attention_heads")
    group = heads // plan.shape.n_kv_heads if heads else None
    if plan.machine.name not in ("B200", "B300"):
        return f"TensorRT-LLM evicts on Blackwell's B200 and B300 alone, and the card is {plan.machine.name}."
    if TENSORRT_LLM_FORMATS[plan.kv_format] != "auto":
        return f"TensorRT-LLM evicts rows of 16 bits alone, and these are {plan.kv_format}."
    if group not in (4, 8):
        return f"TensorRT-LLM evicts with 4 or 8 query heads to a KV head; {plan.entry.name} has {group or 'another'}."
    return _no_budget(plan, "TensorRT-LLM") if plan.kept <= INTERVAL else None


def _no_budget(plan: Plan, engine: str) -> str:
    return f"{engine} cannot: {plan.kept} tokens leave no room for a budget and the {INTERVAL} between compressions."


def _cannot_store(plan: Plan, engine: str, formats: dict[str, str]) -> str | None:
    if plan.kv_format not in formats:
        return f"{engine} cannot store rows as {plan.kv_format}; it offers {', '.join(formats)} among others."
    if plan.kv_format == "nvfp4" and not plan.machine.nvfp4:
        return f"{engine} stores rows as nvfp4 on Blackwell alone, and the card is {plan.machine.name}."
    return None


def _maker(plan: Plan) -> str | None:
    return next((name for name in ("NVIDIA", "AMD", "Apple") if name in plan.machine.source), None)


def _share(part: float, whole: float) -> float:
    """A part as an engine takes it: rounded up to a hundredth, and never the whole."""
    return min(0.99, math.ceil(100 * part / whole) / 100) if whole > 0 else 0.99


def _command(name: str, parts: list[str]) -> str:
    return f"{name}:\n\n```\n" + " \\\n  ".join(parts) + "\n```"

"""A plan written out, to be taken home: the terms, the verdict, its assumptions, and the settings of real engines.

Options are those of the engines' own documentation, read in November 2026: vLLM's engine arguments, llama.cpp's
``llama-server --help``, TensorRT-LLM's page on TriAttentionKvCacheCompressionConfig, the authors' vLLM plug-in.
"""

from __future__ import annotations

import math
from pathlib import Path

from helpers.arithmetic.catalog import CHECKED
from helpers.arithmetic.footprint import format_bytes
from helpers.arithmetic.plan import Plan

INTERVAL = 128  # tokens between two compressions, the published default
# What the formats of this course are called there; a format that is missing here cannot be chosen there.
VLLM_FORMATS = {"fp16": "auto", "bf16": "auto", "fp8_e4m3": "fp8", "nvfp4": "nvfp4"}
LLAMA_CPP_FORMATS = {
    "fp32": "f32",
    "fp16": "f16",
    "bf16": "bf16",
    "q8_0": "q8_0",
    "q5_0": "q5_0",
    "q4_0": "q4_0",
}

LLAMA_CPP_WEIGHTS = ("q8_0", "q4_k_m", "q4_0")


def report(plan: Plan) -> str:
    """The plan as a page in Markdown."""
    return "\n\n".join(
        (_terms(plan), _assumptions(plan), "## Settings", _vllm(plan), _llama_cpp(plan), _eviction(plan))
    )


def save(plan: Plan, folder: str | Path = ".") -> Path:
    """Write the page beside the lesson, and return its path."""
    path = Path(folder) / "my_plan.md"
    path.write_text(report(plan) + "\n", encoding="utf-8")
    return path


def _terms(plan: Plan) -> str:
    terms = {
        "overhead": plan.overhead,
        f"weights of {plan.model} in {plan.weight_format}": plan.weights,
        f"a second model, {plan.second_model}, with its cache": plan.second,
        f"KV cache in {plan.kv_format}, {plan.sequences} of {_length(plan)}": plan.cache,
        "in all": plan.budget.total,
        f"{plan.card} has": plan.machine.memory,
    }
    rows = [f"| {name} | {format_bytes(size)} |" for name, size in terms.items() if size]
    table = "\n".join(("| term | memory |", "|---|---|", *rows))
    return f"# {plan.model} on {plan.card}\n\n{plan.verdict}.\n\n{table}"


def _length(plan: Plan) -> str:
    tokens = f"{plan.context:,} tokens"
    return tokens if plan.kept is None else f"{tokens}, of which at most {min(plan.kept, plan.context):,} are kept"


def _assumptions(plan: Plan) -> str:
    lines = [
        f"- {format_bytes(plan.overhead)} for everything else. Measure your own: it is the weakest figure here.",
        f"- Speeds are ceilings: {plan.machine.bandwidth / 1e9:,.0f} GB/s over the bytes that a token must read.",
        f"- Facts on models and cards were checked on {CHECKED}.",
    ]
    if plan.shared_cache:
        lines.append(f"- {plan.shared_prefix:,} tokens at the start are the same in all sequences, and kept once.")
    if plan.weight_format in LLAMA_CPP_WEIGHTS:
        lines.append(
            f"- {plan.weight_format} is llama.cpp's; files of other engines with as many bits differ a little."
        )
    if plan.kept is not None:
        lines.append("- Whether the model still answers with so few tokens kept is for you to test, on your own work.")
    return "## What this assumes\n\n" + "\n".join(lines)


def _vllm(plan: Plan) -> str:
    if plan.kv_format not in VLLM_FORMATS:
        return f"vLLM cannot store rows as {plan.kv_format}; it offers {', '.join(VLLM_FORMATS)} among others."
    options = [f"--max-model-len {plan.context}", f"--max-num-seqs {plan.sequences}"]
    options.append(f"--kv-cache-dtype {VLLM_FORMATS[plan.kv_format]}")
    # vLLM takes this share of the card, whatever it needs; its own 0.92 is too little for a plan that fits closely.
    options.append(
        f"--gpu-memory-utilization {min(0.99, math.ceil(100 * plan.budget.total / plan.machine.memory) / 100)}"
    )
    if plan.kept is None:
        options += ["--enable-prefix-caching"] if plan.shared_cache else []
        return _command("vLLM", ["vllm serve MODEL", *options])
    if plan.shared_cache:
        return "vLLM cannot do both: its TriAttention plug-in needs prefix caching off, and this plan shares a prefix."
    options += ["--no-enable-prefix-caching", "--enforce-eager", "--max-num-batched-tokens 1024"]
    return _command("vLLM, with the TriAttention plug-in of its authors", ["vllm serve MODEL", *options])


def _llama_cpp(plan: Plan) -> str:
    if plan.kv_format not in LLAMA_CPP_FORMATS:
        return (
            f"llama.cpp cannot store rows as {plan.kv_format}; it offers {', '.join(LLAMA_CPP_FORMATS)} among others."
        )
    if plan.kept is not None:
        return "llama.cpp evicts no tokens inside a thought; a fork of it, or another engine, would have to."
    name = LLAMA_CPP_FORMATS[plan.kv_format]
    options = [f"--ctx-size {plan.context * plan.sequences}", f"--parallel {plan.sequences}"]
    options += [f"--cache-type-k {name} --cache-type-v {name}", "--flash-attn on"]  # quantized V needs flash attention
    return _command(
        "llama.cpp (its context is that of all sequences together)", ["llama-server -m MODEL.gguf", *options]
    )


def _eviction(plan: Plan) -> str:
    if plan.kept is None:
        return "No token is evicted in this plan."
    budget = plan.kept - INTERVAL
    if budget < 1:
        return f"{plan.kept} tokens leave no room for a budget and the {INTERVAL} between two compressions."
    lines = [
        "TriAttentionKvCacheCompressionConfig(",
        f"    budget={budget}, beta={INTERVAL}, eviction_mode='union', calibration_path='MODEL.pt'",
        ")",
    ]
    text = (
        f"TensorRT-LLM (only on Blackwell's B200 and B300, bf16, group sizes 4 and 8; the prompt comes on top of the "
        f"budget, so take its tokens off the {budget:,} as well):"
    )
    return text + "\n\n```python\n" + "\n".join(lines) + "\n```"


def _command(name: str, parts: list[str]) -> str:
    return f"{name}:\n\n```\n" + " \\\n  ".join(parts) + "\n```"

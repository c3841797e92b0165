"""A plan written out, to be taken home: the terms, the verdict, its assumptions, and the settings of real engines."""

from __future__ import annotations

import math
from pathlib import Path

from helpers.arithmetic.catalog import Model
from helpers.arithmetic.drafting import tokens_per_pass
from helpers.arithmetic.engine_settings import settings
from helpers.arithmetic.experts import read_experts, weights_read
from helpers.arithmetic.footprint import format_band, format_bytes
from helpers.arithmetic.plan import PERHAPS, TOO_LARGE, Plan

LLAMA_CPP_WEIGHTS = ("q8_0", "q4_k_m", "q4_0")
# From the profile that vLLM printed in its issue 10517: peak of PyTorch less weights, and what is not PyTorch's; with a
# prompt of 20,000 tokens read at once, and in parts.
MEASURED = "Measured elsewhere: 0.4 to 2.4 GiB around an 8B model in vLLM, by the tokens that are read at once."
WARNINGS = {
    TOO_LARGE: "It does not fit: with these an engine stops, or reaches into main memory.",
    PERHAPS: "It may not fit: if the overhead is large, with these an engine stops, or reaches into main memory.",
}


def report(plan: Plan) -> str:
    """The plan as a page in Markdown."""
    said = [WARNINGS[plan.fit]] if plan.fit in WARNINGS else []
    return "\n\n".join((_terms(plan), _assumptions(plan), "## Settings", *said, *settings(plan).values()))


def save(plan: Plan, folder: str | Path = ".") -> Path:
    """Write the page beside the lesson, and return its path."""
    path = Path(folder) / "my_plan.md"
    path.write_text(report(plan) + "\n", encoding="utf-8")
    return path


def _terms(plan: Plan) -> str:
    least, most = plan.budgets
    terms = {
        "overhead": plan.overhead,
        f"weights of {plan.entry.name} in {plan.weight_format}": (plan.weights,) * 2,
        f"a second model, {plan.second_model}, with its cache": (plan.second,) * 2,
        f"KV cache in {plan.kv_format}, {plan.sequences} of {_length(plan)}": (plan.cache,) * 2,
        "in all": (least.total, most.total),
        _memory(plan): (plan.machine.driver_memory,) * 2,
    }
    rows = [f"| {name} | {format_band(*sizes)} |" for name, sizes in terms.items() if sizes[1]]
    table = "\n".join(("| term | memory |", "|---|---|", *rows))
    return f"# {plan.entry.name} on {plan.machine.name}\n\n{plan.verdict}.\n\n{table}"


def _memory(plan: Plan) -> str:
    if plan.machine.shown_mib is None:
        return f"{plan.machine.name} has"
    return f"{plan.machine.name} has, as its driver shows"


def _length(plan: Plan) -> str:
    tokens = f"{plan.context:,} tokens"
    return tokens if plan.kept is None else f"{tokens}, of which at most {min(plan.kept, plan.context):,} are kept"


def _assumptions(plan: Plan) -> str:
    lines = [
        f"- {format_band(*plan.overhead)} for everything else. Measure your own: it is the weakest figure here.",
        f"- {MEASURED}",
        f"- Beside weights and overhead there is room for {_room(plan)} in each sequence.",
        f"- Speeds are ceilings: {plan.machine.bandwidth / 1e9:,.0f} GB/s over the bytes that a token must read.",
        *_speeds(plan),
        _sources(plan),
    ]
    if plan.machine.unified:
        lines.append(_shared_memory(plan))
    if plan.shared_cache:
        lines.append(f"- {plan.shared_prefix:,} tokens at the start are the same in all sequences, and kept once.")
    if plan.weight_format in LLAMA_CPP_WEIGHTS:
        lines.append(
            f"- {plan.weight_format} is llama.cpp's; files of other engines with as many bits differ a little."
        )
    if plan.kept is not None:
        lines.append("- Whether the model still answers with so few tokens kept is for you to test, on your own work.")
    return "## What this assumes\n\n" + "\n".join(lines)


def _shared_memory(plan: Plan) -> str:
    """What the GPU of a unified machine may use, and what changes that."""
    machine = plan.machine
    lives = f"- The system and all programs live in the same {format_bytes(machine.driver_memory)}: leave them some."
    if machine.default_mib is None:
        return f"{lives} The GPU may use all of it."
    word = "Enough for this plan" if plan.fits_untold else "Too little for this plan"
    return f"{lives} The GPU may use {format_bytes(machine.default_memory)}: {machine.told}. {word}."


def _room(plan: Plan) -> str:
    least, most = plan.room
    if least == math.inf:
        return "a text of any length"
    return f"{least:,} tokens" if least == most else f"{least:,} to {most:,} tokens"


def _speeds(plan: Plan) -> list[str]:
    """What the speed depends on besides: which experts, whether a prefix is read once, sparse attention, drafts."""
    full, lines = plan.context, []
    if experts := read_experts(plan.entry.config):
        read = weights_read(plan.entry) / 1e9
        line = f"- A token goes through {experts.chosen} of {experts.total} experts in a layer, and reads {read:,.1f} "
        line += f"of {plan.entry.n_params / 1e9:,.1f} billion parameters."
        if plan.sequences * (plan.draft_tokens + 1) > 1:
            same = plan.speed(full, same_experts=True)
            line += f" Here all choose different ones; if all chose the same, at most {same:,.1f} tokens/s."
        lines.append(line)
    if plan.shared_cache:
        once = plan.speed(full, cascade=True)
        lines.append(
            "- The shared prefix is kept once and read for each sequence; with cascade attention, which reads it once "
            f"for all, at most {once:,.1f} tokens/s."
        )
    if picked := max((layer.reads or 0 for layer in plan.shape.layers), default=0):
        lines.append(f"- Attention is sparse: a layer reads its index rows, and by them at most {picked:,} rows.")
    if plan.draft_tokens:
        each = tokens_per_pass(plan.draft_tokens, plan.acceptance)
        lines.append(
            f"- {plan.draft_tokens} tokens are drafted for each pass, and each is accepted with a chance of "
            f"{plan.acceptance:.0%}, so that a pass gives {each:.2f} tokens on average. Measure that on your own texts."
        )
    return lines


def _sources(plan: Plan) -> str:
    if isinstance(plan.model, Model):
        read = f"{plan.model.source}, {plan.model.n_params:,} parameters"
        return f"- The model is that of {read}; facts on the card were checked on {plan.machine.date}."
    days = sorted({plan.entry.date, plan.machine.date})
    return f"- Facts on models and cards were checked on {' and '.join(days)}."

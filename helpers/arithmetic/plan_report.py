"""A plan written out, to be taken home: the terms, the verdict, its assumptions, and the settings of real engines."""

from __future__ import annotations

from pathlib import Path

from helpers.arithmetic.catalog import Model
from helpers.arithmetic.engine_settings import settings
from helpers.arithmetic.footprint import format_bytes
from helpers.arithmetic.plan import Plan

LLAMA_CPP_WEIGHTS = ("q8_0", "q4_k_m", "q4_0")


def report(plan: Plan) -> str:
    """The plan as a page in Markdown."""
    warning = [] if plan.fits else ["It does not fit: with these an engine stops, or reaches into main memory."]
    return "\n\n".join((_terms(plan), _assumptions(plan), "## Settings", *warning, *settings(plan).values()))


def save(plan: Plan, folder: str | Path = ".") -> Path:
    """Write the page beside the lesson, and return its path."""
    path = Path(folder) / "my_plan.md"
    path.write_text(report(plan) + "\n", encoding="utf-8")
    return path


def _terms(plan: Plan) -> str:
    terms = {
        "overhead": plan.overhead,
        f"weights of {plan.entry.name} in {plan.weight_format}": plan.weights,
        f"a second model, {plan.second_model}, with its cache": plan.second,
        f"KV cache in {plan.kv_format}, {plan.sequences} of {_length(plan)}": plan.cache,
        "in all": plan.budget.total,
        _memory(plan): plan.machine.driver_memory,
    }
    rows = [f"| {name} | {format_bytes(size)} |" for name, size in terms.items() if size]
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
        f"- {format_bytes(plan.overhead)} for everything else. Measure your own: it is the weakest figure here.",
        f"- Speeds are ceilings: {plan.machine.bandwidth / 1e9:,.0f} GB/s over the bytes that a token must read.",
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


def _sources(plan: Plan) -> str:
    if isinstance(plan.model, Model):
        read = f"{plan.model.source}, {plan.model.n_params:,} parameters"
        return f"- The model is that of {read}; facts on the card were checked on {plan.machine.date}."
    days = sorted({plan.entry.date, plan.machine.date})
    return f"- Facts on models and cards were checked on {' and '.join(days)}."

"""Pictures of lesson 03: a model's file beside the process that runs it, and what processes are made of."""

from __future__ import annotations

from helpers.arithmetic.footprint import format_bytes
from helpers.engines.weighed import Weighed
from helpers.plots import budget
from helpers.widgets.page import show


def show_file_and_process(engine: Weighed) -> None:
    """Show the file of a model beside the process of the engine that has loaded it."""
    file, held = format_bytes(engine.file), format_bytes(engine.held)
    rows = {"the model's file": {"file": engine.file}, "the engine, ready": {"process": engine.held}}
    show(
        budget.three_terms(rows, title=f"A file of {file} needs {held} to run", xlabel="size"),
        f"Figure: two horizontal bars. SmolLM2's file has {file}. llama.cpp, which has loaded it and is ready for "
        f"{engine.figures.room.tokens:,} tokens, holds {held}, measured on the machine that ran this page.",
    )


def show_terms(title: str, stages: dict[str, dict[str, float]], limit: float | None = None) -> None:
    """Show what processes are made of, one stacked bar for each.

    Args:
        title: what is to be seen, in a sentence.
        stages: by name, from top to bottom: bytes by term, the terms being keys of ``LOOKS``.
        limit: bytes that there are, if a line is to show them.
    """
    made_of = {
        name: ", ".join(f"{term} {format_bytes(n_bytes)}" for term, n_bytes in terms.items())
        for name, terms in stages.items()
    }
    beside = "" if limit is None else f" The dashed line stands at {format_bytes(limit)}."
    show(
        budget.three_terms(stages, title=title, limit=limit),
        "Figure: stacked horizontal bars, measured on the machine that ran this page. "
        + " ".join(f"{name}: {parts}." for name, parts in made_of.items())
        + beside,
    )

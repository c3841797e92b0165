"""The control of lesson 03: one plan, worked out rightly and with one mistake at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from helpers.arithmetic.catalog import GB, WEIGHT_BITS, GiB, find_card, find_model
from helpers.arithmetic.footprint import KVShape, MemoryBudget, format_band, format_bytes, weights_bytes
from helpers.arithmetic.plan import FITS, OVERHEAD, PERHAPS, TOO_LARGE
from helpers.plots import budget
from helpers.widgets.page import Frame, choice, control

NONE = "none"
# One request that asks for four answers: four sequences.
MODEL, WEIGHT_FORMAT, CARD, TOKENS, SEQUENCES = "Llama-3.1-8B", "q4_k_m", "L4", 32_768, 4
_CONFIG = find_model(MODEL).config
_SHAPE = KVShape.from_config(_CONFIG)
_GROUP = _CONFIG["num_attention_heads"] // _CONFIG["num_key_value_heads"]
RIGHT = MemoryBudget(
    OVERHEAD[0], weights_bytes(find_model(MODEL).n_params, WEIGHT_FORMAT), _SHAPE.bytes(TOKENS), SEQUENCES
)


def _as_gb(plan: MemoryBudget) -> MemoryBudget:
    """The figures in GB, taken for GiB."""
    return replace(
        plan,
        overhead=plan.overhead / GB * GiB,
        weights=plan.weights / GB * GiB,
        cache_per_sequence=plan.cache_per_sequence / GB * GiB,
    )


MISTAKES: dict[str, Callable[[MemoryBudget], MemoryBudget]] = {
    NONE: lambda plan: plan,
    "GB taken for GiB": _as_gb,
    "query heads for KV heads": lambda plan: replace(plan, cache_per_sequence=_GROUP * plan.cache_per_sequence),
    "keys without values": lambda plan: replace(plan, cache_per_sequence=plan.cache_per_sequence / 2),
    "one cache per request": lambda plan: replace(plan, sequences=1),
    "the weights once per answer": lambda plan: replace(plan, weights=plan.sequences * plan.weights),
    "weights of 4.0 bits": lambda plan: replace(plan, weights=plan.weights * 4 / WEIGHT_BITS[WEIGHT_FORMAT]),
}


def totals(mistake: str) -> tuple[float, float]:
    """Bytes in all, with the least overhead and the most, by somebody who makes this mistake."""
    least, most = (MISTAKES[mistake](replace(RIGHT, overhead=size)).total for size in OVERHEAD)
    return least, most


def fit(mistake: str) -> str:
    """Whether it fits, by somebody who makes this mistake, in ``Plan.fit``'s words."""
    least, most = totals(mistake)
    memory = find_card(CARD).driver_memory
    return FITS if most <= memory else PERHAPS if least <= memory else TOO_LARGE


def mistake_frame(mistake: str) -> Frame:
    """The plan, worked out rightly above and with a mistake below, against the card."""
    made = mistake != NONE
    rows = {"worked out rightly": _terms(NONE), "with a mistake": _terms(mistake) if made else {}}
    memory = find_card(CARD).driver_memory
    title = f"The mistake: {mistake}" if made else "Which mistake makes which number?"
    figure = budget.three_terms(rows, title=title, xlabel=f"memory, {CARD}", limit=memory)
    caption = (
        f"Figure: stacked horizontal bars against the {format_bytes(memory)} that an {CARD} shows. Worked out rightly "
        f"the plan needs {format_band(*totals(NONE))}, and {fit(NONE)}."
    )
    if made:
        caption += f" With one mistake, {mistake}, it needs {format_band(*totals(mistake))}, and {fit(mistake)}."
    return figure, caption


def _terms(mistake: str) -> dict[str, float]:
    plan, (least, most) = MISTAKES[mistake](RIGHT), totals(mistake)
    return {
        "overhead": plan.overhead,
        "weights": plan.weights,
        "KV cache": plan.cache,
        "more overhead": most - least,
    }


def mistake_control() -> None:
    """Show the plan with a mistake to be chosen."""
    control(mistake_frame, mistake=choice("mistake", MISTAKES, NONE))

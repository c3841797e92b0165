"""The control of lesson 04: a planner for one machine. Does it fit, and is it usable?"""

from __future__ import annotations

from helpers.arithmetic.catalog import CARDS, KV_LAYOUTS, MODELS, GiB
from helpers.arithmetic.footprint import format_band, format_bytes
from helpers.arithmetic.plan import OVERHEAD, Plan
from helpers.plots import budget
from helpers.widgets.page import POWERS, Frame, choice, control, slider

NONE = "none"
THOUGHT = 10_000  # tokens
SECOND_MODELS = [NONE, "Qwen3-0.6B", "Llama-3.1-8B", "Qwen3-8B", "Qwen3-32B"]
OVERHEADS = [(format_band(*OVERHEAD), OVERHEAD)]  # first the band, then points, for who has measured his own
OVERHEADS += [(f"{x:g} GiB", (x * GiB, x * GiB)) for x in (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8)]
SHARES = [(f"{x}%", x / 100) for x in range(0, 101, 10)]
SPEEDS = [1, 2, 5, 10, 20, 50, 100]


def plan_frame(
    model: str,
    weight_format: str,
    card: str,
    kv_format: str,
    context: int,
    sequences: int,
    shared: float,
    second_model: str,
    overhead: tuple[float, float],
    wanted: float,
) -> Frame:
    """The plan's terms against the card, its speed as the context fills, and the verdict.

    Args:
        model: the model's name in the catalog.
        weight_format: how its weights are stored, a name in the catalog.
        card: the card's name in the catalog.
        kv_format: how K and V rows are stored, a name in the catalog.
        context: tokens per sequence.
        sequences: sequences at the same time.
        shared: the share of the context, from 0 to 1, that all sequences have in common.
        second_model: a model of the catalog, or ``none``.
        overhead: bytes, from the least to the most.
        wanted: tokens per second and sequence.
    """
    prefix, second = round(shared * context), None if second_model == NONE else second_model
    plan = Plan(model, weight_format, card, kv_format, context, sequences, prefix, second, overhead, wanted)
    tokens = [round(context * i / 32) for i in range(33)]
    figure = budget.plan(terms_of(plan), plan.machine.driver_memory, tokens, [plan.speed(t) for t in tokens], wanted)
    terms = ", ".join(f"{name} {format_bytes(n_bytes)}" for name, n_bytes in terms_of(plan).items() if n_bytes)
    total, thought = format_band(*(budget.total for budget in plan.budgets)), min(THOUGHT, context)
    caption = (
        f"Figure: above, a stacked bar of what must fit on {card}: {terms}; {total} in all, "
        f"and the machine has {format_bytes(plan.machine.driver_memory)}. Below, a line: tokens per second at best in "
        f"each of {sequences} sequence{'s' * (sequences > 1)} as it fills, from {plan.speed(0):,.1f} to "
        f"{plan.speed(context):,.1f}; {wanted:g} are wanted (dotted). {plan.verdict}. A thought of "
        f"{thought:,} tokens from an empty cache takes {plan.seconds(thought) / 60:,.1f} minutes or more."
    )
    return figure, caption


def terms_of(plan: Plan) -> dict[str, float]:
    """Bytes by term, the shared part of the cache apart; overhead that may be needed or not comes last."""
    least, most = plan.overhead
    return {
        "overhead": least,
        "weights": plan.weights,
        "second model": plan.second,
        "shared prefix": plan.shared_cache,
        "KV cache": plan.cache - plan.shared_cache,
        "more overhead": most - least,
    }


def plan_control() -> None:
    """Show the planner with its controls."""
    control(
        plan_frame,
        model=choice("model", MODELS, "Llama-3.1-70B"),
        weight_format=choice("weights", ["bf16", "fp8", "q8_0", "q4_k_m", "q4_0"], "q4_k_m"),
        card=choice("card", CARDS, "H100 SXM 80GB"),
        kv_format=choice("KV format", KV_LAYOUTS, "fp16"),
        context=slider("context", POWERS, 131_072),
        sequences=slider("sequences", range(1, 17), 1),
        shared=slider("shared prefix", SHARES, 0.0),
        second_model=choice("second model", SECOND_MODELS, NONE),
        overhead=slider("overhead", OVERHEADS, OVERHEAD),
        wanted=slider("tokens/s wanted", SPEEDS, 5),
    )

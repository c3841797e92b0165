"""The controls of lesson 12: a run beside another on the same axes, and a plan of one's own to take home."""

from __future__ import annotations

from typing import Any

import ipywidgets
from IPython.display import display

from helpers.arithmetic.catalog import CARDS, KV_LAYOUTS, MODELS
from helpers.arithmetic.plan import Plan
from helpers.arithmetic.plan_report import save
from helpers.plots import budget
from helpers.widgets.page import POWERS, Frame, choice, control, is_static, slider
from helpers.widgets.planner import terms_of

EVERYTHING = "all"
KEPT = [EVERYTHING, 1024, 2048, 3072, 4096, 8192, 12_000, 16_384, 32_768, 65_536]


def plan_of(
    model: str,
    weight_format: str,
    card: str,
    kv_format: str,
    context: int,
    kept: int | str,
    sequences: int,
    shared: int,
) -> Plan:
    """The plan that the controls describe; ``kept`` is a number of tokens, or ``all``."""
    most = None if kept == EVERYTHING else int(kept)
    return Plan(model, weight_format, card, kv_format, context, sequences, shared, kept=most)


def home_frame(**values: Any) -> Frame:
    """The plan's terms against the card, and its speed as the context fills; arguments are those of ``plan_of``."""
    plan = plan_of(**values)
    tokens = [round(plan.context * i / 32) for i in range(33)]
    speeds = [plan.speed(t) for t in tokens]
    figure = budget.plan(terms_of(plan), plan.machine.driver_memory, tokens, speeds, plan.wanted)
    kept = "" if plan.kept is None else f", at most {min(plan.kept, plan.context):,} of them kept"
    kept += f", the first {plan.shared_prefix:,} shared" if plan.shared_prefix else ""
    caption = (
        f"Figure: above, a stacked bar of what must fit on {plan.card}; below, a line, tokens per second at best as "
        f"the context fills. {plan.model} in {plan.weight_format}, {plan.sequences} x {plan.context:,} tokens{kept}: "
        f"cache {plan.cache / 2**30:,.2f} GiB. {plan.verdict}."
    )
    return figure, caption


def home_control() -> None:
    """Show the planner of this lesson, with a button that writes the plan to a file."""
    lengths = [("nothing", 0), *POWERS[:8]]
    controls = {
        "model": choice("model", MODELS, "Qwen3-32B"),
        "weight_format": choice("weights", ["bf16", "fp8", "q8_0", "q4_k_m", "q4_0"], "q4_k_m"),
        "card": choice("card", CARDS, "RTX 4090"),
        "kv_format": choice("KV format", KV_LAYOUTS, "fp16"),
        "context": slider("context", POWERS, 32_768),
        "kept": choice("tokens kept", KEPT, 12_000),
        "sequences": slider("sequences", range(1, 17), 1),
        "shared": slider("shared prefix", lengths, 0),
    }
    control(home_frame, **controls)
    if not is_static():
        _show_save_button(controls)


def _show_save_button(controls: dict[str, Any]) -> None:
    button = ipywidgets.Button(description="save this plan", button_style="primary", layout={"width": "auto"})
    said = ipywidgets.HTML()

    def write(_: Any) -> None:
        try:
            plan = plan_of(**{name: widget.value for name, widget in controls.items()})
            said.value = f"Written to {save(plan).name}, beside this lesson."
        except (OSError, ValueError) as error:
            said.value = f"Not written: {error}."

    button.on_click(write)
    display(ipywidgets.HBox([button, said]))

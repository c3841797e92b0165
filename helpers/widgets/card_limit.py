"""The runs under a card's limit: the recorded ones, or where there is such a card, its own."""

from __future__ import annotations

from helpers.experiments.card_limit import Plan, report_of, watch
from helpers.machine.device import free_memory, pick_device
from helpers.records.card_limit import CardLimit, load_card_limit, read_card_limit
from helpers.widgets.page import is_static


def recorded_or_live() -> CardLimit:
    """The recorded runs; where a card with room for the same cap is present, the same runs, watched now on it.

    A static page always shows the record, so that it is the same wherever it is made.
    """
    recorded = load_card_limit()
    plan = Plan(**recorded.plan)
    if is_static() or not has_room(plan.cap):
        return recorded
    return read_card_limit(report_of(plan, list(watch(plan, "cuda")), "cuda", "recorded_or_live()"))


def has_room(cap: int) -> bool:
    """True where there is a CUDA card that has ``cap`` bytes free."""
    return pick_device() == "cuda" and free_memory("cuda") >= cap

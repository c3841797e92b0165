"""Five levers in three tests, read from the records of SmolLM2 and of the reasoner, and drawn side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from helpers.measuring.comparisons import share_interval
from helpers.plots.levers import Cost, prices
from helpers.records import load_smollm2_sweep, load_stacked_savings, load_sweep, load_table
from helpers.records.smollm2_sweep import NO_EVICTION
from helpers.widgets.page import show

Lever = str | float  # a format, or the share of rows that TriAttention keeps
LEVERS: dict[str, Lever] = {
    "q8_0": "q8_0",
    "keep half": 0.5,
    "q4_0": "q4_0",
    "keep a quarter": 0.25,
    "keep an eighth": 0.125,
}
SAVES = {"q8_0": "1.88", "keep half": "2", "q4_0": "3.56", "keep a quarter": "4", "keep an eighth": "8"}
ENGLISH, FACTS, SHEETS = "English: loss added, nats", "facts known, of 12", "worksheets right"


def costs() -> dict[str, list[Cost | None]]:
    """What each lever costs in each test, with the ends of its 95% interval; None where it was not tested."""
    return {ENGLISH: [*map(_english, LEVERS.values())], FACTS: _shares(_facts), SHEETS: _shares(_sheets)}


def facts_known() -> dict[str, int]:
    """By lever, how many of the 12 facts SmolLM2 still knows."""
    return {name: sum(_facts(lever)) for name, lever in LEVERS.items()}


def without() -> dict[str, float]:
    """What each test found with no lever pulled."""
    facts = load_smollm2_sweep().find("facts", NO_EVICTION).right
    return {ENGLISH: 0.0, FACTS: sum(facts) / len(facts), SHEETS: load_table().find("fp16").share_right}


def show_prices() -> dict[str, int]:
    """Draw the levers in all tests; returns ``facts_known``."""
    names = [f"{name}\n{SAVES[name]} times less" for name in LEVERS]
    found, known = costs(), facts_known()
    show(
        prices(names, found, without(), percent=(FACTS, SHEETS)),
        "Figure: five levers, a row each, in three tests, a panel each; bars are 95% intervals, dashed lines what was "
        "found with no lever. Circles are formats, squares TriAttention with some rows. Left, SmolLM2: by how much its "
        "loss on English rises. Middle, SmolLM2: "
        f"facts known at the end of a conversation, {', '.join(f'{name} {n}' for name, n in known.items())} of 12. "
        "Right, the reasoner: worksheets right; of its memory only the thought is cut.",
    )
    return known


def _english(lever: Lever) -> Cost:
    sweep = load_smollm2_sweep()
    run = _tested("english", lever)
    more, half = run.more_than(sweep.find("english", NO_EVICTION))
    return Cost(more, more - half, more + half)


def _tested(task: str, lever: Lever) -> Any:
    if isinstance(lever, str):
        return load_stacked_savings().formats[task, lever]
    return load_smollm2_sweep().find(task, "TriAttention", lever)


def _facts(lever: Lever) -> list[int]:
    return _tested("facts", lever).right


def _sheets(lever: Lever) -> list[int] | None:
    if isinstance(lever, str):
        return list(load_table().find(lever).right)
    return list(load_sweep().find("TriAttention", lever, "shared").right) if lever >= 0.25 else None


def _shares(test: Callable[[Lever], list[int] | None]) -> list[Cost | None]:
    answers = map(test, LEVERS.values())
    return [right and Cost(sum(right) / len(right), *share_interval(right)) for right in answers]

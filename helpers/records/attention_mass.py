"""Where SmolLM2's attention goes when it reads English."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.measuring.comparisons import mean_interval
from helpers.records.measured import Measured, read

# What a row is to a query, each row once: one of the first 4; one of the last 16, its own included; an earlier row of
# the same token; the row right behind one; none of these.
PLACES = ("first", "near", "same", "after_same", "rest")
NAMES = ("tenth", "five", *PLACES)


@dataclass(frozen=True)
class AttentionMass(Measured):
    """Shares of the attention weights, means over queries with a long past.

    Attributes:
        heads: ``tenth`` and ``five``, the share of the strongest tenth of the rows that each query sees and of the
            five strongest, and the share of each of ``PLACES``: per layer and query head, mean over windows.
        windows: the same names; per window, mean over all heads.
        rows: of the rows seen, the share of each of ``PLACES``: what it would get if attention were even.
    """

    heads: dict[str, tuple[tuple[float, ...], ...]]
    windows: dict[str, tuple[float, ...]]
    rows: dict[str, float]

    def interval(self, name: str) -> tuple[float, float]:
        """Mean over heads and windows, and half its 95% interval over windows."""
        return mean_interval(self.windows[name])


@cache
def load_attention_mass() -> AttentionMass:
    """The saved shares."""
    facts = read("attention_mass")
    lines, [rows] = facts.pop("by_window"), facts.pop("rows")
    windows = {name: tuple(line[name] for line in lines) for name in NAMES}
    return AttentionMass(facts, {name: tuple(map(tuple, facts.pop(name))) for name in NAMES}, windows, rows)

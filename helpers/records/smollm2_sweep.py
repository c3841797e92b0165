"""Policies, budgets and selection modes on SmolLM2: unseen English, a passage once more, a fact told early."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.measuring.comparisons import Losses
from helpers.records.measured import Measured, read

EVERY_HEAD, NO_EVICTION = "per_layer_per_head", "no eviction"


@dataclass(frozen=True)
class Reading(Losses):
    """One cell: the same texts under one policy, budget and selection mode.

    Attributes:
        losses: per text, the mean loss of the tokens that count, in nats per token.
        right: per text, 1 if each of these tokens was the likeliest, 0 if not.
        compressions: how often the cache was compressed.
        blocks_freed: blocks given back per text, by all compressions.
        weights_bytes: attention weights that were written out for the policy, of all texts.
        seconds: time of a processor for all of it.
    """

    losses: list[float]
    right: list[int]
    compressions: int
    blocks_freed: float
    weights_bytes: int
    seconds: float


@dataclass(frozen=True)
class RealSweep(Measured):
    """The saved sweep: its cells by task, policy, share, selection mode, and whether survivors were slid together."""

    cells: dict[tuple[str, str, float, str, bool], Reading]

    def find(
        self, task: str, policy: str, share: float = 1.0, selection: str = EVERY_HEAD, compact: bool = False
    ) -> Reading:
        """The result of one cell; of no eviction, name the task and ``NO_EVICTION``.

        Raises:
            ValueError: if the sweep has no such cell.
        """
        key = (task, policy, share, selection, compact)
        if key not in self.cells:
            raise ValueError(f"the sweep has no cell {key}; run python -m helpers.experiments.smollm2_sweep")
        return self.cells[key]

    def shares(self, task: str) -> list[float]:
        """The budgets of a task, the largest first, as shares of a text."""
        return sorted({share for name, _, share, _, _ in self.cells if name == task and share < 1}, reverse=True)

    def policies(self, task: str) -> list[str]:
        """Those that were run at every budget of the task, in the register's order."""
        wanted, run = set(self.shares(task)), {}
        for name, policy, share, selection, compact in self.cells:
            if name == task and selection == EVERY_HEAD and not compact:
                run.setdefault(policy, set()).add(share)
        return [policy for policy, shares in run.items() if shares >= wanted]


@cache
def load_smollm2_sweep() -> RealSweep:
    """The saved sweep on SmolLM2."""
    facts = read("smollm2_sweep")
    cells = {}
    for cell in facts.pop("cells"):
        key = tuple(cell.pop(name) for name in ("task", "policy", "share", "selection", "compact"))
        cells[key] = Reading(**cell)
    return RealSweep(facts, cells)

"""What KV formats cost SmolLM2 on English, K and V apart, with rows turned first and without."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.arithmetic.catalog import KV_LAYOUTS
from helpers.measuring.comparisons import mean_interval
from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class FormatCost:
    """One side of the cache in one format, the other side exact; a figure per window, against float32 throughout.

    Attributes:
        side: ``k`` or ``v``.
        kv_format: its format.
        turned: whether rows were multiplied by a Hadamard matrix first, as llama.cpp does.
        lost: how much higher the loss is, nats per token.
        kl: KL divergence of the predictions from the exact ones, nats per token.
        equal: share of places at which the likeliest next token is the same.
    """

    side: str
    kv_format: str
    turned: bool
    lost: tuple[float, ...]
    kl: tuple[float, ...]
    equal: tuple[float, ...]

    @property
    def bits(self) -> float:
        """Bits that one number of a row takes."""
        return KV_LAYOUTS[self.kv_format].bits

    def interval(self, name: str) -> tuple[float, float]:
        """Mean of ``lost``, ``kl`` or ``equal`` over windows, and half its 95% interval."""
        return mean_interval(getattr(self, name))


@dataclass(frozen=True)
class KVFormatLoss(Measured):
    """All runs, by side, format, and whether rows were turned; windows are the same for all, so all is paired.

    Attributes:
        costs: the runs.
        exact_loss: per window, loss in float32, nats per token.
    """

    costs: dict[tuple[str, str, bool], FormatCost]
    exact_loss: tuple[float, ...]

    def gain(self, side: str, kv_format: str, name: str) -> tuple[float, float]:
        """By how much turning lowers ``lost`` or ``kl``, paired by window, and half its 95% interval."""
        plain, turned = (getattr(self.costs[side, kv_format, turned], name) for turned in (False, True))
        return mean_interval([a - b for a, b in zip(plain, turned, strict=True)])


@cache
def load_kv_format_loss() -> KVFormatLoss:
    """The saved runs."""
    facts = read("kv_format_loss")
    runs = [
        FormatCost(**line | {name: tuple(line[name]) for name in ("lost", "kl", "equal")}) for line in facts.pop("runs")
    ]
    costs = {(run.side, run.kv_format, run.turned): run for run in runs}
    return KVFormatLoss(facts, costs, tuple(facts.pop("exact_loss")))

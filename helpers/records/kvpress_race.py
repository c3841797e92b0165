"""The course's Compressor against KVPress's DecodingPress: tokens per second, peak bytes of the cache, loss."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class Lap:
    """One side with one policy: medians over the rounds.

    Attributes:
        side, policy: whose machinery, and by which rule it scores.
        tokens_per_second: by the clock, of the steps after the prompt, compressions included.
        tokens_per_cpu_second: by the time that the processor worked on it, which a busy machine disturbs less.
        step_cpu_seconds: of the median step.
        compressing_step_cpu_seconds: of the median step after which it compresses.
        bytes_peak: the most that the cache held after a step, before it was compressed where it was.
        loss: of the text, in nats per token; the same in every round.
    """

    side: str
    policy: str
    tokens_per_second: float
    tokens_per_cpu_second: float
    step_cpu_seconds: float
    compressing_step_cpu_seconds: float
    bytes_peak: int
    loss: float


@dataclass(frozen=True)
class KVPressRace(Measured):
    """Medians by (side, policy), and how the sides compared round by round.

    Attributes:
        laps: the medians.
        speed_ratios: per policy, tokens per second of the processor's work, the course over KVPress, round by round.
    """

    laps: dict[tuple[str, str], Lap]
    speed_ratios: dict[str, tuple[float, ...]]

    @property
    def sides(self) -> tuple[str, ...]:
        """The course, then KVPress."""
        return tuple(dict.fromkeys(side for side, _ in self.laps))

    @property
    def n_rounds(self) -> int:
        """How often each was run."""
        return min(map(len, self.speed_ratios.values()))

    @property
    def policies(self) -> tuple[str, ...]:
        """The rules that both scored by."""
        return tuple(self.speed_ratios)


@cache
def load_kvpress_race() -> KVPressRace:
    """The saved race."""
    facts = read("kvpress_race")
    rounds: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for lap in facts.pop("rounds"):
        rounds.setdefault((lap["side"], lap["policy"]), []).append(lap)
    laps, ratios = {}, {}
    for policy in facts["policies"]:
        for side in facts["sides"]:
            measured = (field.name for field in fields(Lap) if field.name not in ("side", "policy"))
            medians = {name: statistics.median(lap[name] for lap in rounds[side, policy]) for name in measured}
            laps[side, policy] = Lap(side, policy, **medians)
        pairs = zip(*(rounds[side, policy] for side in facts["sides"]), strict=True)
        speeds = (tuple(lap["tokens_per_cpu_second"] for lap in pair) for pair in pairs)
        ratios[policy] = tuple(ours / theirs for ours, theirs in speeds)
    return KVPressRace(facts, laps, ratios)

"""What llama.cpp's process takes with one sequence and with several, beside the sizes that it prints."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class Run:
    """One start of the engine.

    Attributes:
        sequences: that can be answered at the same time.
        unified: whether they share one cache.
        model_mib, kv_mib, compute_mib: its own lines: weights, all caches together, and where a step computes.
        process_mib: what its process held, as the system says.
    """

    sequences: int
    unified: bool
    model_mib: float
    kv_mib: float
    compute_mib: float
    process_mib: float

    @property
    def overhead_mib(self) -> float:
        """What is neither weights nor cache: the compute buffer and all that no line names."""
        return self.process_mib - self.model_mib - self.kv_mib


@dataclass(frozen=True)
class EngineTotal(Measured):
    """All starts, by number of sequences and whether they share one cache."""

    runs: dict[tuple[int, bool], Run]

    def predicted_mib(self, sequences: int) -> float:
        """What so many sequences take, told from one alone: overhead + weights + cache times sequences."""
        one = self.runs[1, False]
        return one.overhead_mib + one.model_mib + sequences * one.kv_mib


@cache
def load_engine_total() -> EngineTotal:
    """The saved starts."""
    facts = read("engine_total")
    runs = [Run(**line) for line in facts.pop("runs")]
    return EngineTotal(facts, {(run.sequences, run.unified): run for run in runs})

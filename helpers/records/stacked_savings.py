"""Four readers of one document on SmolLM2: what their caches hold, lever by lever, and what a lever costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.measuring.comparisons import Losses
from helpers.records.measured import Measured, read

APART, GROUPED, Q8_0, SHARED = "each query head its own", "+ grouped-query attention", "+ q8_0", "+ shared document"
EVICTED, COMPACTED, EVERYWHERE = "+ eviction", "+ compaction", "evict in the document too"


@dataclass(frozen=True)
class Line(Losses):
    """The readers under the levers of one line.

    Attributes:
        bytes_held: bytes of all blocks that any of four readers holds at the end, a shared block once.
        losses: per reader of all documents, the mean loss of what it reads after the first eviction, nats per token.
    """

    bytes_held: int
    losses: list[float]


@dataclass(frozen=True)
class Tested(Losses):
    """A task of the sweep on SmolLM2 (``smollm2_sweep``) with all rows kept, in a coarser format.

    Attributes:
        losses: per text, the mean loss of the tokens that count, nats per token.
        right: per text, 1 if each of these tokens was the likeliest, 0 if not.
    """

    losses: list[float]
    right: list[int]


@dataclass(frozen=True)
class StackedSavings(Measured):
    """The lines by name, from no lever to all of them, and one more that goes too far.

    Attributes:
        lines: by name.
        formats: by task and format.
    """

    lines: dict[str, Line]
    formats: dict[tuple[str, str], Tested]

    def price(self, name: str) -> tuple[float, float]:
        """By how much a line's loss is above that of fp16 rows with nothing evicted, and half its 95% interval."""
        return self.lines[name].more_than(self.lines[GROUPED])


@cache
def load_stacked_savings() -> StackedSavings:
    """The recorded lines."""
    facts = read("stacked_savings")
    lines = {line.pop("name"): Line(**line) for line in facts.pop("lines")}
    formats = {(test.pop("task"), test.pop("kv_format")): Tested(**test) for test in facts.pop("formats")}
    return StackedSavings(facts, lines, formats)

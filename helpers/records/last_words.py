"""SmolLM2 reads a text until memory is out: what it held, how it ended, and what it costs to go on by evicting."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.arithmetic.footprint import KVShape, max_tokens
from helpers.measuring.comparisons import paired_difference
from helpers.records.measured import Measured, read

Curve = tuple[tuple[int, int], ...]  # tokens read and bytes of K and V held, pass by pass


@dataclass(frozen=True)
class Reading:
    """One reader of the text.

    Attributes:
        tokens: read when it ended.
        curve: tokens read and bytes of K and V held, pass by pass, and once more after each compression.
        error: what was said when memory was out; None if it came to the end.
        last_words: the end of what it had read.
        losses: mean loss of each stretch of the text, nats per token; empty where nobody counted.
    """

    tokens: int
    curve: Curve
    error: str | None
    last_words: str = ""
    losses: tuple[float, ...] = ()

    @property
    def most_held(self) -> int:
        """The most bytes of K and V that it held."""
        return max(held for _, held in self.curve)


@dataclass(frozen=True)
class LastWords(Measured):
    """The readers of one text.

    Attributes:
        growing: in a cache that grows, in a process that was allowed so many bytes more and no further.
        evicting: in a pool of blocks under TriAttention, to the end of the text.
        unlimited: with all rows kept, and no limit: its losses are what ``evicting`` is held against.
    """

    growing: Reading
    evicting: Reading
    unlimited: Reading

    @property
    def room(self) -> int:
        """Bytes that the process of ``growing`` was allowed."""
        return self.facts["room"]

    @property
    def predicted(self) -> int:
        """Tokens whose rows fill that room, if nothing else needs any of it."""
        return int(max_tokens(self.room, KVShape(*self.facts["shape"]), kv_format="fp32"))

    @property
    def asked_for(self) -> int:
        """Bytes that the growing cache asked for when it was refused."""
        return self.facts["asked_for"]

    @property
    def price(self) -> tuple[float, float]:
        """By how much eviction raises the loss, nats per token, and half the width of its 95% interval.

        Counted are the stretches that begin after the first eviction.
        """
        first = -(-self.facts["first_eviction"] // self.facts["stretch"])
        return paired_difference(self.evicting.losses[first:], self.unlimited.losses[first:])


@cache
def load_last_words() -> LastWords:
    """The recorded readers."""
    facts = read("last_words")
    lines = {line.pop("name"): line for line in facts.pop("readers")}
    return LastWords(facts, **{name: _reading(**line) for name, line in lines.items()})


def _reading(curve: list[list[int]], losses: list[float], **rest: int | str | None) -> Reading:
    return Reading(curve=tuple((seen, held) for seen, held in curve), losses=tuple(losses), **rest)

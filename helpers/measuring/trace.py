"""What a run really did: bytes counted from tensors that exist, never from a formula, and one record of it all."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import Any

from helpers.measuring.costs import layer_bytes


@dataclass
class WeightsCost:
    """What it took to write out attention weights for a policy that needs them.

    Attributes:
        seconds: time spent in attention that writes them out.
        bytes_written: bytes of all grids together.
        largest: bytes of the largest, which is the memory one layer needs for it.
    """

    seconds: float = 0.0
    bytes_written: int = 0
    largest: int = 0

    def add(self, seconds: float, grid_bytes: int) -> None:
        """Count one layer's grid."""
        self.seconds += seconds
        self.bytes_written += grid_bytes
        self.largest = max(self.largest, grid_bytes)


@dataclass(frozen=True)
class Compression:
    """One call of a policy, and what came of it.

    Attributes:
        tokens_seen: logical length when it happened.
        rows_before, rows_after: rows alive per KV head and layer, of each sequence.
        blocks_freed, bytes_freed: what the pool got back, from all sequences together.
        scoring_seconds: time to read the keys, score them and choose.
        moving_seconds: time to mark the rest dead, and to move the survivors if they are moved. On a GPU, which works
            behind the program's back, both say only how long it took to ask; the throughput experiment waits for it.
    """

    tokens_seen: int
    rows_before: int
    rows_after: int
    blocks_freed: int
    bytes_freed: int
    scoring_seconds: float
    moving_seconds: float

    @property
    def tokens_evicted(self) -> int:
        """Rows given up per KV head and layer, of each sequence."""
        return self.rows_before - self.rows_after


@dataclass
class Trace:
    """One run, pass by pass. Pass 0 is the prefill, which reads the prompt and yields the first token.

    ``generate`` reads one token per pass, ``replay`` a chunk of them. The lists with one entry per pass grow together;
    an entry is taken before a compression, so that peaks are seen.

    Attributes:
        prompt_length: tokens of the prompt, per sequence.
        tokens: the decoded token ids, ``tokens[sequence][step]``; in a replay, what the model would have said.
        seconds: time since the start, at the end of the pass.
        tokens_seen: logical length of each sequence in the cache: prompt and decoded tokens processed so far.
        tokens_alive: rows the cache holds of each sequence, per KV head; the most that any layer holds.
        blocks_held: blocks of the pool, all sequences together; 0 for a cache without blocks.
        bytes_held: bytes of KV cache, all sequences together.
        compressions: each one, with the pass after which it came.
        weights_cost: what it took to show attention weights to the policy.
    """

    prompt_length: int
    tokens: list[list[int]]
    seconds: list[float] = field(default_factory=list)
    tokens_seen: list[int] = field(default_factory=list)
    tokens_alive: list[int] = field(default_factory=list)
    blocks_held: list[int] = field(default_factory=list)
    bytes_held: list[int] = field(default_factory=list)
    compressions: dict[int, Compression] = field(default_factory=dict)
    weights_cost: WeightsCost = field(default_factory=WeightsCost)
    started: float = field(default_factory=time.perf_counter, repr=False)

    def record(self, next_tokens: list[list[int]], cache: Any) -> None:
        """Note one finished pass: the tokens it gave each sequence, and what the cache holds now."""
        for sequence, tokens in zip(self.tokens, next_tokens, strict=True):
            sequence.extend(tokens)
        self.seconds.append(time.perf_counter() - self.started)
        self.tokens_seen.append(cache.get_seq_length())
        stats = cache.stats() if hasattr(cache, "stats") else None
        self.tokens_alive.append(stats.tokens_alive if stats else max(_rows(layer) for layer in cache.layers))
        self.blocks_held.append(stats.blocks_held if stats else 0)
        self.bytes_held.append(stats.bytes_held if stats else sum(layer_bytes(cache)))

    @property
    def blocks_freed(self) -> int:
        """Blocks given back by all compressions."""
        return sum(compression.blocks_freed for compression in self.compressions.values())

    @property
    def bytes_freed(self) -> int:
        """Bytes given back during the run: by compressions, and by every fall of ``bytes_held`` without one.

        A compression of a forked cache also drops shared blocks that another cache still lists: ``bytes_held`` falls
        by these too, but nobody gets them back.
        """
        steps = zip(self.bytes_held, self.bytes_held[1:], strict=False)
        falls = (max(0, before - after) for i, (before, after) in enumerate(steps) if i not in self.compressions)
        return sum(compression.bytes_freed for compression in self.compressions.values()) + sum(falls)

    @property
    def tokens_per_second(self) -> float:
        """Decoded tokens per second of one sequence, the prefill left out; nan where nothing followed it."""
        seconds = self.seconds[-1] - self.seconds[0] if len(self.seconds) > 1 else 0
        return (len(self.tokens[0]) - 1) / seconds if seconds else math.nan


def _rows(layer: Any) -> int:
    keys = getattr(layer, "keys", None)
    return 0 if keys is None or not keys.numel() else keys.shape[-2]

"""What a run really did: bytes counted from tensors that exist, never from a formula, and one record of it all."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Trace:
    """One run, step by step. Step 0 is the prefill, which reads the prompt and yields the first token.

    All lists but ``tokens`` have one entry per step and grow together.

    Attributes:
        prompt_length: tokens of the prompt, per sequence.
        tokens: the decoded token ids, ``tokens[sequence][step]``.
        seconds: time since the start, at the end of the step.
        tokens_seen: logical length of each sequence in the cache: prompt and decoded tokens processed so far.
        bytes_held: bytes of KV cache, all sequences together.
    """

    prompt_length: int
    tokens: list[list[int]]
    seconds: list[float] = field(default_factory=list)
    tokens_seen: list[int] = field(default_factory=list)
    bytes_held: list[int] = field(default_factory=list)
    started: float = field(default_factory=time.perf_counter, repr=False)

    def record(self, next_tokens: list[int], cache: Any) -> None:
        """Note one finished step: the token it gave each sequence, and what the cache holds now."""
        for sequence, token in zip(self.tokens, next_tokens, strict=True):
            sequence.append(token)
        self.seconds.append(time.perf_counter() - self.started)
        self.tokens_seen.append(cache.get_seq_length())
        self.bytes_held.append(cache.stats().bytes_held if hasattr(cache, "stats") else sum(layer_bytes(cache)))

    @property
    def bytes_freed(self) -> int:
        """Bytes given back during the run: every fall of ``bytes_held`` added up."""
        return sum(max(0, a - b) for a, b in zip(self.bytes_held, self.bytes_held[1:], strict=False))

    @property
    def tokens_per_second(self) -> float:
        """Decoded tokens per second of one sequence, the prefill left out; nan where nothing followed it."""
        steps = len(self.seconds) - 1
        return steps / (self.seconds[-1] - self.seconds[0]) if steps else math.nan


def median_seconds(run: Callable[[], Any], repeats: int = 5) -> float:
    """The median time of several calls, since single ones vary: other programs, clocks, memory."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def layer_bytes(cache: Any) -> list[int]:
    """Bytes of the key and value rows of each layer of a transformers cache; 0 for a layer that keeps none.

    What is counted is rows. A sliding layer of ``DynamicCache`` may keep a longer tensor alive behind them until the
    next step.
    """
    return [_bytes(getattr(layer, "keys", None)) + _bytes(getattr(layer, "values", None)) for layer in cache.layers]


def state_bytes(cache: Any) -> int:
    """Bytes of recurrent and convolution state, in the layers that keep such state instead of rows."""
    states = (getattr(layer, name, {}) for layer in cache.layers for name in ("conv_states", "recurrent_states"))
    return sum(_bytes(tensor) for by_index in states for tensor in by_index.values())


def weight_bytes(model: Any) -> int:
    """Bytes of a model's parameters; a tensor shared by two of them (tied embeddings) counts once."""
    return sum(_bytes(parameter) for parameter in model.parameters())


def _bytes(tensor: Any) -> int:
    return 0 if tensor is None else tensor.nbytes

"""What things take: bytes counted from tensors that exist, and the median time of a call."""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable
from typing import Any


def median_seconds(run: Callable[[], Any], repeats: int = 5) -> float:
    """The median time of several calls, since single ones vary: other programs, clocks, memory."""
    return statistics.median(timeit.repeat(run, number=1, repeat=repeats))


def reachable_bytes(root: Any) -> int:
    """Bytes of every tensor that can be reached from an object, each storage once: buffers and indices too."""
    storages: dict[int, int] = {}
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if hasattr(item, "untyped_storage"):
            storages[item.untyped_storage().data_ptr()] = item.untyped_storage().nbytes()
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple | set):
            waiting.extend(item)
        else:
            waiting.extend(getattr(item, "__dict__", {}).values())
    return sum(storages.values())


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

"""Attention weights as a whole grid, and tile by tile with a running maximum and sum, as FlashAttention has it.

Plain numbers. The softmax of a row needs the sum over all of it; online softmax (arXiv 1805.02867) goes on with what
it has, and where a larger logit comes multiplies the sum so far by ``e^(old maximum - new maximum)``. So no more than
one tile of weights is ever there, and two numbers per row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

NUMBER = 4  # bytes of a float32
Matrix = Sequence[Sequence[float]]


class TileStep(NamedTuple):
    """What stands after one tile.

    Attributes:
        row, column: of its upper left corner.
        maximum: by row of the grid, the largest logit so far; None before the first.
        total: by row, the sum of ``e^(logit - maximum)`` so far.
        weights: of the tile as they are at that moment, ``e^(logit - maximum)``, 0 where the mask hides.
    """

    row: int
    column: int
    maximum: list[float | None]
    total: list[float]
    weights: list[list[float]]


def causal_weights(logits: Matrix) -> list[list[float]]:
    """The whole grid: softmax of each row over the tokens up to itself, 0 behind them."""
    grid = []
    for i, row in enumerate(logits):
        powers = [math.exp(logit - max(row[: i + 1])) if j <= i else 0.0 for j, logit in enumerate(row)]
        grid.append([power / sum(powers) for power in powers])
    return grid


def run_tiles(logits: Matrix, size: int) -> list[TileStep]:
    """All tiles that the causal mask leaves, row of tiles after row of tiles.

    Raises:
        ValueError: if the tiles do not fill the grid.
    """
    if len(logits) % size:
        raise ValueError(f"size is {size}; it may be a divisor of {len(logits)}, the tokens of the grid")
    maximum: list[float | None] = [None] * len(logits)
    total, steps = [0.0] * len(logits), []
    for row in range(0, len(logits), size):
        for column in range(0, row + 1, size):
            weights = []
            for i in range(row, row + size):
                seen = [logits[i][j] if j <= i else -math.inf for j in range(column, column + size)]
                before = maximum[i]
                largest = max(seen) if before is None else max(before, *seen)
                powers = [math.exp(logit - largest) for logit in seen]
                kept = 0.0 if before is None else total[i] * math.exp(before - largest)
                maximum[i], total[i] = largest, kept + sum(powers)
                weights.append(powers)
            steps.append(TileStep(row, column, list(maximum), list(total), weights))
    return steps


def grid_bytes(n_heads: int, tokens: int) -> int:
    """The whole grid of one layer: a weight in float32 per head and pair of tokens."""
    return n_heads * tokens * tokens * NUMBER


def tile_bytes(n_heads: int, tokens: int, size: int) -> int:
    """One tile per head, and a maximum and a sum per head and token."""
    return n_heads * (size * size + 2 * tokens) * NUMBER

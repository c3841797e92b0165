"""H2O (Zhang and others, 2023): heavy hitters, the rows that have drawn the most attention so far."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import pad

from helpers.arithmetic.footprint import KVShape
from helpers.eviction.policy import Policy


class H2O(Policy):
    """Adds up the attention weights that each row has drawn from all queries since it came.

    It needs every weight of every step, so attention must write the grid out. The paper keeps heavy hitters and recent
    rows, half and half; the recent ones are the compressor's ``protect_recent`` here.
    """

    needs_weights = True

    def begin(self, shape: KVShape, prompt_length: int, token_index: Callable[[int], torch.Tensor]) -> None:
        """See ``Policy.begin``."""
        self.drawn: dict[int, torch.Tensor] = {}  # per layer [batch, n_heads, rows]

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        """See ``Policy.see_weights``. Rows that have just come start from 0."""
        drawn = weights.sum(-2)
        before = self.drawn.get(layer, drawn[..., :0])
        self.drawn[layer] = drawn + pad(before, (0, drawn.shape[-1] - before.shape[-1]))

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``. One score per query head."""
        return self.drawn[layer]

    def kept(self, layer: int, keep: torch.Tensor) -> None:
        """See ``Policy.kept``: every query head's sums follow the rows of its KV head."""
        group_size = self.drawn[layer].shape[1] // keep.shape[1]
        self.drawn[layer] = self.drawn[layer].gather(-1, keep.repeat_interleave(group_size, dim=1))

"""SnapKV (Li and others, 2024): what the last few queries attend to is what the next ones will."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch.nn.functional import avg_pool1d

from helpers.arithmetic.footprint import KVShape, require_count
from helpers.eviction.policy import Policy, Subject


class SnapKV(Policy):
    """Scores a row by the mean attention weight that the last ``window`` queries give it, smoothed over neighbours.

    It keeps those queries and computes the few weights itself, when it is asked; attention stays as it is.

    Args:
        window: queries that are kept, and rows at the end that must be protected, as in the paper.
        kernel_size: neighbouring rows over which weights are averaged; odd. 1 leaves them as they are.
    """

    needs_queries = True

    def __init__(self, window: int = 16, kernel_size: int = 5) -> None:
        self.window = self.least_recent = require_count("window", window, least=1)
        self.kernel_size = require_count("kernel_size", kernel_size, least=1)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}; it must be odd, so that a row stands in the middle")

    @classmethod
    def prepare_not_smoothed(cls, subject: Subject) -> Self:
        """As ``prepare``, with each row's own weight, unlike the paper."""
        return cls(kernel_size=1)

    def begin(self, shape: KVShape, prompt_length: int, token_index: Callable[[int], torch.Tensor]) -> None:
        """See ``Policy.begin``."""
        self.queries: dict[int, torch.Tensor] = {}  # per layer [batch, n_heads, up to window, head_dim], scaled

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        """See ``Policy.see_queries``."""
        last = queries[:, :, -self.window :].float() * scaling
        before = self.queries.get(layer, last[:, :, :0])
        self.queries[layer] = torch.cat([before, last], dim=2)[:, :, -self.window :]

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``. One score per query head."""
        queries, rows = self.queries[layer], keys.shape[-2]
        n_queries = queries.shape[2]
        grouped = queries.unflatten(1, (keys.shape[1], -1)).flatten(
            2, 3
        )  # [batch, n_kv_heads, group x window, head_dim]
        logits = (grouped @ keys.transpose(-1, -2)).unflatten(2, (-1, n_queries)).flatten(1, 2)
        # The queries are those of the last rows, which are protected: query i sees no row that came after its own.
        seen = torch.ones(n_queries, rows, dtype=torch.bool, device=keys.device).tril(rows - n_queries)
        weights = logits.masked_fill(~seen, -torch.inf).softmax(-1).mean(-2)
        return avg_pool1d(weights, self.kernel_size, stride=1, padding=self.kernel_size // 2)

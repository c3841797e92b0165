"""A policy that lets another decide, and notes what was left."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from helpers.arithmetic.footprint import KVShape
from helpers.eviction.policy import Policy


class Recorder(Policy):
    """Lets another policy decide, and notes which tokens every layer and head has left after each compression.

    Attributes:
        left: per compression, by the position of the last token read: per layer ``[batch, n_kv_heads, rows]``, the
            token that each row holds.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.needs_queries, self.needs_weights = policy.needs_queries, policy.needs_weights
        self.least_recent = policy.least_recent

    def begin(self, shape: KVShape, prompt_length: int, held: Sequence[torch.Tensor] = ()) -> None:
        """See ``Policy.begin``."""
        self.left: dict[int, dict[int, torch.Tensor]] = {}
        self._tokens = dict(enumerate(held))  # per layer, the token of each row after the last eviction
        self.policy.begin(shape, prompt_length, held)

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        """See ``Policy.see_queries``."""
        self.policy.see_queries(layer, queries, scaling)

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        """See ``Policy.see_weights``."""
        self.policy.see_weights(layer, weights)

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``."""
        old = self._tokens.get(layer, torch.empty(*keys.shape[:2], 0, dtype=torch.long))
        new = torch.arange(position + 1 - keys.shape[2] + old.shape[2], position + 1)  # rows since then, in order
        self._tokens[layer] = torch.cat([old, new.expand(*keys.shape[:2], -1)], dim=-1)
        self._position = position
        return self.policy.score(layer, keys, position)

    def kept(self, layer: int, keep: torch.Tensor) -> None:
        """See ``Policy.kept``."""
        self._tokens[layer] = self._tokens[layer].gather(-1, keep)
        self.left.setdefault(self._position, {})[layer] = self._tokens[layer]
        self.policy.kept(layer, keep)

"""A policy that stands before another one: the base of those that watch or change what another decides."""

from __future__ import annotations

from collections.abc import Callable

import torch

from helpers.arithmetic.footprint import KVShape
from helpers.eviction.policy import Policy


class Behind(Policy):
    """Passes on to another policy all that it is told, and gives back its scores.

    Args:
        policy: the one that decides.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.needs_queries, self.needs_weights = policy.needs_queries, policy.needs_weights
        self.least_recent, self.heads_alike = policy.least_recent, policy.heads_alike

    def begin(self, shape: KVShape, prompt_length: int, token_index: Callable[[int], torch.Tensor]) -> None:
        """See ``Policy.begin``."""
        self.policy.begin(shape, prompt_length, token_index)

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        """See ``Policy.see_queries``."""
        self.policy.see_queries(layer, queries, scaling)

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        """See ``Policy.see_weights``."""
        self.policy.see_weights(layer, weights)

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``."""
        return self.policy.score(layer, keys, position)

    def kept(self, layer: int, keep: torch.Tensor) -> None:
        """See ``Policy.kept``."""
        self.policy.kept(layer, keep)

"""Random: the policy that every other has to beat."""

from __future__ import annotations

import torch

from helpers.eviction.policy import Policy


class Random(Policy):
    """Scores drawn uniformly, anew for each layer, head and compression; the same seed gives the same run."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``. One score per KV head."""
        generator = torch.Generator().manual_seed(hash((self.seed, layer, position)))
        return torch.rand(keys.shape[:-1], generator=generator).to(keys.device)

"""StreamingLLM (Xiao and others, 2023): the first few tokens, which draw attention as sinks, and the latest ones."""

from __future__ import annotations

import torch

from helpers.arithmetic.footprint import require_count
from helpers.eviction.policy import Policy


class StreamingLLM(Policy):
    """Keeps the first ``n_sinks`` rows and the latest others. It asks nothing of the model."""

    heads_alike = True

    def __init__(self, n_sinks: int = 4) -> None:
        self.n_sinks = require_count("n_sinks", n_sinks, least=0)

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``: the place among the rows, which stay in order; sinks come first, in order."""
        rows = keys.shape[-2]
        places = torch.arange(rows, device=keys.device, dtype=torch.float32)
        places[: self.n_sinks] = 2 * rows - places[: self.n_sinks]
        return places.expand(keys.shape[:-1])

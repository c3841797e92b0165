"""A policy that lets another decide, and notes what was left."""

from __future__ import annotations

from collections.abc import Callable

import torch

from helpers.arithmetic.footprint import KVShape
from helpers.eviction.behind import Behind


class Recorder(Behind):
    """Lets another policy decide, and notes which tokens every layer and head has left after each compression.

    Attributes:
        left: per compression, by the position of the last token read: per layer ``[batch, n_kv_heads, rows]``, the
            token that each row holds.
    """

    def begin(self, shape: KVShape, prompt_length: int, token_index: Callable[[int], torch.Tensor]) -> None:
        """See ``Policy.begin``."""
        self.left: dict[int, dict[int, torch.Tensor]] = {}
        self._token_index = token_index
        super().begin(shape, prompt_length, token_index)

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``."""
        self._position = position
        return super().score(layer, keys, position)

    def kept(self, layer: int, keep: torch.Tensor) -> None:
        """See ``Policy.kept``."""
        self.left.setdefault(self._position, {})[layer] = self._token_index(layer)
        super().kept(layer, keep)

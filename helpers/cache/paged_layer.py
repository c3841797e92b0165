"""What transformers asks of one layer of a cache, answered by the PagedCache that keeps them all."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import CacheLayerMixin

from helpers.cache.handover import mask_is_ours


class PagedLayer(CacheLayerMixin):
    """One layer, as transformers sees it; ``cache`` is the ``PagedCache`` that keeps its rows, ``index`` its number."""

    supports_early_init = False

    def __init__(self, cache: Any, index: int) -> None:
        super().__init__()
        self.cache, self.index = cache, index

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the pool is there from the start."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple:
        """As ``PagedCache.update``."""
        return self.cache.update(key_states, value_states, self.index)

    def get_seq_length(self) -> int:
        """Tokens seen."""
        return self.cache.tokens_seen

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(rows after the next update, tokens that were seen and are no longer there)."""
        mask_is_ours.set(True)
        alive, new = self.cache.alive(self.index), 0 if self.cache.places else query_length
        return alive + new, self.cache.tokens_seen - alive

    def get_max_length(self) -> int:
        """-1, which is transformers' word for no limit: the pool is the limit."""
        return -1

    def crop(self, tokens_to_remove: int) -> None:
        """Refused: the last tokens of a cache from which rows were evicted need not be its last rows."""
        raise ValueError("a PagedCache cannot be cropped; fork it before the tokens you may want to take back")

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Refused: beam search would have to copy whole sequences."""
        raise ValueError("a PagedCache cannot be reordered, which beam search asks for; decode greedily or by sampling")

"""A conversation parked in a real pool, and what is left of it after a choice: the state behind a picture of the cache.

No model runs. The rows have the shape of the model's, so that blocks and bytes are those of the conversation; what is
in them plays no part in where they lie. Which rows go is told beforehand, by the ranks that each policy gave them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from helpers.arithmetic.footprint import KVShape, require_count
from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.cache.snapshot import snapshot
from helpers.eviction.selection import SELECTIONS
from helpers.records.garage import Garage

BY_HAND = "by hand"
MOST = 0.97  # the largest share that may be evicted
Ranks = Mapping[str, Mapping[str, np.ndarray]]


class Parking:
    """Answers any number of choices about one conversation; each begins with an empty pool.

    The pool has as many blocks as the conversation fills, and those of its prompt once more: a second conversation
    that shares the prompt fits, and so do the copies that compaction then takes.

    Args:
        n_tokens: of the conversation, prompt included.
        prompt_length: tokens of the prompt.
        ranks: by policy and selection mode, whole numbers ``[n_layers, n_kv_heads, n_tokens]``, 1 in place of layers
            or heads that choose together: a row is kept if its rank is below the number of rows kept.
        shape: the model's layers, KV heads and head_dim; rows are stored in 16 bits.
        block_size: slots per block.
    """

    def __init__(self, n_tokens: int, prompt_length: int, ranks: Ranks, shape: KVShape, block_size: int = 16) -> None:
        self.n_tokens, self.prompt_length, self.shape, self.ranks = n_tokens, prompt_length, shape, ranks
        self.block_size = block_size
        self.num_blocks = blocks_for(n_tokens, block_size) + blocks_for(prompt_length, block_size)
        self.start = {
            "seen": n_tokens,
            "layer": shape.n_layers // 2,
            "head": 0,
            "policy": next(iter(ranks), BY_HAND),
            "mode": "per_layer_per_head",
            "share": 0.0,
            "compact": False,
            "gone": [],
            "second": False,
        }

    @classmethod
    def of(cls, record: Garage) -> Parking:
        """The conversation that was recorded."""
        shape = KVShape(record.n_layers, record.n_kv_heads, record.head_dim)
        return cls(len(record.tokens), record.prompt_length, record.ranks, shape, record.block_size)

    def after(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        """The frame: what the cache holds once ``seen`` tokens are read and the choice's rows are evicted.

        A policy's share is evicted at the end of the conversation; while less is read, nothing is. What is evicted by
        hand is evicted at ``seen``; tokens that are not read by then are passed over. Blocks come back as ``compact``
        says: empty ones alone, or the tail once the rows left have been slid together. A second conversation is forked
        when the prompt is read, and stays there.

        Args:
            choice: ``seen``, ``layer``, ``head``, ``policy``, ``mode``, ``share``, ``compact``, ``gone`` and
                ``second``; what is missing is as in ``start``. ``head`` decides nothing here.

        Returns:
            As ``snapshot``, with two differences. ``bytes_back`` is of the blocks that the pool got back: a shared one
            is none, and where compaction copied more shared blocks than it freed, it is below 0. ``keep`` is the number
            of rows kept per layer and head.

        Raises:
            ValueError: if the choice holds what may not be; nothing is lost by it.
        """
        choice = self._checked(choice)
        cache, forks = self._parked(choice["seen"], choice["second"])
        keep, freed = self._kept(choice), 0
        if keep is not None:
            cache.evict(keep)
            freed = cache.compact() if choice["compact"] else cache.release_empty_blocks()
        frame = snapshot(cache, choice["layer"], beside=forks)
        slot_bytes = sum(store.packed[:, :, :1].nbytes for store in cache.stores)
        return frame | {"bytes_back": freed * self.block_size * slot_bytes, "keep": cache.alive()}

    def rows_kept(self, share: float) -> int:
        """Rows kept per layer and head when a share of the conversation is evicted: the rest, rounded, at least one."""
        return max(1, round((1 - share) * self.n_tokens))

    # --- inside -------------------------------------------------------------------------------------------------------
    def _parked(self, seen: int, second: bool) -> tuple[PagedCache, list[PagedCache]]:
        """A cache that has read so many tokens, and the fork where one is asked for."""
        cache, forks = PagedCache(self.shape, self.num_blocks, self.block_size), []
        prompt = min(seen, self.prompt_length)
        self._append(cache, prompt)
        if second:
            forks.append(cache.fork())
        self._append(cache, seen - prompt)
        return cache, forks

    def _append(self, cache: PagedCache, count: int) -> None:
        if count:
            rows = torch.zeros(1, dtype=torch.float16).expand(1, self.shape.n_kv_heads, count, self.shape.head_dim)
            for layer in range(self.shape.n_layers):
                cache.write(rows, rows, layer)

    def _kept(self, choice: dict[str, Any]) -> torch.Tensor | None:
        """Places of the rows to keep, ``[n_layers, 1, n_kv_heads, n_keep]``; None where none goes."""
        seen, sizes = choice["seen"], (self.shape.n_layers, self.shape.n_kv_heads)
        if choice["policy"] == BY_HAND:
            kept = np.setdiff1d(np.arange(seen), choice["gone"])
            if not len(kept) and seen:
                raise ValueError(f"gone holds all {seen} tokens read so far; one must stay")
            places = np.broadcast_to(kept, (*sizes, len(kept)))
        elif seen < self.n_tokens:
            return None
        else:
            count = self.rows_kept(choice["share"])
            ranks = np.broadcast_to(self.ranks[choice["policy"]][choice["mode"]], (*sizes, seen))
            places = np.nonzero(ranks < count)[-1].reshape(*sizes, count)
        return None if places.shape[-1] == seen else torch.tensor(places)[:, None]

    def _checked(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        """The choice, whole; raise one clear line if something in it may not be."""
        if unknown := sorted(set(choice) - set(self.start)):
            raise ValueError(f"the choice has {', '.join(map(repr, unknown))}; it may have {', '.join(self.start)}")
        choice = self.start | dict(choice)
        _require_below("seen", choice["seen"], self.n_tokens + 1)
        require_count("head", choice["head"], least=0)
        _require_one_of("policy", choice["policy"], (*self.ranks, BY_HAND))
        _require_one_of("mode", choice["mode"], SELECTIONS)
        share = choice["share"]
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= MOST:
            raise ValueError(f"share is {share!r}; it may be 0 to {MOST}")
        for name in ("compact", "second"):
            _require_one_of(name, choice[name], (True, False))
        if not isinstance(choice["gone"], list | tuple):
            raise ValueError(f"gone is {choice['gone']!r}; it must be a list of tokens")
        for token in choice["gone"]:
            _require_below("a token of gone", token, self.n_tokens)
        return choice


def _require_below(name: str, value: Any, end: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < end:
        raise ValueError(f"{name} is {value!r}; it may be 0 to {end - 1}")


def _require_one_of(name: str, value: Any, allowed: tuple) -> None:
    if not any(value is one or (isinstance(value, str) and value == one) for one in allowed):
        raise ValueError(f"{name} is {value!r}; it may be {', '.join(map(str, allowed))}")

"""When to evict, how many rows to keep, which ones, and whether to compact. It alone knows both policy and blocks."""

from __future__ import annotations

import time
from typing import Any

import torch

from helpers.arithmetic.footprint import require_count
from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.eviction.policy import Policy
from helpers.eviction.selection import SELECTIONS, group_scores, select
from helpers.measuring.trace import Compression


class Compressor:
    """Brings the decoded part of a cache back to ``budget`` rows each time it has grown to ``budget + interval``.

    Args:
        policy: what scores the rows.
        budget: rows kept per KV head and layer in the decoded part; a protected prompt comes on top.
        interval: tokens between two compressions.
        selection: ``shared``, ``union``, ``per_head`` or ``per_layer_per_head``; see ``selection.select``.
        compact: slide the survivors together, so that blocks come back; else only blocks that are empty do.
        protect_prompt: keep all that is in the cache once the prompt is read; else the prompt counts in the budget.
        protect_recent: rows at the end that are kept whatever they score; they count in the budget.

    Raises:
        ValueError: if an argument is out of range.
    """

    def __init__(
        self,
        policy: Policy,
        budget: int,
        interval: int = 128,
        selection: str = "per_head",
        compact: bool = True,
        protect_prompt: bool = True,
        protect_recent: int = 16,
    ) -> None:
        if not isinstance(policy, Policy):
            raise ValueError(f"policy is {policy!r}; it must be a Policy, such as TriAttention or Random()")
        if selection not in SELECTIONS:
            raise ValueError(f"selection is {selection!r}; it may be {', '.join(SELECTIONS)}")
        require_count("budget", budget, least=1)
        require_count("interval", interval, least=1)
        require_count("protect_recent", protect_recent, least=0)
        if protect_recent > budget:
            raise ValueError(f"protect_recent is {protect_recent}; it may be 0 to {budget}, the budget")
        if protect_recent < policy.least_recent:
            name = type(policy).__name__
            raise ValueError(f"protect_recent is {protect_recent}; {name} needs {policy.least_recent} or more")
        self.policy, self.budget, self.interval, self.selection = policy, budget, interval, selection
        self.compact, self.protect_prompt, self.protect_recent = compact, protect_prompt, protect_recent

    def begin(self, cache: Any, new_tokens: int) -> None:
        """A run begins, with a prompt of ``new_tokens`` tokens on top of what the cache holds.

        Raises:
            ValueError: if the cache cannot be compressed, or its pool cannot hold what the budget asks for.
        """
        if not isinstance(cache, PagedCache):
            raise ValueError(f"cache is a {type(cache).__name__}; a compressor needs a PagedCache")
        if any(layer.kind == "sliding" for layer in cache.shape.layers):
            raise ValueError("the model has sliding-window layers, which cut by place; a compressor moves places")
        prompt_rows = cache.alive() + new_tokens
        self.n_protected = prompt_rows if self.protect_prompt else 0
        self._require_room(cache, prompt_rows)
        self.policy.begin(cache.shape, cache.tokens_seen + new_tokens, cache.token_index)

    def room(self, cache: PagedCache) -> int:
        """Tokens that may still come before the next compression; 0 or less if one is due."""
        return self.n_protected + self.budget + self.interval - cache.alive()

    def after_pass(self, cache: PagedCache) -> Compression | None:
        """Compress if it is time."""
        return self._compress(cache) if self.room(cache) <= 0 else None

    def _compress(self, cache: PagedCache) -> Compression:
        started, before = time.perf_counter(), cache.stats()
        keep = self._choose(cache)
        chosen = time.perf_counter()
        self._evict(cache, keep)
        freed = cache.compact() if self.compact else cache.release_empty_blocks()
        moved = time.perf_counter()
        return Compression(
            tokens_seen=before.tokens_seen,
            rows_before=before.tokens_alive,
            rows_after=cache.alive(),
            blocks_freed=freed,
            bytes_freed=freed * (before.bytes_held // before.blocks_held),
            scoring_seconds=chosen - started,
            moving_seconds=moved - chosen,
        )

    def _choose(self, cache: PagedCache) -> torch.Tensor:
        """The places to keep, ascending: ``[n_layers, batch, n_kv_heads, n_keep]``."""
        alive, position = cache.alive(), cache.tokens_seen - 1
        first, last = self.n_protected, alive - self.protect_recent  # the rows between them are candidates
        scores = []
        for layer in range(cache.shape.n_layers):
            of_layer = self.policy.score(layer, cache.read_keys(layer), position)
            scores.append(group_scores(of_layer[..., first:last].float(), cache.shape.n_kv_heads))
        best = select(torch.stack(scores), self.budget - self.protect_recent, self.selection) + first
        prompt, recent = (torch.arange(*ends, device=best.device) for ends in ((0, first), (last, alive)))
        return torch.cat([prompt.expand(*best.shape[:-1], -1), best, recent.expand(*best.shape[:-1], -1)], dim=-1)

    def _evict(self, cache: PagedCache, keep: torch.Tensor) -> None:
        cache.evict(keep if self.selection == "per_layer_per_head" else keep[0])
        for layer, of_layer in enumerate(keep):
            self.policy.kept(layer, of_layer)

    def _require_room(self, cache: PagedCache, prompt_rows: int) -> None:
        rows = max(prompt_rows, self.n_protected + self.budget + self.interval)
        needed = len(cache.tables) * blocks_for(rows, cache.pool.block_size)
        if needed > cache.pool.num_blocks:
            raise ValueError(
                f"budget is {self.budget}: with interval {self.interval} and {self.n_protected} protected rows "
                f"it takes {needed} blocks; the pool has {cache.pool.num_blocks}"
            )

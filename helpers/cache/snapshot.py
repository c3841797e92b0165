"""One moment of a cache as plain numbers: which token lies in which slot, who holds which block, what it weighs.

A picture draws this and counts nothing of its own. In its words a block is a floor, and a group of layers an aisle.
A snapshot of a sequence is a dict, ready for JSON:

- ``seen``: tokens read, evicted ones included. ``layer``: whose rows are shown.
- ``tables``: the blocks of each sequence, in order. ``free``: the free queue, the next to be taken first.
- ``rows``: for each held block, per KV head, the token in each slot, ``EVICTED`` or ``EMPTY``. For layer "all" instead
  ``alive``: per aisle and KV head, the share of its layers that have the row, in 0 to 1, or ``EMPTY``.
- ``layers_holding``: for each held block, in how many layers some head has a row there.
- ``rows_evicted``, ``rows_in_all``: of the sequence, over all layers and KV heads.
- ``floors``: blocks that its tokens filled. ``floors_closed``: how many fewer its table lists.
- ``bytes_held``: of all blocks listed, each once. ``bytes_back``: of ``floors_closed``. ``bytes_alive``: of the rows
  alive, each once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from helpers.arithmetic.footprint import require_count
from helpers.cache.block_pool import BlockTable, blocks_for
from helpers.cache.paged_cache import PagedCache

EVICTED, EMPTY = -1, -2  # in place of a token: its row is gone, the slot is not; nothing was written, or it slid away
AISLE = 6  # layers that are shown together where all are


def snapshot(
    cache: PagedCache, layer: int | str, sequence: int = 0, beside: Sequence[PagedCache] = ()
) -> dict[str, Any]:
    """What a sequence of a cache holds now, ready for JSON.

    Args:
        cache: a live one; it is not changed.
        layer: whose rows are shown; "all" for all of them, in aisles.
        sequence: which of the cache's; what it has evicted from a block that others list too is shown as evicted.
        beside: caches that share the pool, such as forks: their tables and blocks are shown too.

    Returns:
        The dict that stands at the head of this file.

    Raises:
        ValueError: if there is no such layer or sequence.
    """
    n_layers, size = cache.shape.n_layers, cache.pool.block_size
    if layer != "all" and (type(layer) is not int or not 0 <= layer < n_layers):
        raise ValueError(f'layer is {layer!r}; it may be 0 to {n_layers - 1}, or "all"')
    if not 0 <= require_count("sequence", sequence, least=0) < len(cache.tables):
        raise ValueError(f"sequence is {sequence}; it may be 0 to {len(cache.tables) - 1}")
    views = [_View(each, i, table) for each in (cache, *beside) for i, table in enumerate(each.tables)]
    slots, held = _overlay(views, sequence, size), sorted(set().union(*(view.table.blocks for view in views)))
    holding = slots.alive.any(1).unflatten(1, (-1, size)).any(2).sum(0).tolist()
    return {
        "seen": cache.tokens_seen,
        "layer": layer,
        "tables": [list(view.table.blocks) for view in views],
        "free": list(cache.pool.free_queue),
        **({"alive": _shares(slots, held, size)} if layer == "all" else {"rows": _rows(cache, slots, layer, held)}),
        "layers_holding": {str(block): holding[block] for block in held},
        **_figures(cache, views, sequence, len(held)),
    }


def _figures(cache: PagedCache, views: list[_View], sequence: int, blocks_held: int) -> dict[str, int]:
    """Rows, floors and bytes."""
    n_sets, size = cache.shape.n_layers * cache.shape.n_kv_heads, cache.pool.block_size
    slot_bytes = sum(store.packed[:, :, :1].nbytes for store in cache.stores)  # one slot, all layers and heads
    rows_in_all, floors = cache.tokens_seen * n_sets, blocks_for(cache.tokens_seen, size)
    floors_closed = floors - len(views[sequence].table.blocks)
    alive_anywhere = torch.stack([view.alive for view in views]).any(0).sum().item()
    return {
        "rows_evicted": rows_in_all - views[sequence].alive.sum().item(),
        "rows_in_all": rows_in_all,
        "floors": floors,
        "floors_closed": floors_closed,
        "bytes_held": blocks_held * size * slot_bytes,
        "bytes_back": floors_closed * size * slot_bytes,
        "bytes_alive": alive_anywhere * slot_bytes // n_sets,
    }


class _View:
    """A sequence of a cache: its table, and which slots hold its rows, bool ``[n_layers, n_kv_heads, slots]``."""

    def __init__(self, cache: PagedCache, sequence: int, table: BlockTable) -> None:
        self.table = table
        num_slots = cache.pool.num_blocks * cache.pool.block_size
        self.alive = torch.zeros(cache.shape.n_layers, cache.shape.n_kv_heads, num_slots, dtype=torch.bool)
        for layer, alive in enumerate(self.alive):
            alive.scatter_(1, cache.slot_index(layer)[sequence].cpu(), True)


@dataclass(frozen=True)
class _Slots:
    """Every slot as the first sequence that lists its block has it: ``alive`` as a view's, ``filled`` ``[slots]``.

    Sequences that share a block have filled it alike: who writes to one, or slides rows in it, has copied it before.
    """

    alive: torch.Tensor
    filled: torch.Tensor


def _overlay(views: list[_View], first: int, size: int) -> _Slots:
    """The views laid over each other, that of sequence ``first`` on top."""
    alive = torch.zeros_like(views[0].alive)
    filled = torch.zeros(alive.shape[-1], dtype=torch.bool)
    below = [view for i, view in enumerate(views) if i != first]
    for view in [*reversed(below), views[first]]:  # the last to be laid is on top
        places = [block * size + offset for block in view.table.blocks for offset in range(size)]
        alive[..., places] = view.alive[..., places]
        filled[view.table.slots()] = True
    return _Slots(alive, filled)


def _rows(cache: PagedCache, slots: _Slots, layer: int, held: list[int]) -> dict[str, list[list[int]]]:
    size = cache.pool.block_size
    tokens = torch.where(slots.alive[layer], cache.token_of_slot[layer].T.cpu(), EVICTED)
    tokens = torch.where(slots.filled, tokens, EMPTY)
    return {str(block): tokens[:, block * size : (block + 1) * size].tolist() for block in held}


def _shares(slots: _Slots, held: list[int], size: int) -> dict[str, list[list[list[float]]]]:
    """Per block, aisle, KV head and slot the share of layers, to three digits."""
    shares = torch.stack([aisle.double().mean(0) for aisle in slots.alive.split(AISLE)])  # [aisles, n_kv_heads, slots]
    shares = torch.where(slots.filled, shares.mul(1000).round() / 1000, EMPTY)
    return {str(block): shares[..., block * size : (block + 1) * size].tolist() for block in held}

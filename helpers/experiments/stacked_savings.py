"""Every lever at once: four sub-agents on one worksheet, and what their caches hold under each saving, measured.

The agents read the same formulas and are asked for different names, so that all of their prompt but its last word can
be shared. Each lever is added to those before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from helpers.arithmetic.footprint import KVShape
from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.judged import BLOCK_SIZE, judge
from helpers.decoding.loop import replay
from helpers.eviction import Compressor
from helpers.models.loading import gold_and_length
from helpers.models.worksheets import Worksheet


@dataclass(frozen=True)
class Levers:
    """Which savings are on.

    Attributes:
        grouped: one set of rows per KV head; otherwise one per query head, as without grouped-query attention, and
            then without sharing and eviction: the first line of the comparison, to which the others are added.
        kv_format: how rows are stored.
        shared: the agents share the blocks of their common prompt.
        compressor: evicts and compacts, or None.
    """

    grouped: bool = True
    kv_format: str | tuple[str, str] = "fp16"
    shared: bool = False
    compressor: Compressor | None = None

    def __post_init__(self) -> None:
        if not self.grouped and (self.shared or self.compressor):
            raise ValueError("grouped is False; rows per query head are measured without sharing and without eviction")


@dataclass(frozen=True)
class Outcome:
    """What four agents held at the end, and how many were right.

    Attributes:
        bytes_held: bytes of all blocks that any agent holds, shared ones once.
        right: agents whose thought and answer are the gold text, token for token.
        agents: how many there were.
    """

    bytes_held: int
    right: int
    agents: int


def ask_four(sheet: Worksheet) -> list[Worksheet]:
    """The worksheet with four different questions: the names of four of its formulas, from early to late."""
    words = sheet.thought.split()
    lines = [words[i : i + 11] for i in range(0, len(words) - 2, 11)]
    asked = [lines[len(lines) * k // 4] for k in range(4)]
    prompt, thought = sheet.prompt.rsplit(" ", 1)[0], " ".join(words[:-1])
    return [replace(sheet, prompt=f"{prompt} {w[0]}", thought=f"{thought} {w[0]}", answer=w[9]) for w in asked]


def run_agents(reasoner: Any, sheets: list[Worksheet], levers: Levers) -> Outcome:
    """Let the agents think, one after the other, and keep their caches until the last has answered."""
    token_ids, prompt_length = gold_and_length(reasoner, sheets)
    parent = _read_prompt(reasoner.model, token_ids[:1, : prompt_length - 1], levers, token_ids.numel())
    caches, right = [], 0
    for ids in token_ids:
        prompt = ids[None, : prompt_length - 1]
        cache = parent.fork() if levers.shared else _read_prompt(reasoner.model, prompt, levers, len(ids))
        right += sum(judge(reasoner, ids[None], prompt_length, cache, levers.compressor).sheets_right)
        caches.append(cache if levers.grouped else _with_rows_per_query_head(cache, reasoner.model))
    parent.reset()
    return Outcome(_bytes_held(caches), right, len(sheets))


def predict_bytes(shape: KVShape, group_size: int, prompt: int, decoded: int, agents: int, levers: Levers) -> int:
    """What ``run_agents`` must find, from a closed form that knows no tensor.

    Args:
        shape: the model's.
        group_size: query heads per KV head.
        prompt: tokens of the prompt; all but the last are read before an agent forks.
        decoded: tokens of thought in the cache at the end.
        agents: how many there are.
        levers: which savings are on.
    """
    shared = (prompt - 1) // BLOCK_SIZE if levers.shared else 0  # full blocks; a partly filled one is copied
    own = blocks_for(prompt + _alive(decoded, levers.compressor), BLOCK_SIZE) - shared
    block = shape.bytes(BLOCK_SIZE, kv_format=levers.kv_format) * (1 if levers.grouped else group_size)
    return (shared + agents * own) * block


def _alive(decoded: int, compressor: Compressor | None) -> int:
    """Rows of the thought that hold blocks at its end: the saw-tooth; all, if survivors stay where they are."""
    if compressor is None or not compressor.compact or decoded < compressor.budget + compressor.interval:
        return decoded
    return compressor.budget + (decoded - compressor.budget) % compressor.interval


def _read_prompt(model: Any, token_ids: torch.Tensor, levers: Levers, room: int) -> PagedCache:
    """A cache with the prompt read, in a pool with room for so many tokens more."""
    blocks = 4 + blocks_for(token_ids.shape[1] + room, BLOCK_SIZE)
    cache = PagedCache.for_model(model, blocks, BLOCK_SIZE, levers.kv_format)
    replay(model, token_ids, token_ids.shape[1], cache)
    return cache


def _bytes_held(caches: list[PagedCache]) -> int:
    """Bytes of the blocks that the caches hold in their pools, a block that several list once."""
    stats = caches[0].stats()
    pools = {id(cache.pool): cache.pool for cache in caches}.values()
    return sum(pool.num_held_blocks for pool in pools) * (stats.bytes_held // stats.blocks_held)


def _with_rows_per_query_head(cache: PagedCache, model: Any) -> PagedCache:
    """The same rows as a model without grouped queries would keep them: each query head has a copy of its own."""
    shape, n_heads = cache.shape, model.config.num_attention_heads
    wide = KVShape(shape.n_layers, n_heads, shape.head_dim)
    formats = tuple(store.kv_format for store in cache.stores)
    copy = PagedCache(wide, cache.pool.num_blocks, BLOCK_SIZE, formats)
    for layer in range(shape.n_layers):
        rows = (states.repeat_interleave(n_heads // shape.n_kv_heads, dim=1) for states in cache.read(layer))
        copy.update(*rows, layer)
    return copy

"""What a cache takes beside its rows, counted beforehand: the bytes of one slot, of one sequence, and of one step."""

from __future__ import annotations

from typing import Any

import torch

from helpers.arithmetic.footprint import KVShape
from helpers.cache.block_pool import blocks_for
from helpers.cache.row_store import PLAIN
from helpers.measuring.costs import weight_bytes


def sequence_bytes(model: Any, rows: int, block_size: int, scored: bool, gathered: bool = True) -> int:
    """Bytes that one sequence of so many rows takes: its blocks, its part of the buffers, and its logits."""
    slots = block_size * blocks_for(rows, block_size)
    logits = 2 * model.config.vocab_size * model.dtype.itemsize
    return slots * slot_bytes(KVShape.from_config(model.config), model.dtype.itemsize, scored, gathered) + logits


def slot_bytes(shape: KVShape, itemsize: int, scored: bool, gathered: bool = True) -> int:
    """Bytes that one slot costs in all: K and V, a note of its token, its number, and what works on it.

    Its number stands in a list, which is there twice while it grows. Where attention gathers, the rows of one layer at
    a time lie in buffers an eighth larger than needed. Where rows are scored, the keys of one layer are gathered in any
    case (what scoring makes of them is made for a few sequences at a time); and until rows have moved, each has its
    slot and its score written down.
    """
    width, rows = shape.n_kv_heads * shape.head_dim, shape.n_layers * shape.n_kv_heads
    row = 2 * width * itemsize
    buffers = (row if gathered else row // 2 if scored else 0) * 9 // 8
    work = rows * (8 + 4 + 4) if scored else 0
    return row * shape.n_layers + 4 * rows + 2 * 8 + buffers + work


def weight_bytes_read(model: Any) -> int:
    """Bytes of weights that a step reads: all but the input embedding, of which it reads a few rows."""
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    return weight_bytes(model) - (0 if embedding is head else embedding.nbytes)


def format_of(dtype: torch.dtype) -> str:
    """The KV format that stores numbers of a dtype as they are."""
    return next(name for name, plain in PLAIN.items() if plain == dtype)

"""What a cache hands to attention beside the tensors: whose rows these are, and where they lie."""

from __future__ import annotations

from contextvars import ContextVar

import torch

from helpers.cache.paged_kernels import Blocks, Reader

# How attention reads a step of one token: with a reader, where the rows lie; without one they are gathered for it.
reading: ContextVar[Reader | None] = ContextVar("reading", default=None)
# The keys that a PagedCache returned last, and where its rows lie if these are the new ones alone. Attention sees
# tensors only; by these keys it knows whose they are.
last_keys: ContextVar[tuple[torch.Tensor, Blocks | None] | None] = ContextVar("last_keys", default=None)
# Set when transformers asks a PagedCache for the sizes of the mask that it is about to make.
mask_is_ours: ContextVar[bool] = ContextVar("mask_is_ours", default=False)


def is_of_paged_cache(keys: torch.Tensor) -> bool:
    """True for the keys that a ``PagedCache.update`` has just returned."""
    last = last_keys.get()
    return last is not None and last[0] is keys


def blocks_behind(keys: torch.Tensor) -> Blocks | None:
    """Where the rows lie, if ``keys`` are the new ones that a ``PagedCache.update`` has just returned without them."""
    last = last_keys.get()
    return last[1] if last is not None and last[0] is keys else None


def take_mask_owner() -> bool:
    """True, once, if a ``PagedCache`` was the last to be asked for the sizes of a mask, and has had no rows since."""
    is_ours = mask_is_ours.get()
    mask_is_ours.set(False)
    return is_ours

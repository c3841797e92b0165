"""The attention function that the course registers with transformers, under the name ``kv_memory``.

It attends with SDPA, which never stores the grid of attention weights (one weight per query and row). Only when a
policy asks for that grid is it computed, and what it cost is counted: the second wall, in code.

The function sees what transformers passes it: rotated queries, and the keys and values that the cache returned. The
cache says through a context variable which one it is; the policy that watches a run is another.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from helpers.cache.handover import blocks_behind, is_of_paged_cache, reading, take_mask_owner
from helpers.cache.paged_kernels import Reader, installed_reader
from helpers.measuring.trace import WeightsCost

NAME = "kv_memory"
# What a model may ask of attention beyond softmax(q k) v, by the keyword under which transformers passes it.
UNSUPPORTED = {
    "softcap": "caps its logits (softcap)",
    "s_aux": "has attention sinks as parameters (s_aux)",
    "position_bias": "adds a position bias to its logits",
}
PADDING = "the attention mask hides rows (padding); a PagedCache takes prompts of one length, unpadded"


class Watcher(Protocol):
    """Who looks on while a model attends: a policy, or the calibration of one."""

    needs_queries: bool
    needs_weights: bool

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        """Rotated queries ``[batch, n_heads, new, head_dim]``, and the factor of their products with keys."""

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        """Attention weights ``[batch, n_heads, new, rows]``; each row of the grid adds up to 1."""


_watching: ContextVar[tuple[Watcher, WeightsCost] | None] = ContextVar("watching", default=None)


@contextmanager
def attending(
    model: Any, watcher: Watcher | None = None, cost: WeightsCost | None = None, reader: Reader | None = None
) -> Iterator[None]:
    """Let the model attend through this file's function; ``watcher`` sees what it needs, ``cost`` adds up its price.

    A step of one token reads a ``PagedCache`` by ``reader`` in place, or by the paged kernel that is installed; where
    there is neither, and wherever that cannot be (a watcher wants weights, say), rows are gathered.

    Raises:
        ValueError: if the model does not let its attention be chosen, or it is of a kind that is not computed here.
    """
    _require_plain_model(model)
    before = model.config._attn_implementation
    token = _watching.set(None if watcher is None else (watcher, cost or WeightsCost()))
    wants_weights = watcher is not None and watcher.needs_weights
    in_place = reading.set(None if wants_weights else reader or installed_reader(model.device, model.dtype))
    try:
        _choose(model, NAME)
        yield
    finally:
        reading.reset(in_place)
        _watching.reset(token)
        _choose(model, before)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it.

    Args:
        module: the attention layer; its ``layer_idx`` is read.
        query: ``[batch, n_heads, new, head_dim]``, rotated.
        key: ``[batch, n_kv_heads, rows, head_dim]``, rotated, as the cache returned it.
        value: likewise, not rotated.
        attention_mask: bool ``[batch, 1, new, rows]``, True for what is seen; None for all rows before a query.
        scaling: factor of the products, else 1 / sqrt(head_dim).
        kwargs: what else the model passes.

    Returns:
        The output ``[batch, new, n_heads, head_dim]``, and None: the weights go to a watcher.

    Raises:
        ValueError: if the model's attention is of a kind that this function does not compute, or the batch is padded.
    """
    _require_plain(module, key, attention_mask, kwargs)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    watcher, cost = _watching.get() or (None, None)
    if watcher is not None and watcher.needs_queries:
        watcher.see_queries(module.layer_idx, query, scaling)
    if watcher is None or not watcher.needs_weights:
        output = _attend_without_grid(query, key, value, attention_mask, scaling)
    else:
        started = time.perf_counter()
        output, weights = attend_with_grid(query, key, value, attention_mask, scaling)
        cost.add(time.perf_counter() - started, weights.nbytes)
        watcher.see_weights(module.layer_idx, weights)
    return output.transpose(1, 2).contiguous(), None


def attend_with_grid(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention written out: the output ``[batch, n_heads, new, head_dim]`` and the grid of weights behind it.

    The grid is ``[batch, n_heads, new, rows]``; at 32,768 queries of 32 heads one layer's takes 128 GiB in float32.
    """
    batch, n_heads, new, _ = query.shape
    n_kv_heads, rows = key.shape[1:3]
    grouped = query.unflatten(1, (n_kv_heads, n_heads // n_kv_heads))  # [batch, n_kv_heads, group_size, new, head_dim]
    logits = (grouped @ key[:, :, None].transpose(-1, -2)).float() * scaling
    if mask is None and new > 1:
        mask = torch.ones(new, rows, dtype=torch.bool, device=query.device).tril()[None, None]
    if mask is not None:
        logits = logits.masked_fill(~mask[:, :, None], -torch.inf)
    weights = logits.softmax(-1).nan_to_num(0.0)  # a query that sees nothing, which is padding, has no weights
    output = weights.to(value.dtype) @ value[:, :, None]
    return output.flatten(1, 2), weights.view(batch, n_heads, new, rows)


def _attend_without_grid(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> torch.Tensor:
    if (blocks := blocks_behind(key)) is not None:
        return reading.get()(query, blocks, scaling)
    if query.shape[2] == 1:
        # One query per head: the heads that share a KV head are its queries, and no key is repeated for them.
        grouped = query.view(query.shape[0], key.shape[1], -1, query.shape[-1])
        output = scaled_dot_product_attention(grouped, key, value, mask, scale=scaling)
        return output.reshape(*query.shape[:3], value.shape[-1])
    return scaled_dot_product_attention(
        query, key, value, mask, is_causal=mask is None, scale=scaling, enable_gqa=query.shape[1] != key.shape[1]
    )


def _require_plain(module: torch.nn.Module, key: torch.Tensor, mask: torch.Tensor | None, asked: dict) -> None:
    for keyword, what in UNSUPPORTED.items():
        if asked.get(keyword) is not None:
            raise ValueError(f"{type(module).__name__} {what}, which the course's attention does not compute")
    if mask is None or asked.get("sliding_window") or not is_of_paged_cache(key):
        return
    if not mask[:, :, -1].all():  # the last query comes after every row and sees them all, but for padding
        raise ValueError(PADDING)


def _require_plain_model(model: Any) -> None:
    """Refuse before the first row is cached what ``_require_plain`` would refuse behind it."""
    for module in model.modules():
        for attribute, keyword in (("attn_logit_softcapping", "softcap"), ("sinks", "s_aux")):
            if getattr(module, attribute, None) is not None:
                what = f"{type(module).__name__} {UNSUPPORTED[keyword]}"
                raise ValueError(f"{what}, which the course's attention does not compute")


def _mask(*args: Any, attention_mask: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor | None:
    """The mask that transformers makes for SDPA; made before a row is cached, so padding is refused in time."""
    if take_mask_owner() and attention_mask is not None and not attention_mask.all():
        raise ValueError(PADDING)
    return sdpa_mask(*args, attention_mask=attention_mask, **kwargs)


def _choose(model: Any, implementation: str) -> None:
    if model.config._attn_implementation == implementation:
        return
    model.set_attn_implementation(implementation)
    if model.config._attn_implementation != implementation:
        raise ValueError(f"{type(model).__name__} does not let its attention be chosen (AttentionInterface)")


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, _mask)

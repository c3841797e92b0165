"""A model with other KV heads: the matrices that make its keys and values are remade, all others are shared."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch

Remake = Callable[[torch.Tensor, int, int, int], torch.Tensor]
MAKERS = (".k_proj.", ".v_proj.")  # make keys and values in every family that the course holds


def with_kv_heads(model: Any, n_kv_heads: int, remake: Remake) -> Any:
    """A twin of the model that keeps as many KV heads; the model stays as it is.

    Args:
        model: a causal language model of transformers whose keys and values are made by ``k_proj`` and ``v_proj``.
        n_kv_heads: of the twin; its query heads must be a multiple.
        remake: called with a matrix (or bias) ``[KV heads * head_dim, ...]``, the query heads, the KV heads that it
            has and those that it is to have; gives the twin's.

    Raises:
        ValueError: if the query heads are no multiple, or the model has no such matrices.
    """
    config, now = deepcopy(model.config), model.config.num_key_value_heads
    n_heads, state = config.num_attention_heads, dict(model.state_dict())
    if n_kv_heads < 1 or n_heads % n_kv_heads:
        raise ValueError(f"n_kv_heads is {n_kv_heads}; {n_heads} query heads cannot share so many evenly")
    names = [name for name in state if any(maker in name for maker in MAKERS)]
    if not names:
        raise ValueError(f"{type(model).__name__} makes keys and values by no k_proj and v_proj")
    config.num_key_value_heads = n_kv_heads
    state |= {name: remake(state[name], n_heads, now, n_kv_heads) for name in names}
    twin = type(model).from_pretrained(None, config=config, state_dict=state, dtype=model.dtype)
    twin.generation_config = model.generation_config
    return twin.to(model.device).eval()

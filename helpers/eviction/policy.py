"""What every eviction policy is: it looks on while a model decodes, and scores the rows of the cache when asked.

A policy knows rows and heads. It knows no blocks, and it moves nothing: the compressor does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from helpers.arithmetic.footprint import KVShape
from helpers.models.worksheets import Worksheet


@dataclass(frozen=True)
class Subject:
    """What a policy may ask for before a run.

    Attributes:
        model: the causal language model that is to run.
        token_ids: a text to calibrate on, none of the run's own, ``[batch, tokens]``.
        worksheets: what the sequences of the batch work out, in order; None if it is something else.
    """

    model: Any
    token_ids: torch.Tensor
    worksheets: Sequence[Worksheet] | None = None


class Policy:
    """Base of all policies. A subclass must write ``score``; the rest is there for those that look on or remember.

    Attributes:
        needs_queries: whether ``see_queries`` is to be called.
        needs_weights: whether ``see_weights`` is to be called; attention then computes them, which costs.
        least_recent: rows at the end that the compressor must protect for this policy.
        heads_alike: whether all heads and layers score alike, so that every selection mode keeps the same rows.
    """

    needs_queries = False
    needs_weights = False
    least_recent = 0
    heads_alike = False

    @classmethod
    def prepare(cls, subject: Subject) -> Self | None:
        """The policy as it is compared with others, ready for runs; None if the subject lacks what it needs."""
        return cls()

    def begin(self, shape: KVShape, prompt_length: int, token_index: Callable[[int], torch.Tensor]) -> None:
        """A new run begins: forget the last one.

        Args:
            shape: the model's layers, KV heads and head_dim.
            prompt_length: tokens seen once the prompt is read; the first decoded token has this position.
            token_index: asked for a layer at any time, which token each of its rows alive holds,
                ``[batch, n_kv_heads, rows]``. At the beginning it knows the rows of earlier runs.

        Raises:
            ValueError: if the policy does not suit the model.
        """

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        """Rotated queries ``[batch, n_heads, new, head_dim]``, and the factor of their products with keys."""

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        """Attention weights ``[batch, n_heads, new, rows]`` of the new tokens over all rows alive, their own too."""

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """How much each row is worth keeping: ``[batch, n_heads or n_kv_heads, rows]``, finite, higher is better.

        Args:
            layer: the layer.
            keys: rotated keys of the rows alive, ``[batch, n_kv_heads, rows, head_dim]``, older tokens first.
            position: position of the last token read.
        """
        raise NotImplementedError(f"{type(self).__name__} must write score(layer, keys, position)")

    def kept(self, layer: int, keep: torch.Tensor) -> None:
        """Rows were evicted: of those alive these places are left, ``[batch, n_kv_heads, n_keep]``, ascending."""

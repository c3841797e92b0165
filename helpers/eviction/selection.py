"""From scores to the rows that are kept: z-scores, the maximum over a group of heads, and the four selection modes."""

from __future__ import annotations

import torch

SELECTIONS = ("shared", "union", "per_head", "per_layer_per_head")


def group_scores(scores: torch.Tensor, n_kv_heads: int) -> torch.Tensor:
    """One score per KV head: each head's scores as z-scores over the rows, then the maximum over its group.

    Heads differ in the scale of their scores; z-scores make them comparable (standard deviation over the rows, biased).

    Args:
        scores: ``[batch, n_heads, rows]``, or with ``n_kv_heads`` in place of ``n_heads``.
        n_kv_heads: KV heads, which must divide the heads.

    Returns:
        ``[batch, n_kv_heads, rows]``; 0 where all rows of a head score alike.
    """
    centred = scores - scores.mean(-1, keepdim=True)
    deviation = centred.square().mean(-1, keepdim=True).sqrt()
    alike = deviation <= 1e-6 * scores.abs().amax(-1, keepdim=True)  # what is left is rounding
    z_scores = torch.where(alike, 0, centred / deviation)
    return z_scores.unflatten(1, (n_kv_heads, -1)).amax(2)


def select(scores: torch.Tensor, count: int, selection: str) -> torch.Tensor:
    """The places of the ``count`` best rows, ascending; of rows that score alike the earlier is kept.

    ``per_layer_per_head`` lets every KV head of every layer choose. ``per_head`` takes the mean over layers, so that a
    head's choice holds in all of them. ``shared`` then takes the maximum over heads: one set for all. ``union`` is one
    set too, by the maximum over all heads of all layers at once: of what any head would keep, what one wants most (the
    mode of that name in the paper's code and in TensorRT-LLM).

    Args:
        scores: ``[n_layers, batch, n_kv_heads, rows]``, comparable between heads and layers.
        count: rows to keep, 0 to rows.
        selection: one of ``SELECTIONS``.

    Returns:
        ``[n_layers, batch, n_kv_heads, count]``.
    """
    best_first = _best_first(scores, selection)
    return best_first[..., :count].sort(dim=-1).values.expand(*scores.shape[:-1], -1)


def ranks(scores: torch.Tensor, selection: str) -> torch.Tensor:
    """The order in which rows stay: ``select`` keeps a row if and only if its rank is below the count, for any count.

    Args:
        scores: ``[n_layers, batch, n_kv_heads, rows]``, as for ``select``.
        selection: one of ``SELECTIONS``.

    Returns:
        ``[n_layers, batch, n_kv_heads, rows]``, 0 for the best; 1 in place of layers or heads that choose together.
    """
    return _best_first(scores, selection).argsort(dim=-1)


def _best_first(scores: torch.Tensor, selection: str) -> torch.Tensor:
    """Places of the rows, the best first; 1 in place of the layers or heads that choose together."""
    if selection in ("shared", "per_head"):
        scores = scores.mean(0, keepdim=True)
    if selection == "shared":
        scores = scores.amax(2, keepdim=True)
    if selection == "union":
        scores = scores.amax((0, 2), keepdim=True)
    return scores.sort(dim=-1, descending=True, stable=True).indices

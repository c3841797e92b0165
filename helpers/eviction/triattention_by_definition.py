"""TriAttention's score as the paper writes it, number by number: the reference for the one that is used."""

from __future__ import annotations

import torch


def score_as_defined(
    rotated_keys: torch.Tensor,
    q_mean: torch.Tensor,
    q_abs_mean: torch.Tensor,
    omega: torch.Tensor,
    position: int,
    offsets: list[int],
) -> torch.Tensor:
    """TriAttention's score as the paper writes it: keys turned back, then a cosine for every offset, band and key."""
    n_tokens = rotated_keys.shape[1]
    key_positions = torch.arange(position - n_tokens + 1, position + 1)
    rotated = torch.complex(*rotated_keys.double().chunk(2, dim=-1))
    keys = rotated * torch.polar(torch.ones(n_tokens, len(omega)).double(), -key_positions[:, None] * omega)
    keys = keys.repeat_interleave(len(q_mean) // len(keys), dim=0)  # [n_heads, n_tokens, head_dim / 2]
    angle = q_mean.angle()[:, None] - keys.angle()
    scores = torch.zeros(len(q_mean), n_tokens, dtype=torch.float64)
    for offset in offsets:
        distance = (position + offset - key_positions)[:, None]
        scores += (q_mean.abs()[:, None] * keys.abs() * torch.cos(distance * omega + angle)).sum(-1) / len(offsets)
    return scores + ((q_abs_mean - q_mean.abs())[:, None] * keys.abs()).sum(-1)

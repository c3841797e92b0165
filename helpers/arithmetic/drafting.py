"""Decoding with drafts: several tokens are guessed, and the model checks them in one pass.

A pass reads weights and cache once and gives one token more than it accepts, so tokens per second pass the ceiling of a
model that gives one token a pass. Source of the formula: Leviathan, Kalman and Matias, "Fast Inference from
Transformers via Speculative Decoding" (2023), equation 1.
"""

from __future__ import annotations

from typing import Any

from helpers.arithmetic.fields import read_fields
from helpers.arithmetic.footprint import KVShape, require_count
from helpers.arithmetic.layers import ROWLESS

PREDICTING = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers")  # layers that predict further


def tokens_per_pass(draft_tokens: int, acceptance: float) -> float:
    """Tokens that a pass gives on average: ``(1 - a^(n+1)) / (1 - a)``, from 1 to ``draft_tokens + 1``.

    Args:
        draft_tokens: tokens guessed for each pass; 0 for none.
        acceptance: the share of guesses that is accepted, from 0 to 1, the same for every place in the draft; the rest
            of a draft is thrown away after the first wrong one.

    Raises:
        ValueError: if one is out of range.
    """
    n = require_count("draft_tokens", draft_tokens, least=0)
    if not 0 <= acceptance <= 1:
        raise ValueError(f"acceptance is {acceptance}; it must be a share from 0 to 1")
    return sum(acceptance**i for i in range(n + 1))


def predicting_shape(config: Any) -> KVShape | None:
    """What a model's layers for multi-token prediction keep, or None if its config names none.

    They are counted as the model's last layer that keeps every token: so it is in DeepSeek-V3, GLM-4.5 and Qwen3.5.
    Where they slide (MiMo-V2, Step 3.5) that is an upper bound.

    Raises:
        ValueError: in one line, if the config's cache cannot be counted, or their number is none.
    """
    fields, shape = read_fields(config), KVShape.from_config(config)
    named = next((name for name in PREDICTING if fields.get(name) is not None), None)
    count = fields.count(named, least=0) if named else 0
    kept = [layer for layer in shape.layers if layer.kind not in ROWLESS]
    last = next((layer for layer in reversed(kept) if layer.grows), kept[-1] if kept else None)
    if not count or last is None:
        return None
    return KVShape(count, shape.n_kv_heads, shape.head_dim, (last,) * count)

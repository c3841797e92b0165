"""Windows: pieces of one length, one after the other, of the texts that a real model is measured on."""

from __future__ import annotations

import torch

from helpers.models.loading import Loaded
from helpers.records.texts import random_tokens, read_text

RANDOM = "random"  # tokens that are no text


def windows(loaded: Loaded, text: str, count: int, length: int) -> torch.Tensor:
    """The first windows of a text, ``[count, length]``, each to be read by itself.

    Args:
        loaded: whose tokens.
        text: a name in ``TEXTS``, or ``random``.
        count: of windows.
        length: tokens of each.

    Raises:
        ValueError: if there is no such text, or it is too short.
    """
    needed = count * length
    if text == RANDOM:
        tokens = random_tokens(needed, loaded.model.config.vocab_size)
    else:  # not longer than asked for: tokenizers warn of what no model could read at once
        tokens = loaded.tokenizer(read_text(text), truncation=True, max_length=needed).input_ids
    if len(tokens) < needed:
        raise ValueError(f"{text} has {len(tokens):,} tokens; {count} windows of {length} need {needed:,}")
    return torch.tensor(tokens, device=loaded.model.device).view(count, length)

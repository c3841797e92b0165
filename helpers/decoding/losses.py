"""How well a model foretells a text that it reads: the loss of each token, and whether it held it for the likeliest."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from helpers.decoding.loop import replay
from helpers.eviction import Compressor
from helpers.measuring.trace import Trace


def token_losses(
    model: Any, input_ids: torch.Tensor, prompt_length: int, cache: Any, compressor: Compressor | None = None
) -> tuple[torch.Tensor, Trace]:
    """Replay a text; of each token after the prompt, minus the logarithm of the probability that the model gave it.

    Args:
        model: as for ``replay``, and so are the others.
        input_ids: ``[batch, length]``.
        prompt_length: tokens that are read first, whose own loss is not asked.
        cache: a transformers cache.
        compressor: evicts rows as the text goes on.

    Returns:
        Losses in nats, float32 ``[batch, length - prompt_length]``, and the Trace.

    Raises:
        ValueError, OutOfBlocks: as ``replay``.
    """
    losses, place = [], prompt_length

    def note(logits: torch.Tensor) -> None:
        nonlocal place
        following = input_ids[:, place : place + logits.shape[1]]  # after the last token there is none
        losses.append(cross_entropy(logits[:, : following.shape[1]].float().mT, following, reduction="none"))
        place += logits.shape[1]

    trace = replay(model, input_ids, prompt_length, cache, compressor, on_logits=note)
    return torch.cat(losses, dim=1), trace


def foretold(trace: Trace, input_ids: torch.Tensor) -> torch.Tensor:
    """Of a text that was replayed, which tokens after the prompt the model held for the likeliest: ``[batch, tokens]``.

    Args:
        trace: of the replay.
        input_ids: what was replayed, prompts included.
    """
    said = torch.tensor(trace.tokens)[:, :-1]  # the last one comes after the text
    return said == input_ids[:, trace.prompt_length :]

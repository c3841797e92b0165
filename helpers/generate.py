"""The decode loop, written out: prefill, step, stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from helpers.footprint import require_count
from helpers.measure import Trace


@torch.inference_mode()
def generate(
    model: Any,
    input_ids: torch.Tensor,
    cache: Any,
    max_new_tokens: int = 512,
    on_step: Callable[[Trace], None] | None = None,
) -> Trace:
    """Decode greedily until every sequence has ended or ``max_new_tokens`` are decoded.

    Args:
        model: a causal language model of transformers.
        input_ids: the prompts, ``[batch, prompt_length]``, all of one length.
        cache: a transformers cache; it is filled. If it holds tokens already, the prompts go on from them.
        max_new_tokens: 1 or more.
        on_step: called with the Trace after each step.

    Returns:
        The Trace. A sequence that has ended goes on repeating its end token until all have.

    Raises:
        ValueError: if ``input_ids`` or ``max_new_tokens`` is out of range.
    """
    if input_ids.ndim != 2 or not input_ids.numel():
        raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}; it must be [batch, prompt_length], not empty")
    require_count("max_new_tokens", max_new_tokens, least=1)
    trace = Trace(input_ids.shape[1], [[] for _ in input_ids])
    end = torch.tensor(end_tokens(model), device=input_ids.device)
    last = input_ids[:, -1]
    ended = torch.zeros_like(last, dtype=torch.bool)
    step_input = input_ids  # prefill reads the whole prompt at once; every later step reads one token
    for _ in range(max_new_tokens):
        last = torch.where(ended, last, predict_next(model, step_input, cache))  # [batch]
        ended |= torch.isin(last, end)
        trace.record(last.tolist(), cache)
        if on_step is not None:
            on_step(trace)
        if ended.all():
            break
        step_input = last[:, None]
    return trace


def predict_next(
    model: Any, input_ids: torch.Tensor, cache: Any, attention_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Pass the tokens that the cache has not seen through the model; the likeliest next token of each, ``[batch]``.

    ``input_ids`` is ``[batch, new]``; a mask, where one is given, ``[batch, cached + new]`` with 0 for what is hidden.
    """
    output = model(input_ids, past_key_values=cache, attention_mask=attention_mask, use_cache=True, logits_to_keep=1)
    return output.logits[:, -1].argmax(-1)


def end_tokens(model: Any) -> list[int]:
    """The token ids that end a sequence, none or several, from the model's generation config."""
    end = model.generation_config.eos_token_id
    return [] if end is None else end if isinstance(end, list) else [end]

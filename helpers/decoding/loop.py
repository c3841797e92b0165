"""The decode loop, written out (prefill, step, stop), and its twin that is fed the right tokens in chunks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from helpers.arithmetic.footprint import require_count
from helpers.cache.attention import attending
from helpers.cache.paged_cache import PagedCache
from helpers.eviction import Compressor
from helpers.measuring.trace import Trace

CHUNK = 128  # tokens that a replay reads at once where no compressor says otherwise


@torch.inference_mode()
def generate(
    model: Any,
    input_ids: torch.Tensor,
    cache: Any,
    compressor: Compressor | None = None,
    max_new_tokens: int = 512,
    on_step: Callable[[Trace], None] | None = None,
) -> Trace:
    """Decode greedily until every sequence has ended or ``max_new_tokens`` are decoded.

    Args:
        model: a causal language model of transformers.
        input_ids: the prompts, ``[batch, prompt_length]``, all of one length.
        cache: a transformers cache, which is filled. If it holds tokens already, the prompts go on from them.
        compressor: evicts rows as the thought grows; it needs a ``PagedCache``.
        max_new_tokens: 1 or more.
        on_step: called with the Trace after each step, a compression included.

    Returns:
        The Trace. A sequence that has ended goes on repeating its end token until all have.

    Raises:
        ValueError, OutOfBlocks: if an argument does not suit the others; if the pool is too small. The cache is usable.
    """
    trace = _new_trace(input_ids, "prompt_length")
    require_count("max_new_tokens", max_new_tokens, least=1)
    end = torch.tensor(end_tokens(model), device=input_ids.device)
    last, ended = input_ids[:, -1], torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
    step_input = input_ids  # prefill reads the whole prompt at once; every later step reads one token
    with _run(model, cache, compressor, trace):
        for _ in range(max_new_tokens):
            last = torch.where(ended, last, predict_next(model, step_input, cache))  # [batch]
            ended |= torch.isin(last, end)
            _finish_pass(trace, last[:, None], cache, compressor)
            if on_step is not None:
                on_step(trace)
            if ended.all():
                break
            step_input = last[:, None]
    return trace


@torch.inference_mode()
def replay(
    model: Any,
    input_ids: torch.Tensor,
    prompt_length: int,
    cache: Any,
    compressor: Compressor | None = None,
    on_logits: Callable[[torch.Tensor], None] | None = None,
) -> Trace:
    """Read a text that is known, in chunks, and note at each token of it what the model would have said next.

    After each chunk the cache holds what it would hold had the model decoded these tokens: a chunk ends wherever the
    compressor acts. Where all of ``tokens`` equal the text, ``generate`` would have written it.

    Args:
        model: a causal language model of transformers.
        input_ids: prompts and the decoded tokens after them, ``[batch, length]``, all of one length.
        prompt_length: tokens of the prompt, 1 to length.
        cache: as for ``generate``.
        compressor: as for ``generate``.
        on_logits: called with the logits of each chunk, ``[batch, tokens, vocabulary]``, of what follows the prompt on.

    Returns:
        The Trace, an entry per chunk. ``tokens[sequence]``: what follows the prompt, ..., what follows the last token.

    Raises:
        ValueError, OutOfBlocks: as ``generate``.
    """
    trace, length = _new_trace(input_ids, "length", prompt_length), input_ids.shape[1]
    _require_prompt(prompt_length, length)
    with _run(model, cache, compressor, trace):
        first, chunk, logits_to_keep = 0, prompt_length, 1
        while first < length:
            part = input_ids[:, first : first + chunk]
            logits = model(part, past_key_values=cache, use_cache=True, logits_to_keep=logits_to_keep).logits
            if on_logits is not None:
                on_logits(logits)
            _finish_pass(trace, logits.argmax(-1), cache, compressor)
            first, logits_to_keep = first + chunk, 0  # from now on all of them
            chunk = min(compressor.interval, compressor.room(cache)) if compressor else CHUNK
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


def _run(model: Any, cache: Any, compressor: Compressor | None, trace: Trace) -> AbstractContextManager:
    """What holds during a run: over a paged cache the course's attention is used, which shows the policy its share."""
    if compressor is not None:
        if not isinstance(compressor, Compressor):
            raise ValueError(f"compressor is {compressor!r}; it must be a Compressor or None")
        compressor.begin(cache, trace.prompt_length)
        return attending(model, compressor.policy, trace.weights_cost)
    return attending(model) if isinstance(cache, PagedCache) else nullcontext()


def _finish_pass(trace: Trace, tokens: torch.Tensor, cache: Any, compressor: Compressor | None) -> None:
    trace.record(tokens.tolist(), cache)
    compression = compressor and compressor.after_pass(cache)
    if compression:
        trace.compressions[len(trace.seconds) - 1] = compression


def _new_trace(input_ids: torch.Tensor, length: str, prompt_length: int | None = None) -> Trace:
    if not isinstance(input_ids, torch.Tensor):
        raise ValueError(f"input_ids is a {type(input_ids).__name__}; it must be a tensor [batch, {length}]")
    if input_ids.ndim != 2 or not input_ids.numel():
        raise ValueError(f"input_ids has shape {tuple(input_ids.shape)}; it must be [batch, {length}], not empty")
    return Trace(prompt_length or input_ids.shape[1], [[] for _ in input_ids])


def _require_prompt(prompt_length: int, length: int) -> None:
    if not 1 <= require_count("prompt_length", prompt_length, least=1) <= length:
        raise ValueError(f"prompt_length is {prompt_length}; it may be 1 to {length}, the tokens of input_ids")

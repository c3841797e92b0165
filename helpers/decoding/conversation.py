"""A conversation with a chat model: each turn reads only what is new, on top of the cache of the turns before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from helpers.decoding.loop import end_tokens, generate
from helpers.eviction import Compressor
from helpers.measuring.trace import Trace
from helpers.models.loading import Loaded

HALF_A_CHARACTER = "\ufffd"  # how a tokenizer writes bytes whose rest is still to come
REPLY = "(reply)"  # stands for the last reply in the text that tells what a template writes behind it


def chat(
    loaded: Loaded,
    question: str,
    cache: Any,
    on_token: Callable[[str], None] | None = None,
    max_new_tokens: int = 256,
    compressor: Compressor | None = None,
    on_step: Callable[[Trace], None] | None = None,
) -> str:
    """Ask a chat model and get its reply; asked again with the same cache, it remembers what was said.

    Args:
        loaded: a model whose tokenizer has a chat template.
        question: what the person says in this turn.
        cache: a transformers cache of one sequence, a ``PagedCache`` too; an empty one begins a conversation.
        on_token: called with each new piece of the reply, as soon as its characters are whole.
        max_new_tokens: 1 or more; a reply that is not done by then is cut off, and the conversation can go on.
        compressor: evicts rows while the reply grows; what was in the cache before it counts as prompt.
        on_step: as for ``generate``; what the turn reads first is ``turn_ids``.

    Returns:
        The reply, without the token that ends it.

    Raises:
        ValueError: if the model is not a chat model; and as ``generate``.
        OutOfBlocks: as ``generate``. The turn is then lost in part: begin again with an empty cache.
    """
    ids = turn_ids(loaded, question, is_first=cache.get_seq_length() == 0)
    stream = _Stream(loaded.tokenizer, on_token, on_step)
    trace = generate(loaded.model, ids, cache, compressor, max_new_tokens, on_step=stream)
    said = trace.tokens[0]
    if said[-1] not in end_tokens(loaded.model):  # cut off: its last token has not been read yet
        generate(loaded.model, ids.new_tensor([said[-1:]]), cache, max_new_tokens=1)
    stream.finish()
    return stream.text


def turn_ids(loaded: Loaded, question: str, is_first: bool) -> torch.Tensor:
    """Token ids ``[1, new]`` of a turn: all that the template writes after the last reply, up to the next one.

    Raises:
        ValueError: if the tokenizer has no chat template.
    """
    tokenizer = loaded.tokenizer
    if not tokenizer.chat_template:
        raise ValueError(f"{loaded.name} is no chat model: its tokenizer has no chat template")
    turn = [{"role": "user", "content": question}]
    before = [] if is_first else [{"role": "user", "content": "."}, {"role": "assistant", "content": REPLY}]
    text = tokenizer.apply_chat_template(before + turn, tokenize=False, add_generation_prompt=True)
    new = text if is_first else text.partition(REPLY)[2]
    return tokenizer(new, add_special_tokens=False, return_tensors="pt").input_ids.to(loaded.model.device)


class _Stream:
    """Follows a run as ``on_step`` and passes on its text piece by piece, in whole characters."""

    def __init__(
        self, tokenizer: Any, on_token: Callable[[str], None] | None, on_step: Callable[[Trace], None] | None
    ) -> None:
        self.tokenizer, self.on_token, self.on_step, self.text = tokenizer, on_token, on_step, ""

    def __call__(self, trace: Trace) -> None:
        self._whole = self.tokenizer.decode(trace.tokens[0], skip_special_tokens=True)
        if not self._whole.endswith(HALF_A_CHARACTER):
            self._pass_on()
        if self.on_step is not None:
            self.on_step(trace)

    def finish(self) -> None:
        """Pass on what is left where a reply was cut off within a character."""
        self._pass_on()

    def _pass_on(self) -> None:
        piece, self.text = self._whole[len(self.text) :], self._whole
        if piece and self.on_token is not None:
            self.on_token(piece)

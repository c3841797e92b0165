"""How often the reasoner is right: greedy, free-running, on worksheets that training never saw."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from helpers.decoding.loop import generate, predict_next
from helpers.models.worksheets import Worksheet, grade

BATCH = 25  # of equal length; more would only make the growing cache slower to copy


def share_right(model: Any, tokenizer: Any, worksheets: list[Worksheet], visible: int | None = None) -> float:
    """Share of worksheets, all of one length, that the model answers rightly, from 0 to 1.

    With ``visible``, all but the prompt and the last so many tokens of the thought are hidden from attention: a model
    that still answers did not need its memory.
    """
    right = 0
    for start in range(0, len(worksheets), BATCH):
        batch = worksheets[start : start + BATCH]
        right += sum(map(grade, batch, complete(model, tokenizer, batch, visible)))
    return right / len(worksheets)


def complete(model: Any, tokenizer: Any, worksheets: list[Worksheet], visible: int | None = None) -> list[str]:
    """The model's own thought and answer for each worksheet, all of one length, as text."""
    prompts = tokenizer([sheet.prompt for sheet in worksheets], return_tensors="pt").input_ids.to(model.device)
    steps = len(worksheets[0].thought.split()) + 2  # the answer and <eos>
    if visible is None:
        tokens = generate(model, prompts, DynamicCache(config=model.config), max_new_tokens=steps).tokens
    else:
        tokens = _generate_half_blind(model, prompts, steps, visible)
    return [tokenizer.decode(ids, skip_special_tokens=True) for ids in tokens]


@torch.inference_mode()
def _generate_half_blind(model: Any, prompts: torch.Tensor, steps: int, visible: int) -> list[list[int]]:
    cache, decoded = DynamicCache(config=model.config), []
    step_input = prompts
    for step in range(steps):
        mask = torch.ones(len(prompts), prompts.shape[1] + step, dtype=torch.long, device=prompts.device)
        mask[:, prompts.shape[1] : max(prompts.shape[1], mask.shape[1] - visible)] = 0
        step_input = predict_next(model, step_input, cache, attention_mask=mask)[:, None]
        decoded.append(step_input)
    return torch.cat(decoded, dim=1).tolist()

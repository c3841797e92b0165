"""Lesson 08's text, a step into holes, and the checks of its exercises with the mistakes that people make."""

from __future__ import annotations

import random
from typing import Any

import torch
from transformers import DynamicCache

from helpers.arithmetic.catalog import MODELS
from helpers.arithmetic.footprint import KVShape
from helpers.arithmetic.holes import Slots, fill_holes, slide_forward
from helpers.models.loading import Loaded
from helpers.records.texts import read_text
from helpers.teaching.attempts import Complaint, need, require_function
from helpers.teaching.checks import Number, in_one_line

END = "some attention."  # of what is read
QUESTION = "\n\nThe boy who holds the rope is called"  # 10 tokens of SmolLM2, read after it


def ferry_ids(course: Loaded) -> torch.Tensor:
    """Token ids ``[1, tokens]`` of the beginning of the frozen English text, and of a sentence about it to go on with.

    Raises:
        ValueError: if the model has sliding windows, which forget rows by themselves.
    """
    if course.shape.count("sliding"):
        raise ValueError(f"{course.name} has layers with sliding windows; this lesson needs a model without")
    text = read_text("english")
    told = text[: text.index(END) + len(END)] + QUESTION
    return course.tokenizer(told, return_tensors="pt").input_ids.to(course.model.device)


@torch.inference_mode()
def read_into_holes(course: Loaded, text: torch.Tensor, slots: Slots, mask: list[list[bool]], count: int = 8) -> str:
    """What the model writes after a step of several tokens, some of which took the slots of evicted ones.

    Attention does not ask where rows lie, so those of the new tokens stand behind the others here; what the mask says
    of their slots is all that a place can do.

    Args:
        course: the model.
        text: token ids ``[1, tokens]``; the last ``len(mask)`` are the new ones.
        slots: which token stands in each slot after the step.
        mask: for each new token, which slots it may see.
        count: tokens to write.
    """
    old, device = text.shape[1] - len(mask), text.device
    cache = DynamicCache(config=course.model.config)
    course.model(text[:, :old], past_key_values=cache, logits_to_keep=1)
    kept = sorted(token for token in slots if token is not None and token < old)
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[:, :, kept], layer.values[:, :, kept]
    columns = [slots.index(token) for token in [*kept, *range(old, text.shape[1])]]
    seen = torch.tensor(mask, device=device)[None, None, :, columns]  # bool [1, 1, new, rows]
    step, places, written = text[:, old:], torch.arange(old, text.shape[1], device=device)[None], []
    for _ in range(count):
        options = {"past_key_values": cache, "position_ids": places, "attention_mask": seen}
        last = course.model(step, **options, logits_to_keep=1).logits[:, -1].argmax(-1)
        written.append(last.item())
        step, places, seen = last[:, None], places[:, -1:] + 1, None  # one token at a time may see all
    return course.tokenizer.decode(written)


# Copies of sliding a row of ten slots with three holes together.
TOY: Slots = [0, 1, None, 3, None, None, 6, 7, 8, 9]
check_copies = Number(slide_forward(TOY)[1], "copies") | {
    "that is filling the holes from the tail; sliding moves all that stand behind a hole.": fill_holes(TOY)[1],
    "0 and 1 stand before the first hole and stay where they are.": len(TOY) - TOY.count(None),
    "a hole is not copied; only rows are.": len(TOY) - 2,
}

# Tokens at which one layer's grid of Llama-3.1-8B is as large as the whole cache in fp16.
PER_TOKEN = KVShape.from_config(MODELS["Llama-3.1-8B"].config).bytes_per_token()
check_equal = Number(PER_TOKEN // (32 * 4), "tokens") | {
    "that is for the 8 KV heads; each of the 32 query heads has weights of its own.": PER_TOKEN // (8 * 4),
    "a weight takes 4 bytes here.": PER_TOKEN // (32 * 2),
    "that is with the grids of all 32 layers; the question is about one.": PER_TOKEN // (32 * 32 * 4),
    "that is for one head; each of the 32 has a grid.": PER_TOKEN // 4,
}


@in_one_line
def check_sees(answer: Any) -> str:
    """A function that makes the mask of a step with several tokens from labels, the positions of the rows."""
    require_function(answer)
    for seed in range(4):
        _try(answer, seed)
    return "4 rows of slots in 4 orders."


def _try(sees: Any, seed: int) -> None:
    """Complain unless the reader's mask is right for one order of the rows."""
    n_rows, n_new = 9 + seed, 3
    order = list(range(n_rows))
    random.Random(seed).shuffle(order)
    rows, new = torch.tensor(order), torch.arange(n_rows - n_new, n_rows)
    right = torch.tensor([[row <= query for row in order] for query in new.tolist()])
    try:
        found = torch.as_tensor(sees(new.clone(), rows.clone()))
    except Exception as error:  # the reader's code may raise anything
        raise Complaint(f"it raises {type(error).__name__}: {error}") from error
    hint = "; one line per new token, one column per row" if found.shape == right.T.shape else ""
    shapes = f"{tuple(found.shape)}, not {tuple(right.shape)}"
    need(found.shape == right.shape, f"the mask has shape {shapes}{hint}.")
    if not torch.equal(found.bool(), right):
        raise Complaint(_diagnose(found.bool(), rows, new))


def _diagnose(found: torch.Tensor, rows: torch.Tensor, new: torch.Tensor) -> str:
    places = torch.arange(len(rows))
    mistakes = {
        "a token must see itself; yours sees only older ones.": rows[None] < new[:, None],
        "the other way round: a token sees what is not newer than itself.": rows[None] >= new[:, None],
        "it goes by place; ask the labels instead.": places[None] <= new[:, None],
        "all is seen; a new token must not see those that are newer still.": torch.ones_like(found),
    }
    for message, mask in mistakes.items():
        if torch.equal(found, mask):
            return message
    line, column = (found != (rows[None] <= new[:, None])).nonzero()[0].tolist()
    return f"token {new[line]} and the row of token {rows[column]}: yours says {bool(found[line, column])}."

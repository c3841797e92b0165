"""Checks of the exercises of lesson 08: the right answer, and the mistakes that people make on the way."""

from __future__ import annotations

import random
from typing import Any

import torch

from helpers.arithmetic.catalog import GiB
from helpers.arithmetic.holes import fill_holes, slide_forward
from helpers.teaching.attempts import Complaint, need, require_function
from helpers.teaching.checks import Number, in_one_line

# Copies of sliding a row of ten slots with three holes together.
TOY = [0, 1, None, 3, None, None, 6, 7, 8, 9]
check_copies = Number(slide_forward(TOY)[1], "copies") | {
    "that is filling the holes from the tail; sliding moves all that stand behind a hole.": fill_holes(TOY)[1],
    "0 and 1 stand before the first hole and stay where they are.": len(TOY) - TOY.count(None),
    "a hole is not copied; only rows are.": len(TOY) - 2,
}

# GiB of one layer's grid when Llama-3.1-8B reads 32,768 tokens at once.
check_grid = Number(128, "GiB") | {
    "that is for the 8 KV heads; each of the 32 query heads has weights of its own.": 32,
    "a weight takes 4 bytes here.": 64,
    "that is for all 32 layers; the question is about one.": 4_096,
    "that is one query's row of the grid, for all heads; there are 32,768 queries.": 32 * 32_768 * 4 / GiB,
    "that is in GB; a GiB is 1,073,741,824 bytes.": 32 * 32_768**2 * 4 / 1e9,
}


@in_one_line
def check_sees(answer: Any) -> str:
    """A function that makes the mask of a step with several tokens from noted positions."""
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
        "it goes by place; ask for the noted positions instead.": places[None] <= new[:, None],
        "all is seen; a new token must not see those that are newer still.": torch.ones_like(found),
    }
    for message, mask in mistakes.items():
        if torch.equal(found, mask):
            return message
    line, column = (found != (rows[None] <= new[:, None])).nonzero()[0].tolist()
    return f"token {new[line]} and the row of token {rows[column]}: yours says {bool(found[line, column])}."

"""A fact told early, and what SmolLM2 says when it is asked: ``python -m helpers.experiments.told_early``.

The conversations are those of ``smollm2_tasks.facts``, under the policies, budgets and modes of the sweep. Recorded are
the words that come out, and how many of the model's KV heads still have a token's row when the question is asked.
"""

from __future__ import annotations

from typing import Any

import torch
from tqdm import tqdm

from helpers.eviction import Compressor
from helpers.eviction.recorder import Recorder
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.smollm2_sweep import INTERVAL, NO_EVICTION, RECENT, SHARES, Cell, cells, prepared, read_under
from helpers.experiments.smollm2_tasks import FACTS, Task, facts, smollm2
from helpers.records.garage import packed


def measure(cell: Cell) -> dict[str, Any]:
    """Per conversation what is said under a cell of the sweep, and the heads that still have each token's row."""
    task, recorder, compressor = facts(), None, None
    if cell.policy != NO_EVICTION:
        recorder, budget = Recorder(prepared(cell.policy)), round(cell.share * task.token_ids.shape[1])
        compressor = Compressor(recorder, budget, INTERVAL, cell.selection, cell.compact, False, RECENT)
    _, trace = read_under(compressor, task)
    likeliest = torch.tensor(trace.tokens)[:, :-1]  # of every token but the first
    return {
        "policy": cell.policy,
        "share": cell.share,
        "selection": cell.selection,
        "said": [said(task, likeliest, i) for i in range(len(FACTS))],
        "heads_left": [packed(heads_left(task, recorder, i).numpy()) for i in range(len(FACTS))],
    }


def said(task: Task, likeliest: torch.Tensor, text: int) -> str:
    """The answer as far as the model would have given it, up to the first token that is another.

    Args:
        task: the conversations.
        likeliest: of every token but the first, the one that the model held for the likeliest, ``[texts, tokens]``.
        text: which conversation.
    """
    wanted, found = (ids[text][task.counted[text, 1:]].tolist() for ids in (task.token_ids[:, 1:], likeliest))
    right = next((i for i, pair in enumerate(zip(wanted, found, strict=True)) if pair[0] != pair[1]), len(wanted))
    return smollm2().tokenizer.decode(found[: right + 1]).strip()


def heads_left(task: Task, recorder: Recorder | None, text: int) -> torch.Tensor:
    """How many KV heads, of all layers, have each token's row when the answer's first word is sought: ``[tokens]``.

    Args:
        task: the conversations.
        recorder: what was left of them; none if nothing was evicted.
        text: which conversation.
    """
    shape, asks = smollm2().shape, int(task.counted[text].nonzero()[0]) - 1
    left = torch.full((task.token_ids.shape[1],), shape.n_layers * shape.n_kv_heads)
    if recorder:
        last = max(position for position in recorder.left if position < asks)
        tokens = torch.cat([of_layer[text].flatten() for of_layer in recorder.left[last].values()])
        left[: last + 1] = tokens.bincount(minlength=last + 1)
    return left[: asks + 1]


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("told_early", __doc__)
    options = parser.parse_args()
    head, task = new_report(command_of(parser, options)), facts()
    todo = [cell for cell in cells() if cell.task == "facts"]
    found = {
        "shares": SHARES["facts"],
        "told": [told.strip() for told, *_ in FACTS],
        "asked": [[question, beginning] for _, question, beginning, _ in FACTS],
        "answers": [answer.strip() for *_, answer in FACTS],
        "length": task.token_ids.shape[1],
        "told_at": [list(place_of(task.token_ids[i], told)) for i, (told, *_) in enumerate(FACTS)],
        "n_heads": smollm2().shape.n_layers * smollm2().shape.n_kv_heads,
        "cells": [measure(cell) for cell in tqdm(todo, unit="cell")],
    }
    finish(head | found, options)


def place_of(token_ids: torch.Tensor, told: str) -> tuple[int, int]:
    """First token of what is told, and the first after it."""
    ids = smollm2().tokenizer(told, add_special_tokens=False).input_ids
    starts = [i for i in range(len(token_ids)) if token_ids[i : i + len(ids)].tolist() == ids]
    return starts[0], starts[0] + len(ids)


if __name__ == "__main__":
    main()

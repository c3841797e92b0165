"""Which of the needed rows a compressor left, in the head that looks up: ``python -m helpers.experiments.recall``.

The reasoner looks a value up by one head. When that head has no copy of the value left, nothing else can find it. So
the share of look-ups that have a copy left (the recall) predicts the share that comes out right. The result is saved
as data, with the machine and the versions, for the lessons to plot.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from helpers.cache.attention import attending
from helpers.eviction import POLICIES, Compressor
from helpers.eviction.recorder import Recorder
from helpers.eviction.selection import SELECTIONS
from helpers.experiments.sweep import INTERVAL, N_LINES, SEED, Cell, prepare, reasoner, subject
from helpers.machine.description import describe_machine
from helpers.models.worksheets import Worksheet
from helpers.records.measured import RECORDS

DATA = RECORDS / "recall.json"
SHARES = (0.5, 0.25)


@dataclass(frozen=True)
class Lookup:
    """One look-up of a formula's value: the thought restates it at ``place``; ``copies`` are where it stands before.

    Constants are left out: their values stand in the prompt, which is protected.

    Attributes:
        sheet: number of the worksheet.
        place: index in the thought of the token that restates the value; the token before it is the name asked for.
        copies: indices in the thought of the value's earlier tokens, the first one to the latest.
    """

    sheet: int
    place: int
    copies: tuple[int, ...]


def find_lookups(sheets: list[Worksheet]) -> list[Lookup]:
    """Every look-up of a formula's value, in the order of the text."""
    found = []
    for number, sheet in enumerate(sheets):
        words = sheet.thought.split()
        formulas = {words[i - 1] for i, word in enumerate(words) if word == ":"}
        copies: dict[int, list[int]] = {}
        for at, uses in sheet.needed.items():
            for place in uses:
                copies.setdefault(place, []).append(at)
        found += [Lookup(number, p, tuple(copies[p])) for p in sorted(copies) if words[p - 1] in formulas]
    return found


def lookup_weights(model: Any, token_ids: torch.Tensor, prompt_length: int, lookups: list[Lookup]) -> torch.Tensor:
    """How much of its attention each head gives, at a look-up, to copies of the value: ``[n_layers, n_heads]``.

    Args:
        model: the reasoner.
        token_ids: prompts, thoughts and answers of the worksheets, ``[sheets, tokens]``.
        prompt_length: tokens of each prompt.
        lookups: what ``find_lookups`` found in the same worksheets.
    """
    watcher = _LookupWatcher(prompt_length, lookups)
    with torch.inference_mode(), attending(model, watcher):
        model(token_ids, use_cache=False, logits_to_keep=1)
    return torch.stack([watcher.means[layer] for layer in sorted(watcher.means)])


class _LookupWatcher:
    """Takes from each layer's grid of weights what the look-ups give to copies, and forgets the grid."""

    needs_queries, needs_weights = False, True

    def __init__(self, prompt_length: int, lookups: list[Lookup]) -> None:
        self.prompt_length, self.lookups, self.means = prompt_length, lookups, {}

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        """Never called."""

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        """Weights ``[batch, n_heads, tokens, tokens]``; the query that looks up stands one token before the place."""
        to_copies = [
            weights[lookup.sheet, :, self.prompt_length + lookup.place - 1]
            .take_along_dim(self.prompt_length + torch.tensor(lookup.copies)[None], dim=-1)
            .sum(-1)
            for lookup in self.lookups
        ]
        self.means[layer] = torch.stack(to_copies).mean(0)


def has_copy(recorder: Recorder, lookups: list[Lookup], prompt_length: int, layer: int, kv_head: int) -> list[bool]:
    """Whether a KV head still had a copy of the value at each look-up."""
    sets: dict[tuple[int, int], set[int]] = {}
    found = []
    for lookup in lookups:
        query = prompt_length + lookup.place - 1
        last = max((position for position in recorder.left if position < query), default=-1)
        if last >= 0 and (last, lookup.sheet) not in sets:
            sets[last, lookup.sheet] = set(recorder.left[last][layer][lookup.sheet, kv_head].tolist())
        copies = (prompt_length + copy for copy in lookup.copies)
        found.append(any(copy > last or copy in sets[last, lookup.sheet] for copy in copies))
    return found


def share_of_values(recorder: Recorder, is_value: torch.Tensor, prompt_length: int) -> torch.Tensor:
    """Share of values among the decoded rows left after the last compression: ``[n_layers, n_kv_heads]``.

    Args:
        recorder: after a run.
        is_value: True for each token that is a value, ``[sheets, tokens]``.
        prompt_length: tokens of each prompt, which are not counted.
    """
    shares = []
    for _, tokens in sorted(recorder.left[max(recorder.left)].items()):
        values = is_value[:, None].expand(-1, tokens.shape[1], -1).gather(-1, tokens)
        decoded = tokens >= prompt_length
        shares.append((values & decoded).sum((0, 2)) / decoded.sum((0, 2)))
    return torch.stack(shares)


def measure(cell: Cell, head: tuple[int, int]) -> dict[str, Any]:
    """Replay the sweep's first worksheets under one cell: look-ups with a copy left in a KV head, and what came out.

    Args:
        cell: policy, budget and selection mode.
        head: layer and KV head.
    """
    exam = prepare(0)
    recorder, lookups = Recorder(POLICIES[cell.policy](subject(exam.sheets))), find_lookups(exam.sheets)
    judged = exam.judge(Compressor(recorder, round(cell.share * exam.decoded_length), INTERVAL, cell.selection))
    copies = torch.tensor(has_copy(recorder, lookups, exam.prompt_length, *head))
    came_out = torch.stack([judged.right[lookup.sheet, lookup.place] for lookup in lookups])
    return {
        "policy": cell.policy,
        "share": cell.share,
        "selection": cell.selection,
        "sheets_right": sum(judged.sheets_right),
        "with_copy": int(copies.sum()),
        "right_with_copy": int((copies & came_out).sum()),
        "right_without_copy": int((~copies & came_out).sum()),
        "values_among_kept": round(float(share_of_values(recorder, _values(), exam.prompt_length)[head]), 4),
    }


def report(cells: Iterable[Cell]) -> dict[str, Any]:
    """All cells, with how they were made."""
    batch = prepare(0)
    lookups = find_lookups(batch.sheets[:8])
    weights = lookup_weights(reasoner().model, batch.token_ids[:8], batch.prompt_length, lookups)
    layer, query_head = divmod(int(weights.argmax()), weights.shape[1])
    head = layer, query_head // (weights.shape[1] // reasoner().shape.n_kv_heads)
    return {
        "command": "python -m helpers.experiments.recall",
        "date": datetime.date.today().isoformat(),
        "machine": describe_machine(),
        "worksheets": {"count": len(batch.sheets), "n_lines": N_LINES, "seed": SEED},
        "interval": INTERVAL,
        "lookups": len(find_lookups(batch.sheets)),
        "sheets_right_without_eviction": sum(batch.judge().sheets_right),
        "lookup_head": {"layer": layer, "query_head": query_head, "kv_head": head[1]},
        "weight_on_copies": [[round(x, 4) for x in row] for row in weights.tolist()],
        "values_in_thought": round(float(_values()[:, batch.prompt_length :].float().mean()), 4),
        "cells": [measure(cell, head) for cell in tqdm(list(cells), unit="run")],
    }


def _values() -> torch.Tensor:
    """Which tokens of the sweep's first worksheets are values."""
    digits = reasoner().tokenizer.convert_tokens_to_ids(list("0123456789"))
    return torch.isin(prepare(0).token_ids, torch.tensor(digits))


def main() -> None:
    """Run from the command line and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DATA)
    out = parser.parse_args().out
    text = json.dumps(report(Cell(*each) for each in product(POLICIES, SHARES, SELECTIONS)))
    out.parent.mkdir(exist_ok=True)
    out.write_text(text.replace('{"policy"', '\n{"policy"') + "\n")


if __name__ == "__main__":
    main()

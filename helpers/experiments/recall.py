"""Which of the needed rows a compressor left, in the head that looks up: ``python -m helpers.experiments.recall``.

The reasoner looks a value up by one head. When that head has no copy of the value left, nothing else can find it. So
the share of look-ups that have a copy left (the recall) predicts the share that comes out right. The result is saved
as data, with the machine and the versions, for the lessons to plot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from tqdm import tqdm
from transformers import DynamicCache

from helpers.cache.attention import attending
from helpers.eviction import POLICIES, TriAttention
from helpers.eviction.recorder import Recorder
from helpers.eviction.selection import SELECTIONS
from helpers.eviction.triattention import turn_back
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.sweep import INTERVAL, N_LINES, SEED, Cell, judge_cell, prepare, reasoner, subject
from helpers.models.loading import Loaded, gold_and_length
from helpers.models.worksheets import Worksheet

SHARES = (0.5, 0.25)


@dataclass(frozen=True)
class Telling:
    """How worksheets are told.

    Attributes:
        line: tokens of a line of the thought.
        asks: where in a line the tokens stand that look a value up; the value is the token after each.
        values: the words that are values.
    """

    line: int
    asks: tuple[int, ...]
    values: tuple[str, ...]


IN_SIGNS = Telling(11, (3, 5), tuple("0123456789"))


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


def values_preferred(
    course: Loaded, sheets: list[Worksheet], layer: int, head: int, told: Telling = IN_SIGNS
) -> dict[str, float]:
    """Share of values in the better half of the rows, scored by the mean query over parts of one head's work.

    Args:
        course: a reasoner.
        sheets: worksheets of one length.
        layer: of the query head.
        head: its number in the layer.
        told: how the worksheets are told.

    Returns:
        Of its mean over the whole thought, over look-ups, and over the rest; and, as "chance", of all rows.
    """
    token_ids, start = gold_and_length(course, sheets)
    watcher, kv_cache = _QueryWatcher(layer), DynamicCache(config=course.model.config)
    with torch.inference_mode(), attending(course.model, watcher):
        course.model(token_ids, past_key_values=kv_cache, logits_to_keep=1)
    places, middle = torch.arange(start, token_ids.shape[1] - 1), (start + token_ids.shape[1]) // 2
    omega = TriAttention.calibrate(course.model, token_ids[:1]).omega
    arrows = turn_back(watcher.queries[:, head, places], omega, places)  # [sheets, tokens, bands]
    looks_up = torch.isin((places - start) % told.line, torch.tensor(told.asks))
    is_value, shares = _are_values(course, token_ids[:, start:middle], told), {}
    for name, some in (("all it does", places > 0), ("its look-ups", looks_up), ("the rest", ~looks_up)):
        parts = arrows[:, some].mean((0, 1)), arrows[:, some].abs().mean((0, 1))
        alike = TriAttention(*(part.expand(*_heads_of(course), -1) for part in parts), omega)
        scores = alike.score(layer, kv_cache.layers[layer].keys[:, :, :middle], middle - 1)[:, head, start:]
        best = scores.topk(scores.shape[-1] // 2, dim=-1).indices
        shares[name] = is_value.gather(1, best).float().mean().item()
    return shares | {"chance": is_value.float().mean().item()}


class _QueryWatcher:
    """Keeps one layer's queries, ``[sheets, n_heads, tokens, head_dim]``."""

    needs_queries, needs_weights = True, False

    def __init__(self, layer: int) -> None:
        self.layer = layer

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        """Queries as attention sees them, turned."""
        if layer == self.layer:
            self.queries = queries


def _heads_of(course: Loaded) -> tuple[int, int]:
    return course.model.config.num_hidden_layers, course.model.config.num_attention_heads


def _are_values(course: Loaded, token_ids: torch.Tensor, told: Telling) -> torch.Tensor:
    return torch.isin(token_ids, torch.tensor([course.tokenizer(value).input_ids for value in told.values]))


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


def found_in_head(
    recorder: Recorder, lookups: list[Lookup], prompt_length: int, head: tuple[int, int], right: torch.Tensor
) -> dict[str, int]:
    """How many look-ups had a copy left in a KV head, and how many came out right with one and without.

    Args:
        recorder: after a run.
        lookups: of its worksheets.
        prompt_length: tokens of each prompt.
        head: layer and KV head.
        right: which tokens of thought and answer came out, ``[sheets, tokens]``.
    """
    copies = torch.tensor(has_copy(recorder, lookups, prompt_length, *head))
    came_out = torch.stack([right[lookup.sheet, lookup.place] for lookup in lookups])
    return {
        "with_copy": int(copies.sum()),
        "right_with_copy": int((copies & came_out).sum()),
        "right_without_copy": int((~copies & came_out).sum()),
    }


def lookup_head(weights: torch.Tensor, n_kv_heads: int) -> dict[str, int]:
    """The head that gives copies most: its layer, its number, and its KV head; ``weights`` as ``lookup_weights``."""
    layer, query_head = divmod(int(weights.argmax()), weights.shape[1])
    return {"layer": layer, "query_head": query_head, "kv_head": query_head // (weights.shape[1] // n_kv_heads)}


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
    judged = judge_cell(cell, exam, recorder)
    found = found_in_head(recorder, lookups, exam.prompt_length, head, judged.right)
    return {
        "policy": cell.policy,
        "share": cell.share,
        "selection": cell.selection,
        "sheets_right": sum(judged.sheets_right),
        **found,
        "values_among_kept": round(float(share_of_values(recorder, _values(), exam.prompt_length)[head]), 4),
    }


def measure_all(cells: Iterable[Cell]) -> dict[str, Any]:
    """All cells, and what they have in common."""
    batch = prepare(0)
    lookups = find_lookups(batch.sheets[:8])
    weights = lookup_weights(reasoner().model, batch.token_ids[:8], batch.prompt_length, lookups)
    head = lookup_head(weights, reasoner().shape.n_kv_heads)
    return {
        "worksheets": {"count": len(batch.sheets), "n_lines": N_LINES, "seed": SEED},
        "interval": INTERVAL,
        "lookups": len(find_lookups(batch.sheets)),
        "sheets_right_without_eviction": sum(batch.judge().sheets_right),
        "lookup_head": head,
        "weight_on_copies": [[round(x, 4) for x in row] for row in weights.tolist()],
        "values_in_thought": round(float(_values()[:, batch.prompt_length :].float().mean()), 4),
        "cells": [measure(cell, (head["layer"], head["kv_head"])) for cell in tqdm(list(cells), unit="run")],
    }


def _values() -> torch.Tensor:
    """Which tokens of the sweep's first worksheets are values."""
    return _are_values(reasoner(), prepare(0).token_ids, IN_SIGNS)


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("recall", __doc__)
    options = parser.parse_args()
    measured = measure_all(Cell(*each) for each in product(POLICIES, SHARES, SELECTIONS))
    finish(new_report(command_of(parser, options)) | measured, options)


if __name__ == "__main__":
    main()

"""Policies and modes on the English reasoner, where R is high: ``python -m helpers.experiments.english_sweep``.

What ``sweep`` and ``recall`` measure on the reasoner, at once: were the worksheets right, and had the head that looks
values up a copy of each left. Half of the thought is kept. Every policy chooses in every mode; TriAttention with one
thing changed is run where each head of each layer chooses. The result is saved as data, with the machine and the
versions, for the lessons to plot.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Any

import torch
from tqdm import tqdm

from helpers.cache.block_pool import blocks_for
from helpers.decoding.judged import BLOCK_SIZE, Exam, Judged
from helpers.eviction import ABLATIONS, POLICIES, Policy, Subject, TriAttention
from helpers.eviction.recorder import Recorder
from helpers.eviction.selection import SELECTIONS
from helpers.experiments.recall import (
    Lookup,
    Telling,
    find_lookups,
    found_in_head,
    lookup_head,
    lookup_weights,
    values_preferred,
)
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.sweep import INTERVAL, Cell, join, judge_cell, result_of
from helpers.models.loading import Loaded, gold_ids, load_english_reasoner
from helpers.models.worksheets import Worksheet, make_worksheets
from helpers.models.worksheets_in_words import LINE_TOKENS, NUMBERS, PLACES, in_words, token_at
from helpers.records.smollm2_sweep import EVERY_HEAD

N_LINES, SEED, BATCH, SHARE = 24, 3, 32, 0.5
# Worksheets that training may have seen, none of the sweep's.
CALIBRATION = {"count": 16, "n_lines": N_LINES, "seed": 11}
IN_WORDS = Telling(LINE_TOKENS, (PLACES[4] - 1, PLACES[6] - 1), tuple(f" {number}" for number in NUMBERS))
WATCHED = 8  # worksheets on which the heads' attention is read


@cache
def reasoner() -> Loaded:
    """The English reasoner, once per process."""
    return load_english_reasoner()


@cache
def calibration_texts() -> torch.Tensor:
    """Worksheets in words of the training set, with thoughts and answers, ``[sheets, tokens]``."""
    return gold_ids(reasoner(), [in_words(sheet) for sheet in make_worksheets(**CALIBRATION, held_out=False)])


@cache
def calibrated() -> TriAttention:
    """TriAttention, calibrated on worksheets in words of the training set."""
    return TriAttention.calibrate(reasoner().model, calibration_texts())


@cache
def in_signs(index: int) -> list[Worksheet]:
    """The worksheets number ``index x BATCH`` and following, in signs."""
    return make_worksheets((index + 1) * BATCH, N_LINES, SEED)[index * BATCH :]


@cache
def prepare(index: int) -> Exam:
    """The same in words, prompts read."""
    return Exam(reasoner(), [in_words(sheet) for sheet in in_signs(index)])


def lookups_in_words(signs: list[Worksheet]) -> list[Lookup]:
    """Every look-up of a formula's value in worksheets that are told in words."""

    def told(lookup: Lookup) -> Lookup:
        n_lines = signs[lookup.sheet].thought.count(" : ")
        return Lookup(
            lookup.sheet, token_at(lookup.place, n_lines), tuple(token_at(copy, n_lines) for copy in lookup.copies)
        )

    return [told(lookup) for lookup in find_lookups(signs)]


@cache
def weights_on_copies() -> torch.Tensor:
    """How much of its attention each head gives, at a look-up, to copies of the value: ``[n_layers, n_heads]``."""
    exam, lookups = prepare(0), lookups_in_words(in_signs(0)[:WATCHED])
    return lookup_weights(reasoner().model, exam.token_ids[:WATCHED], exam.prompt_length, lookups)


@cache
def head() -> dict[str, int]:
    """The head that looks up: layer, query head, KV head."""
    return lookup_head(weights_on_copies(), reasoner().shape.n_kv_heads)


def run_cell(cell: Cell, index: int) -> dict[str, Any]:
    """Replay one batch under one cell: as the sweep's, with what the head that looks up had left."""
    exam = prepare(index)
    subject = Subject(reasoner().model, calibration_texts(), exam.sheets)
    recorder = Recorder(POLICIES[cell.policy](subject))
    return result_with_copies(exam, in_signs(index), recorder, judge_cell(cell, exam, recorder))


def result_with_copies(exam: Exam, signs: list[Worksheet], recorder: Recorder, judged: Judged) -> dict[str, Any]:
    """The sweep's ``result_of``, and how often the head that looks up had a copy of the value left."""
    lookups, where = lookups_in_words(signs), (head()["layer"], head()["kv_head"])
    found = found_in_head(recorder, lookups, exam.prompt_length, where, judged.right)
    return result_of(exam, judged) | found | {"formula_lookups": len(lookups)}


def cells(policies: Mapping[str, Policy]) -> Iterator[Cell]:
    """Every cell of the sweep."""
    for name, policy in policies.items():
        one_mode = policy.heads_alike or name in ABLATIONS
        yield from (Cell(name, SHARE, mode) for mode in ([EVERY_HEAD] if one_mode else SELECTIONS))


def sweep(count: int, processes: int) -> list[dict[str, Any]]:
    """All cells over ``count`` worksheets: one entry per cell, with its batches put together."""
    subject = Subject(reasoner().model, calibration_texts(), prepare(0).sheets)
    work = [
        (c, i) for c in cells({name: make(subject) for name, make in POLICIES.items()}) for i in range(count // BATCH)
    ]
    with ProcessPoolExecutor(processes) as pool:
        running = pool.map(run_cell, *zip(*work, strict=True))
        results = list(tqdm(running, total=len(work), unit="run"))
    by_cell: dict[Cell, list[dict[str, Any]]] = {}
    for (cell, _), result in zip(work, results, strict=True):
        by_cell.setdefault(cell, []).append(result)
    return [vars(cell) | join_with_copies(parts) for cell, parts in by_cell.items()]


def join_with_copies(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One entry of the results of several batches; what was counted over a whole batch is added up."""
    names = ("formula_lookups", "with_copy", "right_with_copy", "right_without_copy")
    return join(parts) | {name: sum(part[name] for part in parts) for name in names}


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("english_sweep", __doc__)
    parser.add_argument("--worksheets", type=int, default=96)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    started, batch, at = time.perf_counter(), prepare(0), head()
    found, R = sweep(options.worksheets, options.processes), calibrated().head_concentration()
    preferred = values_preferred(reasoner(), batch.sheets[:16], at["layer"], at["query_head"], IN_WORDS)
    measured = {
        "minutes": round((time.perf_counter() - started) / 60, 1),
        "worksheets": {"count": options.worksheets, "n_lines": N_LINES, "seed": SEED},
        "prompt_tokens": batch.prompt_length,
        "thought_tokens": batch.decoded_length,
        "blocks_without_eviction": blocks_for(batch.token_ids.shape[1], BLOCK_SIZE),
        "interval": INTERVAL,
        "protect_recent": 16,
        "calibration": CALIBRATION,
        "right_without_eviction": [
            sum(prepare(index).judge().sheets_right) for index in range(options.worksheets // BATCH)
        ],
        "lookup_head": at,
        "weight_on_copies": [[round(x, 4) for x in row] for row in weights_on_copies().tolist()],
        "R": [[round(x, 3) for x in layer] for layer in R.tolist()],
        "values_preferred": {part: round(share, 4) for part, share in preferred.items()},
        "cells": found,
    }
    finish(new_report(command_of(parser, options)) | measured, options)


if __name__ == "__main__":
    main()

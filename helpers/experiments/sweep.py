"""Policies against budgets against selection modes on the reasoner: ``python -m helpers.experiments.sweep``.

Each cell replays the same worksheets, so differences between cells are paired. A worksheet is right when every token of
its thought and its answer is what the gold text says, which is what free running would then give. The result is saved
as data, with the machine and the versions, for the lessons to plot.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from tqdm import tqdm

from helpers.cache.block_pool import blocks_for
from helpers.decoding.judged import BLOCK_SIZE, Exam, Judged
from helpers.eviction import POLICIES, SHOWN, Compressor, Policy, Subject, TriAttention, is_variant
from helpers.eviction.selection import SELECTIONS
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.models.loading import Loaded, gold_ids, load_reasoner
from helpers.models.worksheets import Worksheet, make_worksheets

SHARES = (0.5, 0.25, 0.125, 0.0625)  # budgets, of the thought's length
N_LINES, SEED, BATCH, INTERVAL = 40, 3, 32, 32
CALIBRATION = {
    "count": 32,
    "n_lines": N_LINES,
    "seed": 11,
}  # worksheets that training may have seen, none of the sweep's


@dataclass(frozen=True)
class Cell:
    """One square of the sweep: which policy, how large a share of the thought it keeps, and how it selects."""

    policy: str
    share: float
    selection: str
    compact: bool = True


@cache
def reasoner() -> Loaded:
    """The reasoner, once per process."""
    return load_reasoner()


@cache
def calibration_texts() -> torch.Tensor:
    """Worksheets of the training set, with thoughts and answers, ``[sheets, tokens]``."""
    return gold_ids(reasoner(), make_worksheets(**CALIBRATION, held_out=False))


def subject(sheets: Sequence[Worksheet]) -> Subject:
    """The reasoner at work on some worksheets, for a policy to get ready for."""
    return Subject(reasoner().model, calibration_texts(), sheets)


def calibrated() -> TriAttention:
    """TriAttention, calibrated on worksheets of the training set."""
    return TriAttention.prepare(subject([]))


@cache
def prepare(index: int) -> Exam:
    """The worksheets number ``index x BATCH`` and following, prompts read."""
    return Exam(reasoner(), make_worksheets((index + 1) * BATCH, N_LINES, SEED)[index * BATCH :])


def run_cell(cell: Cell, index: int) -> dict[str, Any]:
    """Replay one batch under one cell; see ``result_of``."""
    exam = prepare(index)
    return result_of(exam, judge_cell(cell, exam, POLICIES[cell.policy](subject(exam.sheets))))


def judge_cell(cell: Cell, exam: Exam, policy: Policy) -> Judged:
    """Replay an exam under a cell's budget, mode and compaction, a policy choosing."""
    budget = round(cell.share * exam.decoded_length)
    return exam.judge(Compressor(policy, budget, INTERVAL, cell.selection, cell.compact))


def result_of(exam: Exam, judged: Judged) -> dict[str, Any]:
    """What a replay comes to: was each worksheet right, how many of its look-ups; blocks per sequence."""
    return {
        "right": judged.sheets_right,
        "lookups": [len(places) for places in exam.lookups],
        "lookups_right": exam.lookups_right(judged),
        "compressions": len(judged.trace.compressions),
        "blocks_freed": judged.trace.blocks_freed / len(exam.sheets),
    }


def suited(to: Subject) -> dict[str, Policy]:
    """Every policy of the register, ready for a subject; those that find nothing to go by there are left out."""
    made = {name: make(to) for name, make in POLICIES.items()}
    return {name: policy for name, policy in made.items() if policy is not None}


def cells(policies: Mapping[str, Policy]) -> Iterator[tuple[Cell, bool]]:
    """Every cell, and whether all batches run it; without compaction one batch tells how many blocks come back."""
    for name, policy in policies.items():
        for share in SHARES[:1] if is_variant(name) else SHARES:
            for selection in SELECTIONS[:1] if policy.heads_alike else SELECTIONS:
                yield Cell(name, share, selection), True
                if not is_variant(name):
                    yield Cell(name, share, selection, compact=False), False


def sweep(count: int, processes: int) -> list[dict[str, Any]]:
    """All cells over ``count`` worksheets: one entry per cell, with its batches put together."""
    n_batches, policies = count // BATCH, suited(subject(prepare(0).sheets))
    work = [(cell, i) for cell, everywhere in cells(policies) for i in range(n_batches if everywhere else 1)]
    with ProcessPoolExecutor(processes) as pool:
        running = pool.map(run_cell, *zip(*work, strict=True), chunksize=4)
        results = list(tqdm(running, total=len(work), unit="run"))
    by_cell: dict[Cell, list[dict[str, Any]]] = {}
    for (cell, _), result in zip(work, results, strict=True):
        by_cell.setdefault(cell, []).append(result)
    return [
        vars(cell) | {"selection": selection} | join(parts)
        for cell, parts in by_cell.items()
        for selection in (SELECTIONS if policies[cell.policy].heads_alike else [cell.selection])
    ]


def join(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """One entry of the results of several batches."""
    lists = {name: [x for part in parts for x in part[name]] for name in ("right", "lookups", "lookups_right")}
    lists["right"] = "".join("01"[x] for x in lists["right"])  # one digit per worksheet
    numbers = {name: parts[0][name] for name in ("compressions", "blocks_freed")}
    return lists | numbers


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("sweep", __doc__)
    parser.add_argument("--worksheets", type=int, default=96)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    started, batch = time.perf_counter(), prepare(0)
    found = sweep(options.worksheets, options.processes)
    strongest = calibrated().head_concentration()
    measured = {
        "minutes": round((time.perf_counter() - started) / 60, 1),
        "worksheets": {"count": options.worksheets, "n_lines": N_LINES, "seed": SEED},
        "prompt_tokens": batch.prompt_length,
        "thought_tokens": batch.token_ids.shape[1] - batch.prompt_length,
        "blocks_without_eviction": blocks_for(batch.token_ids.shape[1], BLOCK_SIZE),
        "block_size": BLOCK_SIZE,
        "interval": INTERVAL,
        "protect_recent": 16,
        "calibration": CALIBRATION,
        "concentration_top_2_bands": [[round(x, 3) for x in layer] for layer in strongest.tolist()],
        "concentration_all_bands": round(calibrated().concentration.mean().item(), 3),
        "shown": SHOWN,
        "cells": found,
    }
    finish(new_report(command_of(parser, options)) | measured, options)


if __name__ == "__main__":
    main()

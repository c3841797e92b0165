"""Policies against budgets against selection modes on the reasoner: ``python -m helpers.experiments.sweep``.

Each cell replays the same worksheets, so differences between cells are paired. A worksheet is right when every token of
its thought and its answer is what the gold text says, which is what free running would then give. The result is saved
as data, with the machine and the versions, for the lessons to plot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from tqdm import tqdm

from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.loop import replay
from helpers.eviction import H2O, Compressor, KeyNorm, Oracle, Policy, Random, SnapKV, StreamingLLM, TriAttention
from helpers.eviction.selection import SELECTIONS
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.models.loading import Loaded, gold_ids, load_reasoner
from helpers.models.worksheets import Worksheet, make_worksheets

SHARES = (0.5, 0.25, 0.125, 0.0625)  # budgets, of the thought's length
N_LINES, SEED, BATCH, INTERVAL, BLOCK_SIZE = 40, 3, 32, 32, 16
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


@dataclass(frozen=True)
class Batch:
    """Worksheets of one length with their prompts already read; every cell forks the cache and goes on from there."""

    sheets: list[Worksheet]
    token_ids: torch.Tensor  # prompt, thought and answer, [sheets, tokens]
    prompt_length: int
    prefilled: PagedCache  # all of the prompt but its last token


# Variants of TriAttention, each without one of its parts, to see what that part is worth.
VARIANTS: dict[str, Callable[[TriAttention], Policy]] = {
    "TriAttention, horizon 64": lambda full: _like(full, horizon=64),
    "TriAttention, horizon 1024": lambda full: _like(full, horizon=1024),
    "TriAttention, max over offsets": lambda full: _like(full, aggregation="max"),
    "TriAttention, no norm term": lambda full: _like(full, q_abs_mean=full.q_mean.abs()),
    "TriAttention, no trigonometric term": lambda full: _like(
        full, q_mean=torch.zeros_like(full.q_mean), q_abs_mean=full.q_abs_mean - full.q_mean.abs()
    ),
}
POLICIES: dict[str, Callable[[Batch], Policy]] = {
    "TriAttention": lambda batch: calibrated(),
    "H2O": lambda batch: H2O(),
    "SnapKV": lambda batch: SnapKV(),
    "SnapKV, not smoothed": lambda batch: SnapKV(kernel_size=1),
    "StreamingLLM": lambda batch: StreamingLLM(),
    "KeyNorm": lambda batch: KeyNorm(),
    "Random": lambda batch: Random(),
    "Oracle": lambda batch: Oracle(batch.sheets),
} | {name: lambda batch, make=make: make(calibrated()) for name, make in VARIANTS.items()}


HEADLESS = ("StreamingLLM", "Oracle")  # they score all heads and layers alike, so one mode's result is all three's


@cache
def reasoner() -> Loaded:
    """The reasoner, once per process."""
    return load_reasoner()


@cache
def calibrated() -> TriAttention:
    """TriAttention, calibrated on worksheets of the training set."""
    return TriAttention.calibrate(
        reasoner().model, gold_ids(reasoner(), make_worksheets(**CALIBRATION, held_out=False))
    )


@cache
def prepare(index: int) -> Batch:
    """The worksheets number ``index x BATCH`` and following, prompts read."""
    sheets = make_worksheets((index + 1) * BATCH, N_LINES, SEED)[index * BATCH :]
    token_ids = gold_ids(reasoner(), sheets)
    prompt_length = token_ids.shape[1] - len(sheets[0].thought.split()) - 1
    blocks = 2 * BATCH * blocks_for(token_ids.shape[1], BLOCK_SIZE)  # the prompt's, and a whole run's beside it
    prefilled = PagedCache.for_model(reasoner().model, blocks, BLOCK_SIZE, "fp32", BATCH)
    replay(reasoner().model, token_ids[:, : prompt_length - 1], prompt_length - 1, prefilled)
    return Batch(sheets, token_ids, prompt_length, prefilled)


def run_cell(cell: Cell, index: int) -> dict[str, Any]:
    """Replay one batch under one cell: was each worksheet right, how many of its look-ups; blocks per sequence."""
    batch = prepare(index)
    thought = batch.token_ids[:, batch.prompt_length :]
    forked = batch.prefilled.fork()
    budget = round(cell.share * thought.shape[1])
    compressor = Compressor(POLICIES[cell.policy](batch), budget, INTERVAL, cell.selection, cell.compact)
    trace = replay(reasoner().model, batch.token_ids[:, batch.prompt_length - 1 :], 1, forked, compressor)
    forked.reset()
    right = (
        torch.tensor(trace.tokens)[:, :-1] == thought
    )  # [sheets, tokens]; the last token said comes after the answer
    looked_up = [sorted({i for restated in sheet.needed.values() for i in restated}) for sheet in batch.sheets]
    return {
        "right": [bool(sheet.all()) for sheet in right],
        "lookups": [len(places) for places in looked_up],
        "lookups_right": [int(sheet[places].sum()) for sheet, places in zip(right, looked_up, strict=True)],
        "compressions": len(trace.compressions),
        "blocks_freed": trace.blocks_freed / len(batch.sheets),
    }


def cells() -> Iterator[tuple[Cell, bool]]:
    """Every cell, and whether all batches run it; without compaction one batch tells how many blocks come back."""
    for policy in POLICIES:
        is_variant = policy in VARIANTS or policy == "SnapKV, not smoothed"
        for share in SHARES[:1] if is_variant else SHARES:
            for selection in ("shared",) if policy in HEADLESS else SELECTIONS:
                yield Cell(policy, share, selection), True
                if not is_variant:
                    yield Cell(policy, share, selection, compact=False), False


def sweep(count: int, processes: int) -> list[dict[str, Any]]:
    """All cells over ``count`` worksheets: one entry per cell, with its batches put together."""
    n_batches = count // BATCH
    work = [(cell, i) for cell, everywhere in cells() for i in range(n_batches if everywhere else 1)]
    with ProcessPoolExecutor(processes) as pool:
        running = pool.map(run_cell, *zip(*work, strict=True), chunksize=4)
        results = list(tqdm(running, total=len(work), unit="run"))
    by_cell: dict[Cell, list[dict[str, Any]]] = {}
    for (cell, _), result in zip(work, results, strict=True):
        by_cell.setdefault(cell, []).append(result)
    return [
        vars(cell) | {"selection": selection} | _join(parts)
        for cell, parts in by_cell.items()
        for selection in (SELECTIONS if cell.policy in HEADLESS else [cell.selection])
    ]


def _join(parts: list[dict[str, Any]]) -> dict[str, Any]:
    lists = {name: [x for part in parts for x in part[name]] for name in ("right", "lookups", "lookups_right")}
    lists["right"] = "".join("01"[x] for x in lists["right"])  # one digit per worksheet
    numbers = {name: parts[0][name] for name in ("compressions", "blocks_freed")}
    return lists | numbers


def _like(full: TriAttention, **changes: Any) -> TriAttention:
    names = ("q_mean", "q_abs_mean", "omega", "aggregation", "n_turning", "n_kv_heads")
    return TriAttention(**{name: getattr(full, name) for name in names} | changes)


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
        "cells": found,
    }
    finish(new_report(command_of(parser, options)) | measured, options)


if __name__ == "__main__":
    main()

"""Policies against budgets and selection modes on SmolLM2: ``python -m helpers.experiments.smollm2_sweep``.

Every cell reads the same texts, so differences between cells are paired. Evictions do not slide survivors together, and
the pool says how many blocks come back all the same; one cell per budget does, as a reference. What has been measured
is kept in a file beside the record until all is, so that a run that was broken off goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from helpers.cache import PagedCache
from helpers.cache.block_pool import blocks_for
from helpers.decoding.losses import foretold, token_losses
from helpers.eviction import ABLATIONS, POLICIES, Compressor, Policy, Subject
from helpers.eviction.selection import SELECTIONS
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.smollm2_tasks import FACTS, TASKS, Task, calibration_text, smollm2
from helpers.measuring.trace import Trace
from helpers.records.smollm2_sweep import EVERY_HEAD, NO_EVICTION

SHARES = {"english": (0.5, 0.25, 0.125, 0.0625), "recall": (0.5, 0.25, 0.125, 0.0625), "facts": (0.5, 0.25, 0.125)}
BLOCK_SIZE, INTERVAL, RECENT = 16, 32, 16
COMPETITORS = [name for name in POLICIES if name not in ABLATIONS and name != "Oracle"]  # no oracle knows English
PROCESSES = 2


@dataclass(frozen=True)
class Cell:
    """One square of the sweep: what is asked, of which policy, how large a share of the text it keeps, and how."""

    task: str
    policy: str
    share: float
    selection: str
    compact: bool = False


def cells() -> Iterator[Cell]:
    """Every policy at every budget; the other modes, and TriAttention less one part, at a quarter of the text."""
    for task, shares in SHARES.items():
        yield Cell(task, NO_EVICTION, 1.0, EVERY_HEAD)
        for share in shares:
            yield from (Cell(task, name, share, EVERY_HEAD) for name in COMPETITORS)
        yield from (Cell(task, "TriAttention", 0.25, mode) for mode in SELECTIONS if mode != EVERY_HEAD)
    yield from (Cell("english", "TriAttention", share, EVERY_HEAD, compact=True) for share in SHARES["english"])
    yield from (Cell(task, name, 0.25, EVERY_HEAD) for task in ("english", "recall") for name in ABLATIONS)


def run(cell: Cell) -> dict[str, Any]:
    """Read the texts of the cell's task: per text the mean loss of what counts, and whether all of it was foretold."""
    return measure(TASKS[cell.task](), cell)


def measure(task: Task, cell: Cell) -> dict[str, Any]:
    """As ``run``, of a task that need not be one of ``TASKS``."""
    compressor = None if cell.policy == NO_EVICTION else compressor_for(cell, task.token_ids.shape[1])
    started = time.process_time()
    losses, trace = read_under(compressor, task)
    seconds = time.process_time() - started
    right = foretold(trace, task.token_ids)
    return asdict(cell) | {
        "losses": losses,
        "right": (right | ~task.counted[:, 1:]).all(1).int().tolist(),
        "compressions": len(trace.compressions),
        "blocks_freed": round(trace.blocks_freed / len(losses), 2),
        "weights_bytes": trace.weights_cost.bytes_written,
        "seconds": round(seconds, 1),
    }


def read_under(compressor: Compressor | None, task: Task) -> tuple[list[float], Trace]:
    """Read the texts of a task; per text the mean loss of what counts, in nats per token to three digits; the Trace."""
    count, length = task.token_ids.shape
    pool = PagedCache.for_model(smollm2().model, count * blocks_for(length, BLOCK_SIZE), BLOCK_SIZE, "fp32", count)
    losses, trace = token_losses(smollm2().model, task.token_ids, 1, pool, compressor)
    counted = task.counted[:, 1:]
    return [round(x, 3) for x in ((losses * counted).sum(1) / counted.sum(1)).tolist()], trace


def compressor_for(cell: Cell, length: int) -> Compressor:
    """The cell's compressor, for texts of so many tokens; a prompt is not protected, since there is none."""
    return Compressor(
        prepared(cell.policy), round(cell.share * length), INTERVAL, cell.selection, cell.compact, False, RECENT
    )


def prepared(policy: str) -> Policy:
    """A policy of the register, ready for SmolLM2, calibrated on a text of another kind."""
    return POLICIES[policy](Subject(smollm2().model, calibration_text()))


def sweep(kept: Path, processes: int) -> list[dict[str, Any]]:
    """All cells; those in the file ``kept`` are not run again, and each that ends is written there."""
    done = [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []
    had = {_cell_of(result) for result in done}
    todo = [cell for cell in cells() if cell not in had]
    with ProcessPoolExecutor(processes) as pool, kept.open("a", encoding="utf-8") as file:
        running = [pool.submit(run, cell) for cell in todo]
        for ended in tqdm(as_completed(running), total=len(todo), unit="cell"):
            done.append(ended.result())
            print(json.dumps(done[-1]), file=file, flush=True)
    order = {cell: i for i, cell in enumerate(cells())}
    return sorted(done, key=lambda result: order[_cell_of(result)])


def _cell_of(result: dict[str, Any]) -> Cell:
    return Cell(**{name: result[name] for name in Cell.__dataclass_fields__})


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("smollm2_sweep", __doc__)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    options = parser.parse_args()
    kept = (options.out or options.record).with_suffix(".unfinished")
    found = sweep(kept, options.processes)
    measured = {
        "tasks": {name: list(make().token_ids.shape) for name, make in TASKS.items()},
        "counted": {name: int(make().counted.sum()) for name, make in TASKS.items()},
        "answers": [answer.strip() for *_, answer in FACTS],
        "interval": INTERVAL,
        "protect_recent": RECENT,
        "block_size": BLOCK_SIZE,
        "cells": found,
    }
    finish(new_report(command_of(parser, options)) | measured, options)
    kept.unlink()


if __name__ == "__main__":
    main()

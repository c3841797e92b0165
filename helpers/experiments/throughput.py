"""Decoded tokens per second with and without TriAttention: ``python -m helpers.experiments.throughput`` on a GPU.

The paper's table on this code: a model of a published shape, at equal batch and at the largest batch that fits each.
Beside every figure stands the memory bandwidth that it needs at least, and the device's own copy bandwidth as ceiling.

The weights are random, and so are the rows that fill the cache: what is timed is real, but no text was read and nothing
was prefilled, since neither the time nor the bytes of a step depend on what the numbers are. What TriAttention keeps is
chance too: survivors lie scattered over the whole cache, so that nearly all of them have to be moved.

Where a paged kernel works, rows are read in place, and on a GPU the step is recorded; the report says what was used,
and why not the rest.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from transformers import AutoConfig, StaticCache

from helpers.arithmetic.catalog import GB, GiB, find_model
from helpers.arithmetic.footprint import KVShape, format_bytes, require_count
from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.cache.paged_kernels import READERS
from helpers.decoding.recorded_step import DecodeStep
from helpers.eviction import Compressor
from helpers.experiments.bytes_per_sequence import format_of, sequence_bytes, weight_bytes_read
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.stand_ins import TINY_CONFIG, append_random, random_model, random_policy
from helpers.experiments.timed_decode import GATHER, GATHERING, Timing, Way, decode, find_way
from helpers.machine.device import busiest, copy_bandwidth, free_bytes, pick_dtype, release
from helpers.measuring.costs import weight_bytes
from helpers.models.loading import require_memory
from helpers.records.memory_speed import Row
from helpers.records.throughput import FULL, TRI

HALF, STATIC = "full attention, half the tokens", "full attention, in place"
SHAPE, TOKENS, BUDGETS = "Qwen3-8B", 32768, (1024, 2048, 3072, 4096)
INTERVAL, BLOCK_SIZE, CYCLES = 128, 16, 3
WARM, PROFILED = 8, 4  # steps before the timed ones, and steps whose parts are looked at behind them
SPARE = 32  # one part in so many of the memory is left for what cannot be counted beforehand
GOAL_BUDGET = 3072
MEANING = {
    "rows": "rows alive that a step reads per sequence and KV head, the mean over the timed steps",
    "blocks_held, bytes_held": "of all sequences, at the peak",
    "read_bytes": "what a step must read at least: each weight but the input embedding once, each row alive once",
    "bandwidth": "read_bytes over the time of a step, compactions included",
    "floor_share": "the time that read_bytes take at copy_bandwidth, over the time of a step",
    "gather_bytes": "moved beyond that where rows are gathered: each is written once and read once more",
    "way": "how rows are read, whether the step is a replayed recording, and why not otherwise",
    "busiest": "seconds of a step in which the device was busy, and its longest parts; else it waited for the program",
    HALF: "the mean over a whole thought, since the time of a step grows evenly with the tokens",
    STATIC: "transformers' StaticCache, which gathers nothing",
}


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        shape: name of the model whose shape it is.
        config: its ``config.json``.
        tokens: length of the thought, at which full attention is timed.
        budgets: of TriAttention.
        interval: tokens between two compressions.
        cycles: compressions that are timed, and as many times ``interval`` steps.
        batch: sequences for all at equal batch; None for as many as full attention can hold.
        memory: bytes that may be used beside the weights; None for all that is free.

    Raises:
        ValueError: if a size is out of range.
    """

    shape: str
    config: dict[str, Any] = field(repr=False)
    tokens: int = TOKENS
    budgets: tuple[int, ...] = BUDGETS
    interval: int = INTERVAL
    cycles: int = CYCLES
    batch: int | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        for name in ("interval", "cycles"):
            require_count(name, getattr(self, name), least=1)
        require_count("batch", 1 if self.batch is None else self.batch, least=1)
        require_count("tokens", self.tokens, least=2 * (WARM + self.steps + PROFILED + 1))
        for budget in self.budgets:
            if not WARM <= require_count("budget", budget, least=1) <= self.tokens - self.interval:
                raise ValueError(f"budget is {budget}; it may be {WARM} to {self.tokens - self.interval}")

    @property
    def steps(self) -> int:
        """Steps that are timed."""
        return self.cycles * self.interval


@dataclass(frozen=True)
class Case:
    """One candidate.

    Attributes:
        name: ``FULL``, ``HALF``, ``STATIC`` or ``TRI``.
        rows: the most rows that a sequence holds.
        budget: TriAttention's; None for full attention.
    """

    name: str
    rows: int
    budget: int | None = None


TINY = Plan("tiny", TINY_CONFIG, tokens=256, budgets=(32, 64), interval=16, cycles=2, memory=2**20)


def measure(model: Any, plan: Plan, case: Case, batch: int, bandwidth: float, way: Way = GATHERING) -> dict[str, Any]:
    """Fill a cache, warm up, time, and look where the time goes: one line of the table.

    Args:
        model: the model, on its device.
        plan: what is measured.
        case: the candidate.
        batch: sequences.
        bandwidth: the device's copy bandwidth in bytes per second.
        way: how a step over a ``PagedCache`` is done.
    """
    cache, compressor = _new_cache(model, plan, case, batch)
    in_place = way.reader is not None and case.name != STATIC
    how = {"compressor": compressor}
    if in_place:
        how |= {"step": DecodeStep(model, cache, case.rows, way.recorded), "reader": way.reader}
    later = 0 if compressor else plan.steps + PROFILED  # rows that come after the warm-up and are not taken back
    append_random(cache, model, case.rows - WARM - later, batch)
    decode(model, cache, batch, WARM, **how)
    timing = decode(model, cache, batch, plan.steps, **how)
    parts = busiest(model.device, lambda: decode(model, cache, batch, PROFILED, **how))
    parts = {"seconds": parts["seconds"] / PROFILED, "parts": [[name, s / PROFILED] for name, s in parts["parts"]]}
    line = _line(model, plan, case, batch, timing, bandwidth) | _held(cache, timing) | {"busiest": parts}
    return line if case.name != STATIC and not in_place else line | {"gather_bytes": 0}


def measure_largest(model: Any, plan: Plan, case: Case, bandwidth: float, way: Way = GATHERING) -> dict[str, Any]:
    """As ``measure``, with as many sequences as fit. Where the prediction was too bold, a sixteenth less, and again.

    Raises:
        MemoryError: if not even one fits.
    """
    batch = largest_batch(model, plan, case, way)
    while batch:
        line = attempt(model, plan, case, batch, bandwidth, way)
        if "error" not in line:
            return line
        batch = batch * 15 // 16
    needed = format_bytes(bytes_each(model, case, way))
    free = format_bytes(free_bytes(model.device, plan.memory))
    raise MemoryError(f"{case.name} with {case.rows:,} rows takes {needed} per sequence; {free} are free")


def attempt(model: Any, plan: Plan, case: Case, batch: int, bandwidth: float, way: Way = GATHERING) -> dict[str, Any]:
    """As ``measure``; where the device runs out of memory, a line that says so."""
    try:
        return measure(model, plan, case, batch, bandwidth, way)
    except torch.OutOfMemoryError as error:
        said = str(error).splitlines()[0]
    finally:
        release(model.device)
    return {"name": case.name, "budget": case.budget, "batch": batch, "error": said}


def largest_batch(model: Any, plan: Plan, case: Case, way: Way = GATHERING) -> int:
    """Sequences that fit into the memory that is free now, with a little to spare."""
    free = free_bytes(model.device, plan.memory)
    return (free - free // SPARE) // bytes_each(model, case, way)


def bytes_each(model: Any, case: Case, way: Way) -> int:
    """Bytes that one more sequence takes."""
    return sequence_bytes(model, case.rows, BLOCK_SIZE, bool(case.budget), way.reader is None)


def table(model: Any, plan: Plan, bandwidth: float, way: Way = GATHERING) -> Iterator[dict[str, Any]]:
    """The lines, as they are measured. ``equal`` and ``largest`` say which comparison a line belongs to.

    Raises:
        MemoryError: if full attention cannot hold one sequence.
    """
    full = Case(FULL, plan.tokens)
    line = measure_largest(model, plan, full, bandwidth, way)
    batch = plan.batch or line["batch"]
    yield line | {"equal": batch == line["batch"], "largest": True}
    others = [full] if batch != line["batch"] else []
    others += [Case(HALF, plan.tokens // 2), Case(STATIC, plan.tokens)]
    evicting = [Case(TRI, budget + plan.interval, budget) for budget in plan.budgets]
    for case in others + evicting:
        yield attempt(model, plan, case, batch, bandwidth, way) | {"equal": True, "largest": False}
    for case in evicting:
        yield measure_largest(model, plan, case, bandwidth, way) | {"equal": False, "largest": True}


def goals(lines: list[dict[str, Any]], budget: int = GOAL_BUDGET) -> list[Row]:
    """What was to be reached at one budget, and whether it was; empty where that budget was not measured."""
    full, tri = (
        {which: _find(lines, *case, which) for which in ("equal", "largest")} for case in ((FULL, None), (TRI, budget))
    )
    if not all((full["equal"], full["largest"], tri["equal"], tri["largest"])):
        return []
    rows = [_ratio(full, tri, "equal", 2.5), _ratio(full, tri, "largest", 6.0)]
    fewer = full["equal"]["bytes_held"] / tri["equal"]["bytes_held"]
    rows.append(Row("KV bytes at the peak, equal batch", f"{fewer:.2f} times fewer", "10.2 or more", fewer >= 10.2))
    share = max(line["compaction_share"] for line in tri.values())
    rows.append(Row("scoring and compaction, share of the time", f"{share:.1%}", "2% or less", share <= 0.02))
    floor = tri["largest"]["floor_share"]
    rows.append(Row("floor over step, largest batch", f"{floor:.0%}", "60% or more", floor >= 0.6))
    return rows


def print_line(line: dict[str, Any]) -> None:
    """One line of the table for people."""
    name = line["name"] + (f" {line['budget']:,}" if line["budget"] else "")
    if "error" in line:
        print(f"{name:32} batch {line['batch']:4}: {line['error']}", flush=True)
        return
    compaction = line["compaction_seconds"]
    parts = [f"{name:32} batch {line['batch']:4}: {line['tokens_per_second']:10,.1f} tokens/s"]
    parts.append(f"{1e3 * line['step_seconds']:8.2f} ms per step, {line['bandwidth'] / GB:7,.1f} GB/s")
    parts.append(f"floor {line['floor_share']:4.0%}, busy {line['busiest']['seconds'] / line['step_seconds']:4.0%}")
    parts.append(f"{line['blocks_held']:6,} blocks, {format_bytes(line['bytes_held'])}")
    if compaction:
        parts.append(f"compaction {1e3 * compaction:.1f} ms, {line['compaction_share']:.1%}")
    print("; ".join(parts), flush=True)


def run(plan: Plan, device: str, command: str, reader: str | None = None) -> dict[str, Any]:
    """Make the model, measure everything, print it line by line, and return the report.

    Raises:
        MemoryError: if the weights, or one sequence, do not fit.
    """
    dtype = pick_dtype(device)
    config = {name: value for name, value in plan.config.items() if name != "torch_dtype"}
    require_memory("a model of this shape", AutoConfig.for_model(**config), device, dtype)
    bandwidth = copy_bandwidth(device)
    model = random_model(plan.config, device, dtype)
    print(f"weights {format_bytes(weight_bytes(model))}, copies at {bandwidth / GB:,.1f} GB/s", flush=True)
    way = find_way(model, reader)
    print(f"a step: {way.name}{', recorded' if way.recorded else ''}", *way.refused.items(), sep="; ", flush=True)
    lines = []
    for line in table(model, plan, bandwidth, way):
        print_line(line)
        lines.append(line)
    reached = goals(lines)
    for row in reached:
        print(f"{row.what:45} {row.figure:28} {row.goal:14} {'reached' if row.reached else 'MISSED'}")
    facts = {"weights": "random", "dtype": str(dtype).removeprefix("torch."), "weight_bytes": weight_bytes(model)}
    head = new_report(command, device) | {"plan": asdict(plan), "model": facts, "meaning": MEANING}
    measured = {"way": asdict(way), "copy_bandwidth": bandwidth, "lines": lines}
    return head | measured | {"goals": [asdict(row) for row in reached]}


def main() -> None:
    """Run from the command line, print and save."""
    parser = new_parser("throughput", __doc__, for_gpu=True)
    parser.add_argument("--shape", default=SHAPE, help="a model of helpers/arithmetic/catalog")
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--interval", type=int, default=INTERVAL)
    parser.add_argument("--cycles", type=int, default=CYCLES, help="compressions that are timed")
    parser.add_argument("--batch", type=int, help="sequences at equal batch; else as many as full attention can hold")
    parser.add_argument("--reader", choices=[GATHER, *READERS], help="how rows are read; else the best that works")
    parser.add_argument("--memory", type=float, help="GiB beside the weights, to play a smaller card")
    options = parser.parse_args()
    try:
        report = run(_plan_of(options), options.device, command_of(parser, options), options.reader)
    except (ValueError, MemoryError) as error:
        sys.exit(str(error))
    finish(report, options)


def _plan_of(options: argparse.Namespace) -> Plan:
    if options.tiny:
        return TINY
    memory = None if options.memory is None else int(options.memory * GiB)
    sizes = (options.tokens, tuple(options.budgets), options.interval, options.cycles, options.batch, memory)
    return Plan(options.shape, find_model(options.shape).config, *sizes)


def _new_cache(model: Any, plan: Plan, case: Case, batch: int) -> tuple[Any, Compressor | None]:
    if case.name == STATIC:
        return StaticCache(config=model.config, max_cache_len=case.rows), None
    num_blocks = batch * blocks_for(case.rows, BLOCK_SIZE)
    cache = PagedCache.for_model(model, num_blocks, BLOCK_SIZE, format_of(model.dtype), batch)
    if case.budget is None:
        return cache, None
    recent = min(16, case.budget // 2)
    policy = random_policy(model)
    compressor = Compressor(policy, case.budget, plan.interval, protect_prompt=False, protect_recent=recent)
    compressor.begin(cache, 0)
    return cache, compressor


def _line(model: Any, plan: Plan, case: Case, batch: int, timing: Timing, bandwidth: float) -> dict[str, Any]:
    kv_bytes = batch * timing.rows * KVShape.from_config(model.config).bytes_per_token(format_of(model.dtype))
    step, read = timing.seconds / plan.steps, weight_bytes_read(model) + kv_bytes
    costs = timing.compactions
    return {
        "name": case.name,
        "budget": case.budget,
        "batch": batch,
        "steps": plan.steps,
        "rows": timing.rows,
        "tokens_per_second": batch / step,
        "step_seconds": step,
        "read_bytes": read,
        "bandwidth": read / step,
        "floor_seconds": read / bandwidth,
        "floor_share": read / bandwidth / step,
        "gather_bytes": 2 * kv_bytes,
        "compactions": len(costs),
        "compaction_seconds": statistics.median(costs) if costs else 0.0,
        "compaction_share": sum(costs) / timing.seconds,
    }


def _held(cache: Any, timing: Timing) -> dict[str, int]:
    """Blocks and bytes at the peak, counted from the tensors of the cache."""
    if not isinstance(cache, PagedCache):
        held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
        return {"blocks_held": 0, "bytes_held": held, "bytes_reserved": held}
    stats = cache.stats()
    blocks = max(timing.blocks_held, stats.blocks_held)
    held = blocks * (stats.bytes_held // stats.blocks_held)
    return {"blocks_held": blocks, "bytes_held": held, "bytes_reserved": stats.bytes_reserved}


def _find(lines: list[dict[str, Any]], name: str, budget: int | None, which: str) -> dict[str, Any] | None:
    fits = (line for line in lines if line["name"] == name and line["budget"] == budget and line[which])
    return next((line for line in fits if "error" not in line), None)


def _ratio(full: dict[str, Any], tri: dict[str, Any], which: str, goal: float) -> Row:
    ratio = tri[which]["tokens_per_second"] / full[which]["tokens_per_second"]
    floor = tri[which]["batch"] / tri[which]["floor_seconds"] / (full[which]["batch"] / full[which]["floor_seconds"])
    figure = f"{ratio:.2f} times, at the floor {floor:.2f}"
    return Row(f"tokens per second, {which} batch", figure, f"{goal} times", ratio >= goal)


if __name__ == "__main__":
    main()

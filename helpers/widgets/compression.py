"""Control of a compressed run: which policy, how many rows, how often, who chooses; and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import torch

from helpers.arithmetic.footprint import format_bytes
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.loop import replay
from helpers.eviction import H2O, Compressor, KeyNorm, Oracle, Policy, Random, SnapKV, StreamingLLM, TriAttention
from helpers.eviction.selection import SELECTIONS
from helpers.measuring.trace import Trace
from helpers.models.loading import Loaded, gold_ids, load_reasoner
from helpers.models.worksheets import Worksheet, make_worksheets
from helpers.plots import compression
from helpers.widgets.page import Frame, choice, control, slider

N_SHEETS, N_LINES, SEED = 6, 40, 3
BLOCK_SIZE, NUM_BLOCKS = 16, 64  # room for the whole worksheet and for the largest budget and interval
POLICIES: dict[str, Callable[[Worksheet, TriAttention], Policy]] = {
    "TriAttention": lambda sheet, calibrated: calibrated,
    "SnapKV, not smoothed": lambda sheet, calibrated: SnapKV(kernel_size=1),
    "SnapKV": lambda sheet, calibrated: SnapKV(),
    "H2O": lambda sheet, calibrated: H2O(),
    "StreamingLLM": lambda sheet, calibrated: StreamingLLM(),
    "KeyNorm": lambda sheet, calibrated: KeyNorm(),
    "Random": lambda sheet, calibrated: Random(),
    "Oracle": lambda sheet, calibrated: Oracle([sheet]),
}


def is_right(trace: Trace, sheet: Worksheet, token_ids: torch.Tensor) -> bool:
    """True when a replay of one worksheet said every token of its thought and its answer."""
    decoded = len(sheet.thought.split()) + 1  # the answer comes on top
    return trace.tokens[0][:decoded] == token_ids[0, -decoded:].tolist()


def compression_frame(
    calibrated: TriAttention,
    policy: str,
    budget: int,
    interval: int,
    selection: str,
    compaction: str = "on",
    progress: Callable[[float], None] = lambda share: None,
) -> Frame:
    """Blocks over time of one worksheet under a policy, and how many of ``N_SHEETS`` worksheets come out right.

    Args:
        calibrated: TriAttention for the reasoner.
        policy: one of ``POLICIES``.
        budget: rows kept of the thought.
        interval: tokens between two compressions.
        selection: one of ``SELECTIONS``.
        compaction: ``on`` or ``off``.
        progress: told the share that is done.
    """
    sheets, traces, n_right = make_worksheets(N_SHEETS, N_LINES, SEED), [], 0
    for number, sheet in enumerate(sheets, start=1):
        ids = gold_ids(_course(), [sheet])
        compressor = Compressor(POLICIES[policy](sheet, calibrated), budget, interval, selection, compaction == "on")
        traces.append(_run(ids, sheet, compressor))
        n_right += is_right(traces[-1], sheet, ids)
        progress(number / N_SHEETS)
    full, one = _without_eviction(), traces[-1]
    runs = {"no eviction": compression.held_over_time(full), policy: compression.held_over_time(one)}
    evicted = sum(each.tokens_evicted for each in one.compressions.values())
    caption = (
        f"Figure: line chart, blocks of {BLOCK_SIZE} slots held over tokens seen, without eviction and with {policy} "
        f"at a budget of {budget} rows, every {interval} tokens, selection {selection}, compaction {compaction}. "
        f"Right: {n_right} of {N_SHEETS} worksheets. Freed: {one.blocks_freed} blocks by {len(one.compressions)} "
        f"compressions, which evicted {evicted} tokens; most held at once: {max(one.blocks_held)} of "
        f"{max(full.blocks_held)}, {_most_bytes(one)} of {_most_bytes(full)}."
    )
    return compression.sawtooth(runs, full.tokens_seen[0], ids.shape[1]), caption


def compression_control(calibrated: TriAttention) -> None:
    """Show a compressed run with its controls: policy, budget, interval, selection, compaction."""
    control(
        partial(compression_frame, calibrated),
        button=f"run {N_SHEETS} worksheets",
        policy=choice("policy", POLICIES, "TriAttention"),
        budget=slider("budget", range(32, 417, 16), 240),
        interval=choice("interval", [16, 32, 64, 128], 32),
        selection=choice("selection", SELECTIONS, "shared"),
        compaction=choice("compaction", ["on", "off"], "on"),
    )


def _run(ids: torch.Tensor, sheet: Worksheet, compressor: Compressor | None) -> Trace:
    prompt_length = ids.shape[1] - len(sheet.thought.split()) - 1
    held = PagedCache.for_model(_course().model, NUM_BLOCKS, BLOCK_SIZE, "fp32")
    return replay(_course().model, ids, prompt_length, held, compressor)


def _most_bytes(trace: Trace) -> str:
    return format_bytes(max(trace.bytes_held))


@cache
def _course() -> Loaded:
    return load_reasoner()


@cache
def _without_eviction() -> Trace:
    sheet = make_worksheets(N_SHEETS, N_LINES, SEED)[-1]
    return _run(gold_ids(_course(), [sheet]), sheet, None)

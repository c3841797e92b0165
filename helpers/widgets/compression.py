"""Control of a compressed run: which policy, how many rows, how often, who chooses; and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from helpers.arithmetic.footprint import format_bytes
from helpers.decoding.judged import BLOCK_SIZE, Exam
from helpers.eviction import POLICIES, SHOWN, Compressor, TriAttention
from helpers.eviction.selection import SELECTIONS
from helpers.experiments.sweep import reasoner, subject
from helpers.measuring.trace import Trace
from helpers.models.worksheets import make_worksheets
from helpers.plots import compression
from helpers.widgets.page import Frame, choice, control, slider

N_SHEETS, N_LINES, SEED = 6, 40, 3


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
        policy: one of ``SHOWN``.
        budget: rows kept of the thought.
        interval: tokens between two compressions.
        selection: one of ``SELECTIONS``.
        compaction: ``on`` or ``off``.
        progress: told the share that is done.
    """
    n_right, makers = 0, POLICIES | {"TriAttention": lambda _: calibrated}
    for number, exam in enumerate(_exams(), start=1):
        prepared = makers[policy](subject(exam.sheets))
        judged = exam.judge(Compressor(prepared, budget, interval, selection, compaction == "on"))
        n_right += sum(judged.sheets_right)
        progress(number / N_SHEETS)
    full, one = _without_eviction(), judged.trace
    runs = {"no eviction": compression.held_over_time(full), policy: compression.held_over_time(one)}
    evicted = sum(each.tokens_evicted for each in one.compressions.values())
    caption = (
        f"Figure: line chart, blocks of {BLOCK_SIZE} slots held over tokens seen, without eviction and with {policy} "
        f"at a budget of {budget} rows, every {interval} tokens, selection {selection}, compaction {compaction}. "
        f"Right: {n_right} of {N_SHEETS} worksheets. Freed: {one.blocks_freed} blocks by {len(one.compressions)} "
        f"compressions, which evicted {evicted} tokens; most held at once: {max(one.blocks_held)} of "
        f"{max(full.blocks_held)}, {_most_bytes(one)} of {_most_bytes(full)}."
    )
    return compression.sawtooth(runs, full.tokens_seen[0], exam.token_ids.shape[1]), caption


def compression_control(calibrated: TriAttention) -> None:
    """Show a compressed run with its controls: policy, budget, interval, selection, compaction."""
    control(
        partial(compression_frame, calibrated),
        button=f"run {N_SHEETS} worksheets",
        policy=choice("policy", SHOWN, "TriAttention"),
        budget=slider("budget", range(32, 417, 16), 240),
        interval=choice("interval", [16, 32, 64, 128], 32),
        selection=choice("selection", SELECTIONS, "shared"),
        compaction=choice("compaction", ["on", "off"], "on"),
    )


def _most_bytes(trace: Trace) -> str:
    return format_bytes(max(trace.bytes_held))


@cache
def _exams() -> list[Exam]:
    """Each worksheet by itself, its prompt read once for all runs."""
    return [Exam(reasoner(), [sheet]) for sheet in make_worksheets(N_SHEETS, N_LINES, SEED)]


@cache
def _without_eviction() -> Trace:
    return _exams()[-1].judge().trace

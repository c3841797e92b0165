"""Control of the eviction trap: who leaves, who stays, and which floors of the garage close."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from helpers.cache.block_pool import blocks_for, expected_empty_blocks
from helpers.plots import garage
from helpers.widgets.page import Frame, choice, control, slider

SLOTS, HEADS = 512, 4  # of the garage that the control turns
RUNS = {"by lot, one by one": 1, "by lot, in fours": 4, "by lot, in sixteens": 16}
LATEST = "the latest"
TOGETHER, ALONE = "choose together", "each for itself"
OFF, ON = "off", "on"
DRAWS = 200  # over which a mean is taken where there is no closed form


def survivors_in_runs(rng: np.random.Generator, tokens: int, survivors: int, length: int) -> np.ndarray:
    """Which of ``tokens`` stay, ``[tokens]`` bool: ``survivors`` of them, at random, in runs of ``length``.

    The last run may be shorter. All places of the runs are equally likely; two may touch.
    """
    n_runs = -(-survivors // length)
    places = np.sort(rng.choice(tokens - survivors + n_runs, n_runs, replace=False)) - np.arange(n_runs)
    alive = np.zeros(tokens, bool)
    for i, place in enumerate(places):  # as many evicted tokens come before run i
        first = place + i * length
        alive[first : min(first + length, place + survivors)] = True
    return alive


def keep_tokens(rng: np.random.Generator, survivors: int, pattern: str, heads: str) -> np.ndarray:
    """Which rows stay: ``[slots, heads]`` bool. Each head draws for itself, or one draw holds for all."""
    if pattern == LATEST:
        return np.repeat(np.arange(SLOTS)[:, None] >= SLOTS - survivors, HEADS, axis=1)
    n_draws = 1 if heads == TOGETHER else HEADS
    drawn = [survivors_in_runs(rng, SLOTS, survivors, RUNS[pattern]) for _ in range(n_draws)]
    return np.stack(drawn * (HEADS // n_draws), axis=1)


def compacted(alive: np.ndarray) -> np.ndarray:
    """The same number of rows per head, each head's own slid to the first slots."""
    return np.arange(len(alive))[:, None] < alive.sum(0)


def empty_blocks(alive: np.ndarray, block_size: int) -> int:
    """Blocks in which no head has a row left; ``alive`` is ``[slots, heads]``."""
    return int((~alive.reshape(-1, block_size, alive.shape[1]).any((1, 2))).sum())


@lru_cache(maxsize=512)
def expect_empty(survivors: int, pattern: str, heads: str, block_size: int) -> tuple[float, str]:
    """Blocks expected to come back without compaction, and where the number is from."""
    if RUNS.get(pattern) == 1:
        n_sets = 1 if heads == TOGETHER else HEADS
        return expected_empty_blocks(SLOTS, survivors, block_size, n_sets), "closed form"
    rng, n_draws = np.random.default_rng(0), 1 if pattern == LATEST else DRAWS
    drawn = [empty_blocks(keep_tokens(rng, survivors, pattern, heads), block_size) for _ in range(n_draws)]
    return float(np.mean(drawn)), "no chance in it" if pattern == LATEST else f"mean of {DRAWS} draws"


def garage_frame(evicted: int, block_size: int, pattern: str, heads: str, compaction: str, lots: int) -> Frame:
    """The garage after an eviction.

    Args:
        evicted: per cent of the tokens that leave; at least one stays.
        block_size: slots per floor.
        pattern: who stays: one of ``RUNS``, or ``the latest``.
        heads: ``choose together`` or ``each for itself``.
        compaction: ``on`` slides each head's survivors together.
        lots: which draw of the lots.
    """
    survivors = max(1, SLOTS - round(SLOTS * evicted / 100))
    alive = keep_tokens(np.random.default_rng(lots), survivors, pattern, heads)
    expected, source = expect_empty(survivors, pattern, heads, block_size)
    n_blocks = SLOTS // block_size
    if compaction == ON:
        alive, source = compacted(alive), "no chance in it"
        expected = n_blocks - blocks_for(survivors, block_size)
    freed, share = empty_blocks(alive, block_size), 1 - survivors / SLOTS
    spaces = np.asarray(alive.any(1).reshape(n_blocks, -1).sum(1))
    caption = (
        f"Figure: map of a garage of {n_blocks} floors with {block_size} spaces each; a space has {HEADS} parts, one "
        f"per KV head. Draw {lots}. Evicted: {share:.1%} of the rows, {SLOTS - survivors} of {SLOTS} per head. "
        f"Freed: {freed} of {n_blocks} floors ({freed / n_blocks:.1%}); expected {expected:,.4g} ({source}). "
        f"Compaction {compaction}; the floors that stay have {spaces[spaces > 0].mean():.1f} spaces in use on average."
    )
    return garage.garage(alive.reshape(n_blocks, block_size, HEADS), share, expected), caption


def garage_control() -> None:
    """Show the garage with its controls: share evicted, block size, survivors, heads, compaction, lots drawn."""
    control(
        garage_frame,
        evicted=slider("evicted, %", range(0, 100), 90),
        block_size=choice("block size", [4, 8, 16, 32], 16),
        pattern=choice("stay", [*RUNS, LATEST], "by lot, one by one"),
        heads=choice("heads", [ALONE, TOGETHER], ALONE),
        compaction=choice("compaction", [OFF, ON], OFF),
        lots=slider("lots", range(1, 31), 1),
    )

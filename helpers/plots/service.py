"""Figure of a service: how many blocks of its pool are in use, step by step, and where it died."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREEN, GREY, RED, new_axes

LOOKS = (("--", RED), ("-", GREEN), ("-.", BLUE), (":", GREY))  # per run a line of its own, in colour and stroke


def blocks_over_steps(runs: Mapping[str, Sequence[int]], num_blocks: int, died: Mapping[str, int]) -> Figure:
    """Blocks in use after each step, one line per run, under the dashed line of the pool.

    Args:
        runs: by name, the blocks in use after step 0, 1, and so on; four runs at most.
        num_blocks: blocks of the pool.
        died: by name, the step in which the pool refused, for the runs that died.
    """
    figure, ax = new_axes("step", "blocks in use")
    ax.axhline(num_blocks, color="black", linestyle=":", linewidth=2, label=f"the pool: {num_blocks} blocks")
    for i, ((name, held), (line, colour)) in enumerate(zip(runs.items(), LOOKS, strict=False)):
        # Earlier runs on top: where two are alike, the gaps of the upper line show the lower one.
        ax.plot(range(len(held)), held, line, color=colour, linewidth=2.5, label=name, zorder=5 - i)
        if name in died:
            ax.plot([died[name]], [num_blocks], "X", color=colour, markersize=11, label="out of blocks", zorder=6)
    ax.set_xlim(0, max(map(len, runs.values())))
    ax.set_ylim(0, 1.45 * num_blocks)  # room for the legend above the pool
    ax.legend(loc="upper left", frameon=False, ncols=3, fontsize=9)
    return figure

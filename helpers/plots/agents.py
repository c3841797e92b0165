"""The figure of agents: what is read in all their steps, with the cache kept and without."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, ORANGE, RED, new_axes


def tokens_read(without_cache: Sequence[int], with_cache: Sequence[int]) -> Figure:
    """Tokens read so far after each step: with every step starting from nothing, and with the cache kept."""
    figure, ax = new_axes("steps", "tokens read so far", left=0.15, top=0.88)
    steps = range(1, len(without_cache) + 1)
    ax.fill_between(steps, with_cache, without_cache, color=ORANGE, alpha=0.25, linewidth=0, label="read again")
    ax.plot(steps, without_cache, "--", color=RED, linewidth=2.5, label="each step starts from nothing")
    ax.plot(steps, with_cache, "-", color=BLUE, linewidth=2.5, label="the cache is kept")
    ax.set_xlim(1, len(without_cache))
    ax.set_ylim(0, 1.1 * without_cache[-1])
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_title("Forgetting between the steps means reading everything again", fontsize=12)
    ax.legend(loc="upper left", frameon=False)
    return figure

"""Figures of decoding speed: against the bytes that a token reads, on several machines, and for agents that share."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from helpers.arithmetic.catalog import GB
from helpers.plots.canvas import BLUE, GREY, ORANGE, RED, SKY, new_axes

Dots = Sequence[tuple[float, float]]


def under_the_ceiling(bandwidth: float, runs: dict[str, Dots]) -> Figure:
    """Tokens per second over the bytes that a token reads: a machine's ceiling as a line, runs as dots.

    Args:
        bandwidth: bytes per second.
        runs: by name, up to two: pairs of bytes read per token and tokens per second measured.
    """
    figure, ax = new_axes("GB read for a token: weights and cache", "tokens per second", top=0.88)
    dots = [dot for run in runs.values() for dot in run]
    most = 1.15 * max(n_bytes for n_bytes, _ in dots)
    least = min(n_bytes for n_bytes, _ in dots) / 2
    line = [least + (most - least) * (i / 200) ** 2 for i in range(201)]
    ax.plot([x / GB for x in line], [bandwidth / x for x in line], "--", color=GREY, label="ceiling: bandwidth / bytes")
    for (name, run), (mark, color) in zip(runs.items(), (("o", BLUE), ("^", ORANGE)), strict=False):
        ax.plot([x / GB for x, _ in run], [y for _, y in run], mark, color=color, markersize=10, label=name)
        for x, y in run:
            text = f"{y:,.0f}" if y >= 20 else f"{y:.1f}"
            ax.annotate(text, (x / GB, y), xytext=(9, -4), textcoords="offset points")
    ax.set_xlim(0, most / GB)
    ax.set_ylim(0, 1.25 * max(max(y for _, y in dots), bandwidth / min(x for x, _ in dots)))
    ax.set_title("Fewer bytes, more tokens", fontsize=12)
    ax.legend(loc="upper right", frameon=False)
    return figure


def machines(names: Sequence[str], empty: Sequence[float], full: Sequence[float]) -> Figure:
    """Two horizontal bars per machine: tokens per second at best with an empty and with a full cache.

    Args:
        names: the machines, from top to bottom.
        empty: tokens per second with nothing in the cache; 0 where it does not fit.
        full: tokens per second at full context; 0 where it does not fit.
    """
    figure, ax = new_axes("tokens per second at best", "", left=0.2, top=0.88)
    rows = range(len(names))
    ax.barh([row - 0.2 for row in rows], empty, 0.36, color=SKY, edgecolor=BLUE, label="empty cache")
    ax.barh([row + 0.2 for row in rows], full, 0.36, color=ORANGE, edgecolor=GREY, hatch="//", label="full cache")
    for row, values in enumerate(zip(empty, full, strict=True)):
        for shift, value in zip((-0.2, 0.2), values, strict=True):
            if any(values):
                ax.text(value, row + shift, f" {value:,.1f}" if value else " does not fit", va="center", fontsize=9)
        if not any(values):
            ax.text(0, row, " does not fit", va="center", fontsize=9)
    ax.set_xlim(0, 1.15 * max(*empty, *full))
    ax.set_yticks(list(rows), list(names))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(visible=False)
    ax.set_title("Enough memory is one thing, fast memory another", fontsize=12)
    ax.legend(loc="lower right", frameon=False)
    return figure


def agents_that_share(counts: Sequence[int], each: Sequence[float], once: Sequence[float], wanted: float) -> Figure:
    """Tokens per second of each agent over how many share a prefix: read for each of them, and read once for all.

    Args:
        counts: agents at work, the x axis.
        each: tokens per second where the prefix is read for each agent.
        once: tokens per second where it is read once.
        wanted: tokens per second that each should get.
    """
    figure, ax = new_axes("agents at work", "tokens per second for each, at best", top=0.88)
    ax.plot(counts, once, "o-", color=BLUE, linewidth=2.5, label="prefix read once for all")
    ax.plot(counts, each, "s--", color=RED, linewidth=2.5, label="prefix read for each")
    ax.axhline(wanted, color=GREY, linestyle=":", linewidth=2, label=f"{wanted:g} wanted")
    for values in (each, once):
        ax.annotate(
            f"{values[-1]:.1f}", (counts[-1], values[-1]), xytext=(0, 9), textcoords="offset points", ha="center"
        )
    ax.set_xlim(counts[0] - 0.3, counts[-1] + 0.6)
    ax.set_ylim(0, 1.15 * max(*each, *once))
    ax.set_title("The same rows in memory, read once or fifteen times", fontsize=12)
    ax.legend(loc="upper right", frameon=False)
    return figure


def ways_back(seconds: dict[str, float]) -> Figure:
    """A horizontal bar per way to have a cache again: the seconds that it takes at best.

    Args:
        seconds: by the name of the way, from top to bottom.
    """
    figure, ax = new_axes("seconds at best", "", left=0.3, top=0.88)
    rows, values = range(len(seconds)), list(seconds.values())
    ax.barh(rows, values, 0.55, color=[BLUE] * (len(values) - 1) + [ORANGE], edgecolor=GREY)
    for row, value in zip(rows, values, strict=True):
        ax.text(value, row, f" {value:.1f} s", va="center")
    ax.set_xlim(0, 1.15 * max(values))
    ax.set_yticks(list(rows), list(seconds))
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.grid(visible=False)
    ax.set_title("Fetching rows beats computing them again", fontsize=12)
    return figure

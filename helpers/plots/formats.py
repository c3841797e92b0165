"""Figures of KV formats: a row read back, a row turned, answers by bits, what a format adds to a real model's loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREY, ORANGE, RED, SIZE, SKY, add_axes, new_axes


class Point(NamedTuple):
    """One pair of formats in a picture: bits of K, bits of V, and the height at which it stands."""

    k_bits: float
    v_bits: float
    height: float


def row_read_back(row: Sequence[float], read: Sequence[float], levels: Sequence[float]) -> Figure:
    """The numbers of one row, what is read back of them, and the levels that the format can say.

    Args:
        row: the numbers, one per channel.
        read: the same, stored and read back.
        levels: every value that a number of this row can be read back as; a pale line each.
    """
    figure, ax = new_axes("channel (place in the row)", "value")
    channels = range(len(row))
    ax.hlines(levels, -0.7, len(row) - 0.3, color="#D0D0D0", linewidth=0.8, label="levels that can be stored")
    ax.plot(channels, row, "o", color=BLUE, markersize=6, label="the row")
    ax.plot(channels, read, "s", color=ORANGE, markersize=4.5, label="read back")
    ax.set_xlim(-0.7, len(row) - 0.3)
    ax.set_ylim(min(levels) * 1.1 if min(levels) < 0 else 0, max(levels) + 0.2 * (max(levels) - min(levels)))
    ax.grid(visible=False)
    ax.legend(loc="upper center", frameon=False, ncols=3)
    return figure


def row_turned(halves: Sequence[tuple[str, Sequence[float], Sequence[float]]], title: str) -> Figure:
    """A row before it is turned and after it, side by side, over the levels that each group of it can be stored on.

    Args:
        halves: for each, its name, the row's numbers, and the step of each of its groups; they share the vertical axis.
        title: what one should see.
    """
    figure = Figure(figsize=SIZE)
    figure.suptitle(title, x=0.08, y=0.97, ha="left", fontsize=12)
    top = 1.08 * max(abs(number) for _, row, _ in halves for number in row)
    for i, (name, row, steps) in enumerate(halves):
        ax = add_axes(figure, (0.08 + 0.48 * i, 0.14, 0.43, 0.66))
        size = len(row) // len(steps)
        for group, step in enumerate(steps):
            levels = [step * k for k in range(-8, 8)]
            ax.hlines(levels, size * group - 0.5, size * (group + 1) - 0.5, color="#C4CCD4", linewidth=0.8, zorder=1)
            if group:
                ax.axvline(size * group - 0.5, color=GREY, linewidth=1, linestyle=":")
        ax.bar(range(len(row)), row, 0.8, color=(BLUE, ORANGE)[i], zorder=2)
        ax.set_title(f"{name}: largest {max(map(abs, row)):.1f}", loc="left", fontsize=11)
        ax.set_ylim(-top, top)
        ax.set_xlim(-1, len(row))
        ax.grid(visible=False)
        ax.set_xlabel("place in the row")
    return figure


def answers_by_format(
    names: Sequence[str], shares: Sequence[float], intervals: Sequence[tuple[float, float]], title: str
) -> Figure:
    """Share of worksheets right per pair of formats, with its 95% interval, under a title that says what it shows."""
    figure, ax = new_axes("", "worksheets right throughout")
    ax.set_position((0.1, 0.15, 0.88, 0.73))
    xs = range(len(names))
    below = [share - low for share, (low, _) in zip(shares, intervals, strict=True)]
    above = [high - share for share, (_, high) in zip(shares, intervals, strict=True)]
    ax.bar(xs, shares, 0.6, color=SKY, edgecolor=BLUE)
    ax.errorbar(xs, shares, [below, above], fmt="none", color="black", capsize=5)
    ax.set_xticks(list(xs), list(names))
    ax.set_ylim(0, 1.04)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.set_title(title, loc="left", fontsize=12)
    return figure


def pairs_by_bits(points: Sequence[Point], chosen: Point, interval: tuple[float, float] | None, height: str) -> Figure:
    """Every pair of formats over its bits per number; which of K and V has more bits is the mark, one pair stands out.

    Args:
        points: all pairs that were measured.
        chosen: the pair to stand out.
        interval: 95% interval of its height, if it has one.
        height: what the heights are, for the axis; all are shares.
    """
    figure, ax = new_axes("bits per number, mean of K and V", height)
    kinds = {
        "K has more bits": (BLUE, "^", [p for p in points if p.k_bits > p.v_bits]),
        "V has more bits": (ORANGE, "v", [p for p in points if p.k_bits < p.v_bits]),
        "as many": (GREY, "o", [p for p in points if p.k_bits == p.v_bits]),
    }
    for label, (colour, mark, group) in kinds.items():
        ax.plot([_bits(p) for p in group], [p.height for p in group], mark, color=colour, markersize=7, label=label)
    if interval:
        spread = [[chosen.height - interval[0]], [interval[1] - chosen.height]]
        ax.errorbar([_bits(chosen)], [chosen.height], spread, color="black", capsize=5, linewidth=1.5)
    ring = {"markerfacecolor": "none", "markeredgecolor": RED, "markeredgewidth": 2.5}
    ax.plot([_bits(chosen)], [chosen.height], "o", markersize=17, label="your choice", **ring)
    ax.set_xscale("log", base=2)
    ax.set_xticks([4.5, 5.5, 6.5, 8, 10, 12, 16], ["4.5", "5.5", "6.5", "8", "10", "12", "16"])
    ax.set_xlim(4.2, 17)
    lowest, highest = min(p.height for p in points), max(p.height for p in points)
    ax.set_ylim(*((max(0, lowest - 0.15), 1.04) if interval else (0, 1.15 * highest)))
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="lower right" if interval else "upper right", frameon=False)
    return figure


def _bits(point: Point) -> float:
    return (point.k_bits + point.v_bits) / 2


def context_by_format(names: Sequence[str], tokens: Sequence[int], title: str) -> Figure:
    """One horizontal bar per format: the longest context that fits, under a title that says what it shows."""
    figure, ax = new_axes("tokens that fit", "", left=0.2)
    ax.set_position((0.13, 0.15, 0.85, 0.73))
    bars = ax.barh(list(names), list(tokens), color=SKY, edgecolor=BLUE)
    ax.bar_label(bars, [f" {count:,}" for count in tokens])
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.grid(visible=False)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_title(title, loc="left", fontsize=12)
    return figure


class Cost(NamedTuple):
    """What one side in one format costs, as it is drawn: which side, whether rows are turned, mean and half interval.

    ``column`` is the place of the format among those named.
    """

    side: str
    turned: bool
    column: int
    mean: float
    half: float


LOOKS = {  # of a side and whether its rows are turned: place beside the column's middle, colour, mark, filling, name
    ("k", False): (-0.21, BLUE, "^", BLUE, "keys"),
    ("k", True): (-0.07, BLUE, "^", "white", "keys, turned first"),
    ("v", False): (0.07, ORANGE, "s", ORANGE, "values"),
    ("v", True): (0.21, ORANGE, "s", "white", "values, turned first"),
}


def loss_by_format(names: Sequence[str], costs: Sequence[Cost], title: str) -> Figure:
    """Loss that a format adds, keys and values apart, hollow where rows were turned first; 95% intervals.

    Args:
        names: the formats in the order of their bits, as they stand below the axis.
        costs: every run.
        title: what one should see.
    """
    figure, ax = new_axes("", "loss added, nats per token")
    ax.set_position((0.12, 0.16, 0.86, 0.72))
    for of, (shift, colour, mark, fill, label) in LOOKS.items():
        some = [cost for cost in costs if (cost.side, cost.turned) == of]
        if some:
            xs, ys = [cost.column + shift for cost in some], [cost.mean for cost in some]
            look = {"color": colour, "markerfacecolor": fill, "markersize": 8, "capsize": 3, "linewidth": 1.4}
            ax.errorbar(xs, ys, [cost.half for cost in some], fmt=mark, label=label, **look)
    ax.axhline(0, color=GREY, linewidth=1)
    ax.set_xticks(range(len(names)), list(names))
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_title(title, loc="left", fontsize=12)
    ax.legend(loc="upper left", frameon=False)
    return figure

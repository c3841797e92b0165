"""Figures of KV formats: a row read back, errors of rows and outputs, answers by bits, a real model's divergence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREY, ORANGE, RED, SKY, new_axes


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


def row_errors(
    names: Sequence[str], keys: Sequence[float], values: Sequence[float], predicted: dict[str, tuple[float, float]]
) -> Figure:
    """Two bars per format, the relative error of keys and of values, with the closed form's marks where there is one.

    Args:
        names: the formats.
        keys: relative error of key rows per format, 0.01 for 1%.
        values: likewise of value rows.
        predicted: per format, the closed form's errors of keys and of values.
    """
    figure, ax = new_axes("format", "error of a row (log scale)")
    xs = np.arange(len(names))
    ax.bar(xs - 0.2, keys, 0.38, color=BLUE, label="keys, measured")
    ax.bar(xs + 0.2, values, 0.38, color=SKY, edgecolor=BLUE, hatch="//", label="values, measured")
    marks = [
        (x + side, error)
        for x, name in zip(xs, names, strict=True)
        for side, error in zip((-0.2, 0.2), predicted.get(name, ()), strict=False)
    ]
    ax.plot(*zip(*marks, strict=True), "D", color=ORANGE, markeredgecolor="black", label="closed form")
    ax.set_xticks(xs, list(names))
    ax.set_yscale("log")
    ax.set_ylim(1e-4, 0.5)
    ax.yaxis.set_major_formatter(_percent)
    ax.legend(loc="upper left", frameon=False, ncols=3)
    return figure


def _percent(value: float, _: int) -> str:
    """A tick of a logarithmic axis: as many decimals as it needs, which no fixed format has."""
    return f"{100 * value:g}%"


def output_errors(curves: dict[str, np.ndarray], rare: float) -> Figure:
    """Share of outputs whose error is larger than x, a line per label, both axes logarithmic.

    Args:
        curves: per label, the errors of all outputs.
        rare: lowest share that is drawn, such as 1e-4.
    """
    figure, ax = new_axes("error of the output, as a share of it", "outputs with a larger error")
    for (label, errors), (colour, style) in zip(curves.items(), ((BLUE, "-"), (ORANGE, "--")), strict=False):
        ordered = np.sort(errors)[::-1]
        share = np.arange(1, len(ordered) + 1) / len(ordered)
        ax.plot(ordered, share, style, color=colour, linewidth=2.5, label=label)
    for share, text in ((0.5, "half of them"), (1e-3, "one in a thousand")):
        ax.axhline(share, color=GREY, linestyle=":", linewidth=1)
        ax.text(0.0022, share * 1.1, text, fontsize=9, color=GREY, va="bottom")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(0.002, 1.5)
    ax.set_ylim(rare, 1.3)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(_percent)
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 0.38), frameon=False)
    return figure


def answers_by_format(
    names: Sequence[str], shares: Sequence[float], intervals: Sequence[tuple[float, float]]
) -> Figure:
    """Share of worksheets right per pair of formats, with its 95% interval."""
    figure, ax = new_axes("", "worksheets right throughout")
    xs = range(len(names))
    below = [share - low for share, (low, _) in zip(shares, intervals, strict=True)]
    above = [high - share for share, (_, high) in zip(shares, intervals, strict=True)]
    ax.bar(xs, shares, 0.6, color=SKY, edgecolor=BLUE)
    ax.errorbar(xs, shares, [below, above], fmt="none", color="black", capsize=5, label="95% interval")
    ax.set_xticks(list(xs), list(names))
    ax.set_ylim(0, 1.15)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="upper right", frameon=False)
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


def context_by_format(names: Sequence[str], tokens: Sequence[int]) -> Figure:
    """One horizontal bar per format: the longest context that fits."""
    figure, ax = new_axes("tokens that fit", "", left=0.2)
    bars = ax.barh(list(names), list(tokens), color=SKY, edgecolor=BLUE)
    ax.bar_label(bars, [f" {count:,}" for count in tokens])
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.grid(visible=False)
    ax.xaxis.set_major_formatter("{x:,.0f}")
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


def divergence_by_format(names: Sequence[str], costs: Sequence[Cost]) -> Figure:
    """KL divergence per format, K and V apart, hollow where rows were turned first; 95% intervals, logarithmic.

    Args:
        names: the formats in the order of their bits, as they stand below the axis.
        costs: every run.
    """
    figure, ax = new_axes("bits per number, and format", "KL divergence (nats per token)")
    ax.set_position((0.12, 0.24, 0.85, 0.72))  # room for names of two lines
    looks = {
        ("k", False): (-0.24, BLUE, "^", BLUE, "K"),
        ("k", True): (-0.08, BLUE, "^", "white", "K, turned first"),
        ("v", False): (0.08, ORANGE, "s", ORANGE, "V"),
        ("v", True): (0.24, ORANGE, "s", "white", "V, turned first"),
    }
    for (side, turned), (shift, colour, mark, fill, label) in looks.items():
        some = [cost for cost in costs if (cost.side, cost.turned) == (side, turned)]
        xs, ys = [cost.column + shift for cost in some], [cost.mean for cost in some]
        spread = [[min(cost.half, 0.9 * cost.mean) for cost in some], [cost.half for cost in some]]
        look = {"color": colour, "markerfacecolor": fill, "markersize": 7, "capsize": 3, "linewidth": 1.2}
        ax.errorbar(xs, ys, spread, fmt=mark, label=label, **look)
    ax.set_yscale("log")
    ax.set_xticks(range(len(names)), list(names))
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.legend(loc="upper right", frameon=False, ncols=2)
    return figure

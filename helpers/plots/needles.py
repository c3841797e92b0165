"""Figures of RoPE and of queries: compass needles that turn by position, and a head's queries around their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Arc, Circle, Wedge

from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, RED, SIZE, SKY

PALE = "#F4F4F4"
# Per kind of token that asks a colour and a mark.
LOOKS = {"a question": (GREY, "o"), "of a name": (ORANGE, "o"), "of a digit": (RED, "s"), "of a sign": (GREEN, "^")}


@dataclass(frozen=True)
class Pair:
    """A key's needle and a query's in one band: how far each has turned from the start, in radians, and a title."""

    key: float
    query: float
    title: str


@dataclass(frozen=True)
class Cloud:
    """Queries of a head in one band, complex ``[n]``, turned back to where they started; the kind of each, a title."""

    points: np.ndarray
    kinds: Sequence[str]
    title: str


def turned(pairs: Sequence[Pair]) -> Figure:
    """One compass per pair: the start is marked, an arc says how far each needle has come, a wedge what is between."""
    figure = Figure(figsize=(SIZE[0], 3.3))
    width = 0.98 / len(pairs)
    for i, pair in enumerate(pairs):
        ax = _compass(figure, (0.01 + i * width, 0.1, width, 0.78))
        ends = sorted(np.degrees([pair.key, pair.query]))
        ax.add_patch(Wedge((0, 0), 0.3, *ends, color=SKY, alpha=0.45))
        middle = np.radians(sum(ends) / 2)
        between = f"{ends[1] - ends[0]:.0f}°"
        ax.text(0.5 * np.cos(middle), 0.5 * np.sin(middle), between, ha="center", va="center", fontsize=11)
        _needle(ax, pair.key, 0.66, ORANGE, "s", "the key's needle")
        _needle(ax, pair.query, 0.82, BLUE, "o", "the query's needle")
        ax.set_title(pair.title, fontsize=11)
    figure.legend(*ax.get_legend_handles_labels(), loc="lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def clouds(panels: Sequence[Cloud]) -> Figure:
    """One compass per head: a dot per query, by its kind, and the needle of their mean; each has its own scale."""
    figure = Figure(figsize=(SIZE[0], 4.0))
    width, named = 0.98 / len(panels), {}
    for i, panel in enumerate(panels):
        ax = _compass(figure, (0.01 + i * width, 0.09, width, 0.78))
        points, kinds = panel.points / np.abs(panel.points).max(), np.asarray(panel.kinds)
        for kind in dict.fromkeys(panel.kinds):
            colour, mark = LOOKS[kind]
            some, look = points[kinds == kind], {"markersize": 4.5, "alpha": 0.6, "linestyle": "none"}
            [named[kind]] = ax.plot(some.real, some.imag, mark, color=colour, label=kind, **look)
        mean = points.mean()
        ax.annotate("", (mean.real, mean.imag), (0, 0), arrowprops={"arrowstyle": "-|>", "color": BLUE, "linewidth": 3})
        [named["zero"]] = ax.plot(0, 0, "+", color="black", markersize=9, markeredgewidth=1.5)
        ax.set_title(panel.title, fontsize=11)
    named["the mean"] = Line2D([], [], color=BLUE, linewidth=3)
    figure.legend(named.values(), named, loc="lower center", ncols=len(named), frameon=False, fontsize=9)
    return figure


def _compass(figure: Figure, place: tuple[float, float, float, float]) -> Axes:
    """A round card; angle 0 points right, and angles grow to the left, as in mathematics."""
    ax = figure.add_axes(place)
    ax.add_patch(Circle((0, 0), 1, facecolor=PALE, edgecolor=GREY, linewidth=1))
    ax.set_xlim(-1.2, 1.2)
    ax.set_ylim(-1.2, 1.2)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def _needle(ax: Axes, angle: float, radius: float, colour: str, mark: str, label: str) -> None:
    """A needle, and the arc from the start to where it stands; whole turns are left out."""
    tip, come = (np.cos(angle), np.sin(angle)), np.degrees(angle) % 360
    ax.plot([1], [0], "|", color=RED, markersize=14, markeredgewidth=2.5)
    ax.add_patch(Arc((0, 0), 2 * radius, 2 * radius, theta1=0, theta2=come, color=colour, linewidth=1.3))
    ax.plot([0, tip[0]], [0, tip[1]], "-", color=colour, linewidth=2.4, marker=mark, markevery=[1], label=label)

"""Figures of RoPE: arrows on clock faces, and what is left of each clock's hand when many times are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from helpers.plots.canvas import BLUE, GREY, ORANGE, SIZE, new_axes

PER_ROW = 8  # small faces side by side


@dataclass(frozen=True)
class Pair:
    """A key's arrow and a query's on one face: their angles in radians, and what stands above them."""

    key: float
    query: float
    title: str


def arrow_pairs(pairs: Sequence[Pair]) -> Figure:
    """One large face per pair: the key's arrow filled, the query's dashed; the angle between them is what counts."""
    figure = Figure(figsize=(SIZE[0], 2.9))
    width = 0.86 / len(pairs)
    for i, pair in enumerate(pairs):
        ax = _face(figure, (0.01 + i * width, 0.02, width, 0.84))
        _hand(ax, pair.key, BLUE, "-", "key")
        _hand(ax, pair.query, ORANGE, "--", "query")
        ax.set_title(pair.title, fontsize=10)
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", frameon=False)
    return figure


def faces(angles: Sequence[float], titles: Sequence[str]) -> Figure:
    """One small face per band, eight to a row, with one hand each."""
    n_rows = -(-len(angles) // PER_ROW)
    figure = Figure(figsize=(SIZE[0], 1.45 * n_rows))
    for i, (angle, title) in enumerate(zip(angles, titles, strict=True)):
        row, column = divmod(i, PER_ROW)
        height = 1 / n_rows
        ax = _face(figure, (column / PER_ROW, 1 - (row + 1) * height, 1 / PER_ROW, 0.74 * height))
        _hand(ax, angle, BLUE, "-", "hand")
        ax.set_title(title, fontsize=8.5, pad=3)
    return figure


def hands_left(wavelengths: Sequence[float], lengths: Sequence[float]) -> Figure:
    """One bar per band: the length of a hand of length 1, averaged over the offsets."""
    figure, ax = new_axes("tokens in which the band's hand goes round once", "length of the averaged hand")
    places = range(len(wavelengths))
    bars = ax.bar(places, lengths, 0.7, color=BLUE)
    ax.bar_label(bars, [f"{length:.2f}" for length in lengths], fontsize=8, padding=2)
    ax.axhline(1, color=GREY, linestyle="--", linewidth=1)
    ax.set_xticks(list(places), [f"{w:,.0f}" for w in wavelengths], fontsize=7)
    ax.set_ylim(0, 1.12)
    return figure


def _face(figure: Figure, place: tuple[float, float, float, float]) -> Axes:
    """A clock face without numbers; angle 0 points right, and angles grow against the clock, as in mathematics."""
    ax = figure.add_axes(place)
    ax.add_patch(Circle((0, 0), 1, facecolor="#F4F4F4", edgecolor=GREY, linewidth=1))
    ax.plot([1], [0], "|", color=GREY, markersize=8)
    ax.set_xlim(-1.15, 1.15)
    ax.set_ylim(-1.15, 1.15)
    ax.set_aspect("equal")
    ax.set_axis_off()
    return ax


def _hand(ax: Axes, angle: float, colour: str, style: str, label: str) -> None:
    tip = np.cos(angle), np.sin(angle)
    ax.plot([0, tip[0]], [0, tip[1]], style, color=colour, linewidth=2.2, label=label)
    ax.plot(*tip, "o" if style == "-" else "s", color=colour, markersize=5)

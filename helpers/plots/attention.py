"""Figures of a real model's attention: how much of it the strongest rows draw, head by head, and what rows they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers.plots.canvas import BLUE, GREEN, GREY, SIZE, add_axes

# Words for each kind of row, from the top.
KINDS = {
    "first": "the first 4 tokens",
    "near": "the last 16",
    "same": "the same word, earlier",
    "after_same": "the one after that",
    "rest": "all others",
}


def strongest_rows(shares: Sequence[Sequence[float]], title: str) -> Figure:
    """A dot per query head over its layer, and the mean of each layer.

    Args:
        shares: of the attention that goes to the strongest rows, ``[n_layers][n_heads]``.
        title: a sentence.
    """
    figure = Figure(figsize=SIZE)
    ax = add_axes(figure, (0.09, 0.15, 0.88, 0.74))
    layers, n_heads = np.arange(len(shares)), len(shares[0])
    xs = layers[:, None] + np.linspace(-0.3, 0.3, n_heads)
    ax.plot(xs.ravel(), np.ravel(shares), "o", color=BLUE, markersize=3, label="a query head")
    ax.plot(layers, np.mean(shares, 1), "-", color=GREEN, linewidth=2, label="mean of the layer")
    ax.axhline(0.5, color=GREY, linestyle=":", linewidth=1.2)
    ax.set(xlim=(-0.7, len(layers) - 0.3), ylim=(0, 1.02), xlabel="layer", ylabel="share of the head's attention")
    ax.set_xticks(layers[::2], [str(layer) for layer in layers[::2]])
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1])
    ax.yaxis.set_major_formatter(PercentFormatter(1, 0))
    ax.set_title(title, fontsize=11, loc="left")
    ax.legend(loc="lower right", ncols=2, frameon=False, fontsize=9)
    return figure


def where_it_goes(rows: Mapping[str, float], attention: Mapping[str, tuple[float, float]], title: str) -> Figure:
    """Two bars per kind of row: its share of the rows, and its share of the attention with an interval.

    Args:
        rows: by kind (``KINDS``), its share of the rows.
        attention: by kind, its share of the attention, and half the interval.
        title: a sentence.
    """
    figure = Figure(figsize=SIZE)
    ax = add_axes(figure, (0.25, 0.15, 0.72, 0.74), grid="x")
    for y, kind in enumerate(KINDS):
        share, half = attention[kind]
        ax.barh(y - 0.2, share, 0.38, color=BLUE, xerr=half, ecolor="black", capsize=3)
        ax.barh(y + 0.2, rows[kind], 0.38, color="white", edgecolor=GREY, hatch="///")
        ax.text(share + half + 0.01, y - 0.2, f"{share:.0%} of the attention", va="center", fontsize=9.5)
        ax.text(rows[kind] + 0.01, y + 0.2, f"{rows[kind]:.1%} of the rows", va="center", fontsize=9.5, color=GREY)
    ax.set_yticks(range(len(KINDS)), list(KINDS.values()))
    ax.set(ylim=(len(KINDS) - 0.5, -0.5), xlim=(0, 1.19), xlabel="share")
    ax.set_xticks(np.arange(0, 1.1, 0.2))
    ax.xaxis.set_major_formatter(PercentFormatter(1, 0))
    ax.set_title(title, fontsize=11, loc="left")
    return figure

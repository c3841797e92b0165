"""Figures of a real model's attention: how much its strongest tenth holds, head by head, and where it goes by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, RED, SIZE, SKY, add_axes

# Colour, hatch and words of each kind of row, in the order in which they are stacked.
LOOKS = {
    "first": (BLUE, "", "first 4 tokens"),
    "near": (SKY, "//", "last 16"),
    "same": (ORANGE, "", "same token, earlier"),
    "after_same": (RED, "xx", "right after it"),
    "rest": ("#D0D0D0", "", "all other"),
}


def attention_mass(
    tenth: Sequence[Sequence[float]], places: Mapping[str, Sequence[Sequence[float]]], rows: Mapping[str, float]
) -> Figure:
    """Above, a dot per query head; below, a bar per layer, mean over its heads.

    Args:
        tenth: share of the weights in the strongest tenth of the past, ``[n_layers][n_heads]``.
        places: by kind of row (``LOOKS``) its share of the weights, likewise.
        rows: by kind of row its share of the rows, for the legend.
    """
    figure = Figure(figsize=(SIZE[0], 5.6))
    layers = np.arange(len(tenth))
    upper = add_axes(figure, (0.1, 0.67, 0.87, 0.26))
    offsets = np.linspace(-0.3, 0.3, len(tenth[0]))
    xs = (layers[:, None] + offsets).ravel()
    upper.plot(xs, np.ravel(tenth), "o", color=BLUE, markersize=2.5, label="a query head")
    upper.plot(layers, np.mean(tenth, 1), "-", color=GREEN, linewidth=2, label="mean of the layer")
    upper.axhline(0.1, color=GREY, linestyle=":", linewidth=1.2)
    upper.text(len(layers) - 0.5, 0.12, "if attention were even", ha="right", fontsize=9, color=GREY)
    upper.set_ylim(0, 1.03)
    upper.set_title("Attention in the strongest tenth of the past", fontsize=10, loc="left")
    upper.legend(loc="lower left", ncols=2, frameon=False, fontsize=9, bbox_to_anchor=(0.08, 0.12))
    lower = add_axes(figure, (0.1, 0.17, 0.87, 0.36))
    below = np.zeros(len(layers))
    for kind, (colour, hatch, words) in LOOKS.items():
        heights = np.mean(places[kind], 1)
        look = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.3}
        lower.bar(layers, heights, 0.85, bottom=below, label=f"{words} ({rows[kind]:.1%} of rows)", **look)
        below += heights
    lower.set_ylim(0, 1)
    lower.set_xlabel("layer")
    lower.set_title("Where it goes", fontsize=10, loc="left")
    for ax in (upper, lower):
        ax.set_xlim(-0.7, len(layers) - 0.3)
        ax.set_xticks(layers[::2], [str(layer) for layer in layers[::2]])
        ax.set_ylabel("share of weights")
        ax.yaxis.set_major_formatter("{x:.0%}")
    handles, labels = lower.get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False, fontsize=9)
    return figure

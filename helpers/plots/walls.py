"""Figures of the second wall: what attention weights show, and their price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from helpers.arithmetic.footprint import format_bytes
from helpers.plots.canvas import BLUE, RED, SIZE, add_axes, new_axes, powers_axis

AGES = colormaps["cividis"]


def mass_by_head(mass: np.ndarray) -> Figure:
    """A table of coloured squares: per layer and query head, the share of attention that the strongest rows draw."""
    figure, ax = new_axes("query head", "layer")
    ax.imshow(mass, AGES, vmin=0, vmax=1, aspect="auto")
    for layer, heads in enumerate(mass):
        for head, share in enumerate(heads):
            colour = "black" if share > 0.5 else "white"
            ax.text(head, layer, f"{share:.0%}", ha="center", va="center", color=colour, fontsize=9)
    ax.set_xticks(range(mass.shape[1]))
    ax.set_yticks(range(mass.shape[0]))
    ax.grid(visible=False)
    return figure


def price_of_weights(
    lengths: Sequence[int], seconds: Mapping[str, Sequence[float]], largest: Mapping[str, Sequence[int]]
) -> Figure:
    """Two panels over the length of the text: time of one layer's attention, and bytes of the largest tensor it makes.

    Args:
        lengths: tokens.
        seconds: by kind of attention, seconds at each length.
        largest: by kind of attention, bytes.
    """
    figure = Figure(figsize=SIZE)
    panels = [add_axes(figure, (left, 0.15, 0.37, 0.68)) for left in (0.09, 0.61)]
    for ax, label, data, scale in zip(
        panels, ("time (ms)", "largest tensor made"), (seconds, largest), (1e3, 1), strict=True
    ):
        for (kind, values), look, colour in zip(data.items(), ("s--", "o-"), (RED, BLUE), strict=False):
            ax.plot(lengths, [scale * value for value in values], look, color=colour, label=kind)
        ax.set_yscale("log")
        powers_axis(ax, lengths, [f"{length:,}" for length in lengths], fontsize=9)
        ax.set_xlabel("tokens")
        ax.set_ylabel(label)
    panels[0].yaxis.set_major_formatter("{x:,.10g}")
    panels[1].set_yticks([4.0**k * 2**14 for k in range(9)])
    panels[1].yaxis.set_major_formatter(lambda value, _: format_bytes(value).replace(".0 ", " "))
    panels[1].set_ylim(min(map(min, largest.values())) / 2, max(map(max, largest.values())) * 2)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="upper center", ncols=2, frameon=False)
    return figure

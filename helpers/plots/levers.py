"""Figure of savings put on top of each other."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from helpers.arithmetic.footprint import format_bytes
from helpers.plots.canvas import BLUE, RED, bytes_axis, new_axes


def stacked(names: Sequence[str], measured: Sequence[int], predicted: Sequence[int]) -> Figure:
    """One horizontal bar per saving, each added to those above it, with the prediction as a mark.

    Args:
        names: from top to bottom.
        measured: bytes held.
        predicted: bytes by the closed form.
    """
    figure, ax = new_axes("KV cache of all agents at the end", "", left=0.3)
    places = range(len(names))
    ax.barh(places, measured, 0.6, color=BLUE, alpha=0.75, label="measured")
    ax.plot(predicted, places, "D", color=RED, fillstyle="none", markersize=9, markeredgewidth=1.8, label="predicted")
    for place, size, before in zip(places, measured, [None, *measured], strict=False):
        factor = "" if before is None else f", {before / size:.2f} times less"
        ax.text(size, place, f"    {format_bytes(size)}{factor}", va="center", fontsize=9)
    top = 1.3 * max(measured)
    ax.set_yticks(places, list(names))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, top)
    bytes_axis(ax.xaxis, top)
    ax.grid(visible=False)
    ax.legend(loc="lower right", frameon=False)
    return figure

"""Figures of an engine's cells: found, read and written request by request, and filled while an answer is written."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREY, ORANGE, RED, SIZE, SKY, add_axes


def cells_of_requests(
    names: Sequence[str], found: Sequence[int], read: Sequence[int], written: Sequence[int], cells: int
) -> Figure:
    """One horizontal bar per request: tokens found again, read and written, in a slot of so many cells.

    Args:
        names: the requests, from top to bottom.
        found: tokens of each whose rows were there already.
        read: tokens of each that were read.
        written: tokens of each answer.
        cells: of the slot.
    """
    figure, ax = _titled("One changed digit, and all behind it is read again", "cells of the slot", left=0.2)
    parts = (
        ("found again", found, {"color": SKY, "edgecolor": BLUE}),
        ("read", read, {"color": ORANGE, "edgecolor": GREY, "hatch": "//"}),
        ("written", written, {"color": "white", "edgecolor": GREY, "hatch": ".."}),
    )
    start = [0] * len(names)
    for label, counts, look in parts:
        ax.barh(list(names), list(counts), 0.6, left=start, label=label, **look)
        for y, (x, count) in enumerate(zip(start, counts, strict=True)):
            if count > cells / 50:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
                ax.text(x + count / 2, y, str(count), ha="center", va="center", fontsize=9, bbox=box)
        start = [x + count for x, count in zip(start, counts, strict=True)]
    ax.axvline(cells, color=RED, linestyle="--", linewidth=2, label=f"reserved: {cells:,}")
    ax.set_xlim(0, cells * 1.02)
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)  # beside a small number a tick reads as a minus
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.legend(loc="center", bbox_to_anchor=(0.6, 0.5), frameon=False)
    return figure


def cells_while_writing(written: Sequence[int], filled: Sequence[int], cells: int, ends: int) -> Figure:
    """Filled cells over the tokens written: a slot that goes on when it is full, beside one that ends there.

    Args:
        written: tokens of the answer, reading by reading.
        filled: cells with a row in them, at each.
        cells: of the slot.
        ends: tokens after which an answer ends that may not go on.
    """
    figure, ax = _titled("When it is full, half is thrown away, and it writes on", "tokens written", left=0.11)
    ax.plot(written, filled, color=BLUE, linewidth=2.2, label="with context shift")
    ax.plot([0, ends], [filled[0], cells - 1], "o", color=ORANGE, markevery=[1], markersize=9, label="without: it ends")
    ax.axhline(cells, color=RED, linestyle="--", linewidth=2, label=f"reserved: {cells:,} cells")
    ax.set_ylabel("cells filled")
    ax.set_xlim(0, max(written) * 1.03)
    ax.set_ylim(0, cells * 1.15)
    ax.legend(loc="lower right", frameon=False)
    return figure


def _titled(title: str, xlabel: str, left: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE)
    ax = add_axes(figure, (left, 0.15, 0.97 - left, 0.72))
    ax.set_title(title, loc="left")
    ax.set_xlabel(xlabel)
    return figure, ax

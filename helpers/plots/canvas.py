"""What all figures share: size, colours, axes in a fixed place, an axis in bytes or in powers of 2, the card's limit.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; every line has a second mark besides its colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator

from helpers.arithmetic.footprint import binary_unit

BLUE, ORANGE, GREEN, RED, SKY, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#595959"
PURPLE = "#CC79A7"
SIZE = (8.0, 3.6)  # inches; as wide as a laptop's notebook column
LIMIT = {"color": RED, "linestyle": "--", "linewidth": 2, "label": "the card's limit"}


def new_axes(
    xlabel: str, ylabel: str, left: float = 0.12, right: float = 0.97, top: float = 0.95
) -> tuple[Figure, Axes]:
    """One pair of axes in a fixed place: a layout computed anew would make the picture jump, and take longer.

    A title needs room above: ``top`` 0.88.
    """
    figure = Figure(figsize=SIZE)
    ax = add_axes(figure, (left, 0.15, right - left, top - 0.15))
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    return figure, ax


def add_axes(figure: Figure, place: tuple[float, float, float, float], grid: str = "y") -> Axes:
    """Axes open above and to the right, with pale lines at the ticks of the axis ``grid``."""
    ax = figure.add_axes(place)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis=grid, alpha=0.25)
    return ax


def powers_axis(ax: Axes, ticks: Sequence[float], labels: Sequence[str], **look: Any) -> None:
    """An x axis in powers of 2 with these ticks and no others."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(list(ticks), list(labels), **look)
    ax.minorticks_off()


def bytes_axis(axis: Axis, top: float) -> None:
    """Round ticks in one power-of-1024 unit; matplotlib's own would be round in bytes, such as 976.6 KiB."""
    unit, name = binary_unit(top)
    ticks = MaxNLocator(nbins=6, steps=[1, 2, 4, 5, 8, 10]).tick_values(0, top / unit)
    axis.set_major_locator(FixedLocator([unit * tick for tick in ticks]))
    axis.set_major_formatter(lambda value, _: f"{value / unit:,.10g} {name}" if value else "0")

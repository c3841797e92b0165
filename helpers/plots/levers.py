"""Figures of savings: put on top of each other, and set beside what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from helpers.arithmetic.footprint import format_bytes
from helpers.plots.canvas import BLUE, GREY, ORANGE, RED, SIZE, add_axes, bytes_axis, new_axes

TOO_FAR = {"color": ORANGE, "hatch": "//", "edgecolor": "white"}  # a bar that is no further saving


def stacked(names: Sequence[str], measured: Sequence[int], predicted: Sequence[int], too_far: int = 0) -> Figure:
    """One horizontal bar per saving, each added to those above it, with the prediction as a mark.

    Args:
        names: from top to bottom.
        measured: bytes held.
        predicted: bytes by the closed form.
        too_far: how many of the last bars are drawn as no saving.
    """
    figure, ax = new_axes("KV cache of all readers at the end", "", left=0.27)
    places = range(len(names))
    bars = ax.barh(places, measured, 0.6, color=BLUE, alpha=0.75, label="measured")
    for bar in bars[len(bars) - too_far :]:
        bar.set(**TOO_FAR)
    ax.plot(predicted, places, "D", color=RED, fillstyle="none", markersize=9, markeredgewidth=1.8, label="predicted")
    for place, size, before in zip(places, measured, [None, *measured], strict=False):
        ax.text(size, place, f"    {format_bytes(size)}{_change(size, before)}", va="center", fontsize=9)
    top = 1.3 * max(measured)
    ax.set_yticks(places, list(names))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, top)
    bytes_axis(ax.xaxis, top)
    ax.grid(visible=False)
    ax.legend(loc="lower right", frameon=False)
    return figure


def _change(size: int, before: int | None) -> str:
    if before is None:
        return ""
    if size == before:
        return ", no change"
    return f", {before / size:.2f} times less" if size < before else f", {size / before:.2f} times more"


class Cost(NamedTuple):
    """What a lever costs in one test: the figure, and the ends of its 95% interval."""

    value: float
    low: float
    high: float


def prices(
    levers: Sequence[str],
    tests: Mapping[str, Sequence[Cost | None]],
    without: Mapping[str, float],
    percent: Sequence[str],
) -> Figure:
    """The same levers in several tests side by side: a row a lever, a panel a test, a dot with its interval each.

    Args:
        levers: from top to bottom; those that begin with "keep" evict, and get a mark of their own.
        tests: by title, a cost per lever; None where it was not tested.
        without: by title, the figure with no lever pulled: a dashed line.
        percent: titles of the tests whose figures are shares.
    """
    figure, width = Figure(figsize=SIZE), 0.82 / len(tests)
    for i, (title, costs) in enumerate(tests.items()):
        ax = add_axes(figure, (0.16 + i * width, 0.1, width - 0.035, 0.74), grid="both")
        ax.axvline(without[title], color=GREY, linestyle="--", linewidth=1.2)
        for place, (lever, cost) in enumerate(zip(levers, costs, strict=True)):
            if cost is None:
                ax.text(
                    0.5, place, "not tested", transform=ax.get_yaxis_transform(), color=GREY, ha="center", fontsize=8
                )
                continue
            colour, mark = (ORANGE, "s") if lever.startswith("keep") else (BLUE, "o")
            ax.plot([cost.low, cost.high], [place, place], color=colour, linewidth=2)
            ax.plot([cost.value], [place], mark, color=colour, markersize=8)
        ax.set_title(title, fontsize=9.5, loc="left")
        ax.set_ylim(len(levers) - 0.5, -0.5)
        ax.set_yticks(range(len(levers)), levers if i == 0 else [], fontsize=9)
        if title in percent:
            ax.set_xlim(-0.05, 1.05)
            ax.xaxis.set_major_formatter("{x:.0%}")
        ax.tick_params(axis="x", labelsize=8)
    figure.text(0.02, 0.955, "What a lever costs depends on the test", fontsize=10.5)
    return figure

"""Figure of a reader's journal: each guess against its result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.measuring.comparisons import factor_off
from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, add_axes

NEAR, CLOSE = 1.1, 2.0  # times too high or too low, up to which a guess is near or close
LEAST, MOST = 1e-30, 1e30  # sizes that are drawn as they are; what somebody types beyond stands at the edge
NAMED = 5  # marks that say their lesson: those furthest off
GROUPS = (  # words, mark, colour
    (f"within {NEAR - 1:.0%}", "o", GREEN),
    ("within a factor of 2", "s", BLUE),
    ("further off", "^", ORANGE),
)


@dataclass(frozen=True)
class Mark:
    """One question: where it was asked, in a few signs, the guess, and the result in the same unit."""

    label: str
    guess: float
    result: float

    @property
    def place(self) -> tuple[float, float]:
        """Where it is drawn."""
        return _bounded(self.guess), _bounded(self.result)

    @property
    def group(self) -> int:
        """Its place in ``GROUPS``."""
        factor = factor_off(self.guess, self.result)
        return 0 if factor <= NEAR else 1 if factor <= CLOSE else 2


def guess_against_result(marks: Sequence[Mark]) -> Figure:
    """One mark a question: the guess to the right, the result upwards, both in that question's unit.

    Axes are logarithmic, since questions ask for parts and for billions; where a guess or a result is 0 or less, they
    are linear around 0. A guess on the diagonal is exact; the band around it is a factor of 2 to each side.

    Raises:
        ValueError: if there are no marks.
    """
    if not marks:
        raise ValueError("marks is empty; a figure needs one or more")
    figure = Figure(figsize=(8.0, 5.0))
    ax = add_axes(figure, (0.1, 0.12, 0.6, 0.84), grid="both")
    low, least, high = _scale(ax, [number for mark in marks for number in mark.place])
    band = [high * (least / high) ** (i / 60) for i in range(61)]  # on an axis that turns linear its edge is curved
    ax.fill_between(band, [x / CLOSE for x in band], [x * CLOSE for x in band], color=GREY, alpha=0.12, linewidth=0)
    ax.plot([low, high], [low, high], "--", color=GREY, linewidth=1.5, label="guess = result")
    for group, (words, shape, colour) in enumerate(GROUPS):
        own = [mark for mark in marks if mark.group == group]
        look = {"color": colour, "markeredgecolor": "white", "markersize": 9, "alpha": 0.9}
        ax.plot(*_columns(own), shape, label=f"{words}: {len(own)}", **look)
    for mark in furthest(marks)[:NAMED]:
        ax.annotate(mark.label, mark.place, (7, 3), textcoords="offset points", fontsize=9)
    ax.set_xlabel("your guess, in the unit of its question")
    ax.set_ylabel("result, in the same unit")
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False)
    return figure


def furthest(marks: Sequence[Mark]) -> list[Mark]:
    """The marks further off than a factor of 2, the furthest first."""
    far = [mark for mark in marks if mark.group == 2]
    return sorted(far, key=lambda mark: factor_off(mark.guess, mark.result), reverse=True)


def _bounded(number: float) -> float:
    return math.copysign(min(max(abs(number), LEAST), MOST), number) if number else 0.0


def _columns(marks: Sequence[Mark]) -> tuple[list[float], list[float]]:
    return [mark.place[0] for mark in marks], [mark.place[1] for mark in marks]


def _scale(ax: Axes, numbers: Sequence[float]) -> tuple[float, float, float]:
    """Give both axes the same scale and ends; returns the low end, the least size that has a place, the high end."""
    sizes = [abs(number) for number in numbers if number]
    smallest, largest = (min(sizes), max(sizes)) if sizes else (1.0, 1.0)
    if min(numbers) > 0:
        scale, low, least = {"value": "log"}, smallest / 3, smallest / 3
    else:
        least = 10.0 ** math.floor(math.log10(smallest))  # below this the axis is linear, so that 0 has a place
        scale, low = {"value": "symlog", "linthresh": least}, min(3 * min(numbers), -least / 2)
    high = 3 * max(numbers) if max(numbers) > 0 else largest / 3
    ax.set_xscale(**scale)
    ax.set_yscale(**scale)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(numticks=7)
    ax.set(xlim=(low, high), ylim=(low, high))
    ax.minorticks_off()
    return low, least, high

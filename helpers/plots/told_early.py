"""A fact told early in a conversation: who still has its rows when it is asked for, and what is said then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE

ACROSS = 80  # tokens in a line of a ribbon
KEPT = LinearSegmentedColormap.from_list("kept", ["#F4F4F4", BLUE])


class Ribbon(NamedTuple):
    """A conversation as it is in memory when the question has been read.

    Attributes:
        name: what was kept, and by whom.
        left: share of the heads that have a token's row, for each token.
        told_at: first token of the fact, and the first after it.
        says: what the model says then.
        right: whether that is right.
    """

    name: str
    left: Sequence[float]
    told_at: tuple[int, int]
    says: str
    right: bool


def ribbons(told: str, beginning: str, kept: Sequence[Ribbon]) -> Figure:
    """Conversations as lines of squares, one per token, the darker the more heads have its row; and what is said.

    Args:
        told: the fact.
        beginning: how the answer begins.
        kept: one above the other.
    """
    figure = Figure(figsize=(8.0, 0.55 + 1.75 * len(kept)))
    height = 1 / figure.get_size_inches()[1]
    figure.text(0.02, 1 - 0.3 * height, f"told early, outlined: “{told}”", weight="bold", fontsize=10)
    hint = "a square is a token; the darker, the more heads have it"
    figure.text(0.98, 1 - 0.47 * height, hint, ha="right", fontsize=8.5)
    for i, ribbon in enumerate(kept):
        bottom = 1 - height * (0.55 + 1.75 * i + 1.3)
        ax = figure.add_axes((0.02, bottom, 0.96, height * 1.05))
        _draw_ribbon(ax, ribbon)
        ax.set_title(ribbon.name, fontsize=9.5, loc="left", pad=3)
        mark, colour = ("✓", GREEN) if ribbon.right else ("✗", GREY)
        words = figure.text(0.02, bottom - 0.25 * height, f"asked, it goes on: “{beginning} ", fontsize=10)
        figure.draw_without_rendering()
        end = words.get_window_extent().x1 / figure.bbox.width
        figure.text(end, bottom - 0.25 * height, f"{ribbon.says}”  {mark}", color=colour, weight="bold", fontsize=10)
    return figure


def _draw_ribbon(ax: Axes, ribbon: Ribbon) -> None:
    lines = -(-len(ribbon.left) // ACROSS)
    squares = np.full(lines * ACROSS, np.nan)
    squares[: len(ribbon.left)] = ribbon.left
    ax.pcolormesh(squares.reshape(lines, ACROSS), cmap=KEPT, vmin=0, vmax=1, edgecolors="white", linewidth=0.6)
    first, end = ribbon.told_at
    place = first % ACROSS, first // ACROSS
    ax.add_patch(Rectangle(place, end - first, 1, fill=False, edgecolor=ORANGE, linewidth=2.2, clip_on=False))
    ax.set_ylim(lines, 0)
    ax.axis("off")


def words_said(said: Mapping[str, Sequence[str]], answers: Sequence[str]) -> Figure:
    """A table of words: a line per fact, a column per policy; right ones white on blue, wrong ones grey.

    Args:
        said: per policy, one word per fact.
        answers: the right ones.
    """
    figure = Figure(figsize=(8.0, 4.1))
    ax = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    for column, (policy, words) in enumerate(said.items()):
        name, count = policy.replace(", ", ",\n"), sum(map(str.__eq__, words, answers))
        ax.text(column + 0.5, -0.35, name, ha="center", va="bottom", fontsize=8, weight="bold")
        ax.text(column + 0.5, len(answers) + 0.5, f"{count} of {len(answers)}", ha="center", va="center", weight="bold")
        for line, (word, answer) in enumerate(zip(words, answers, strict=True)):
            is_right = word == answer
            if is_right:
                ax.add_patch(Rectangle((column + 0.04, line + 0.06), 0.92, 0.88, color=BLUE))
            look = {"color": "white", "weight": "bold"} if is_right else {"color": GREY}
            ax.text(column + 0.5, line + 0.52, word or "…", ha="center", va="center", fontsize=8, **look)
    ax.set_xlim(0, len(said))
    ax.set_ylim(len(answers) + 1, -1.4)
    ax.axis("off")
    return figure

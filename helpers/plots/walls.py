"""Figures of the two walls: a row of slots whose holes are closed, and the grid of attention weights with its price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.arithmetic.footprint import format_bytes
from helpers.plots.canvas import BLUE, GREY, ORANGE, RED, SIZE, SKY, add_axes, new_axes, powers_axis

AGES = colormaps["cividis"]


def rows_of_slots(lines: Mapping[str, Sequence[int | None]], n_slots: int, kept: int) -> Figure:
    """Rows of slots under each other, the token's number in each; arrows show which rows were copied to another slot.

    Args:
        lines: by what it shows, the token of each slot, None where a slot is free. The last two are linked by arrows.
        n_slots: width of the picture.
        kept: tokens below this number were there before the last ones came, which stand in frames.
    """
    figure = Figure(figsize=(SIZE[0], 0.45 + 1.05 * len(lines)))
    ax = figure.add_axes((0.01, 0.02, 0.98, 0.96))
    tokens = [token for slots in lines.values() for token in slots if token is not None]
    oldest, span = min(tokens), max(1, max(tokens) - min(tokens))
    for y, (name, slots) in enumerate(lines.items()):
        is_last = y == len(lines) - 1  # the arrows come in above the last row, so its name stands below
        ax.text(0.05, y + 0.47 if is_last else y - 0.05, name, va="top" if is_last else "bottom", fontsize=10)
        for x in range(n_slots):
            token = slots[x] if x < len(slots) else None
            age = 0 if token is None else (token - oldest) / span
            _draw_slot(ax, x, y, token, age, is_new=token is not None and token >= kept)
    _draw_copies(ax, *list(lines.values())[-2:], len(lines) - 2)
    ax.set_xlim(-0.1, n_slots + 0.1)
    ax.set_ylim(len(lines) - 0.25, -0.35)
    ax.set_axis_off()
    return figure


def _draw_slot(ax: Axes, x: int, y: int, token: int | None, age: float, is_new: bool) -> None:
    if token is None:
        ax.add_patch(Rectangle((x + 0.05, y), 0.9, 0.42, facecolor="none", edgecolor="#AAAAAA", linestyle=":"))
        return
    edge = {"edgecolor": RED, "linewidth": 2.2} if is_new else {"edgecolor": "black", "linewidth": 0.6}
    ax.add_patch(Rectangle((x + 0.05, y), 0.9, 0.42, facecolor=AGES(age), **edge))
    ax.text(
        x + 0.5, y + 0.22, f"{token}", ha="center", va="center", fontsize=9, color="black" if age > 0.5 else "white"
    )


def _draw_copies(ax: Axes, before: Sequence[int | None], after: Sequence[int | None], y: int) -> None:
    place = {token: x for x, token in enumerate(before) if token is not None}
    for x, token in enumerate(after):
        if token in place and place[token] != x:
            ends = ((x + 0.5, y + 0.98), (place[token] + 0.5, y + 0.44))
            ax.annotate("", *ends, arrowprops={"arrowstyle": "->", "color": GREY, "linewidth": 0.9})


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


def bytes_beside(names: Sequence[str], values: Sequence[float]) -> Figure:
    """Horizontal bars on a logarithmic axis that never moves, from 1 KiB to 32 TiB, with the bytes written beside."""
    figure, ax = new_axes("bytes (each mark is 32 times the one before)", "", left=0.3)
    ax.barh(list(names), list(values), color=[ORANGE, SKY, SKY][: len(names)], edgecolor="black", linewidth=0.8)
    for y, value in enumerate(values):
        ax.text(value * 1.5, y, format_bytes(value), va="center")
    marks = [2**k for k in range(10, 46, 5)]
    powers_axis(ax, marks, [format_bytes(mark).replace(".0 ", "\n") for mark in marks], fontsize=9)
    ax.set_xlim(2**10, 2**48)
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.set_position((0.3, 0.22, 0.67, 0.73))
    return figure

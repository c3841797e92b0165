"""Figures of a reader that runs out of memory, and of one that goes on."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.arithmetic.footprint import format_bytes
from helpers.plots.canvas import BLUE, GREY, ORANGE, RED, SKY, add_axes, bytes_axis, new_axes

Curve = Sequence[tuple[int, int]]  # tokens read and bytes held, pass by pass


def up_to_the_wall(curve: Curve, limit: int, right: int, ended: bool) -> Figure:
    """Bytes of notes over the tokens read, under the limit; a cross where it ended.

    Args:
        curve: tokens read and bytes held.
        limit: bytes that there are.
        right: right end of the axis, in tokens.
        ended: whether the last point of the curve is the end.
    """
    figure, ax = new_axes("tokens read", "notes held")
    tokens, held = zip(*curve, strict=True)
    ax.fill_between(tokens, 0, held, color=SKY, alpha=0.6, linewidth=0)
    ax.plot(tokens, held, color=BLUE, linewidth=2.5)
    ax.axhline(limit, color=RED, linestyle="--", linewidth=2)
    ax.text(0.01 * right, 1.03 * limit, f"all there is: {format_bytes(limit)}", color=RED)
    if ended:
        ax.plot(tokens[-1:], held[-1:], "X", color=RED, markersize=14, zorder=5, clip_on=False)
        ax.text(right, 1.06 * limit, f"{tokens[-1]:,} tokens, and not one more", ha="right")
    ax.set_xlim(0, right)
    ax.set_ylim(0, 1.2 * limit)
    bytes_axis(ax.yaxis, 1.2 * limit)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    return figure


def reading_on(
    died: Curve, lives: Curve, limit: int, stretch: int, losses: Sequence[float], all_kept: Sequence[float]
) -> Figure:
    """Above, bytes held by a reader that dies and by one that evicts; below, what the second still foretells.

    Args:
        died: of the reader that keeps all its rows.
        lives: of the one that evicts.
        limit: bytes that there are.
        stretch: tokens over which a loss is a mean.
        losses: of the one that evicts, nats per token, stretch by stretch.
        all_kept: likewise of a reader with memory for all rows.
    """
    figure = Figure(figsize=(8.0, 4.8))
    above, below = add_axes(figure, (0.1, 0.57, 0.87, 0.37)), add_axes(figure, (0.1, 0.12, 0.87, 0.33))
    right = lives[-1][0]
    above.set_title("It goes on reading, and holds no more", loc="left", fontsize=10.5)
    above.plot(*zip(*lives, strict=True), color=ORANGE, linewidth=1.2, label="TriAttention evicts, every 128 tokens")
    above.plot(*zip(*died, strict=True), color=BLUE, linewidth=3, label="all rows kept")
    above.plot(*died[-1], "X", color=RED, markersize=12, zorder=5)
    above.axhline(limit, color=RED, linestyle="--", linewidth=1.5)
    above.set_ylim(0, 1.45 * limit)
    bytes_axis(above.yaxis, 1.45 * limit)
    above.legend(loc="upper right", ncols=2, frameon=False, fontsize=9)
    middles = [(i + 0.5) * stretch for i in range(len(losses))]
    below.set_title("What it foretells of the next word: loss, nats per token", loc="left", fontsize=10.5)
    below.plot(middles, all_kept, "s--", color=GREY, markersize=4, label="all rows kept, memory without limit")
    below.plot(middles, losses, "o-", color=ORANGE, markersize=4, label="TriAttention, the small pool")
    below.legend(loc="lower right", ncols=2, frameon=False, fontsize=9)
    below.set_xlabel("tokens read")
    _same_tokens(above, below, right)
    return figure


def _same_tokens(above: Axes, below: Axes, right: int) -> None:
    low, high = below.get_ylim()
    below.set_ylim(low - 0.35 * (high - low), high)
    for ax in (above, below):
        ax.set_xlim(0, right)
        ax.xaxis.set_major_formatter("{x:,.0f}")

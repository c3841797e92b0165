"""Figures of decoding speed: against the bytes that a token reads, and on several machines."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREY, ORANGE, SKY, new_axes, powers_axis


def ceiling(ratios: Sequence[float], predicted: Sequence[float], measured: Sequence[float]) -> Figure:
    """Tokens per second over the size of the cache as a multiple of the weights: the formula's curve and measured dots.

    Args:
        ratios: bytes of cache over bytes of weights, for both.
        predicted: tokens per second by the formula at each of ``ratios``.
        measured: tokens per second measured at each of ``ratios``.
    """
    figure, ax = new_axes("bytes of cache, as a multiple of the weights", "tokens per second")
    fine = [ratios[-1] * i / 50 for i in range(51)]
    ax.plot(fine, [predicted[0] / (1 + x) for x in fine], "--", color=GREY, linewidth=1.5, label="formula")
    ax.plot(ratios, predicted, "s", color="white", markeredgecolor=GREY, markersize=9)
    ax.plot(ratios, measured, "o", color=BLUE, markersize=8, label="measured")
    ax.set_xlim(-0.05, ratios[-1] * 1.05)
    ax.set_ylim(0, 1.2 * max(*predicted, *measured))
    ax.legend(loc="upper right", frameon=False)
    return figure


def machines(names: Sequence[str], empty: Sequence[float], full: Sequence[float], wanted: float) -> Figure:
    """Two horizontal bars per machine on a log axis: tokens per second at best with an empty and with a full cache.

    Args:
        names: the machines, from top to bottom.
        empty: tokens per second with nothing in the cache.
        full: tokens per second at full context; 0 where it does not fit.
        wanted: tokens per second below which it is of no use.
    """
    figure, ax = new_axes("tokens per second at best (powers of 2)", "", left=0.2)
    rows = range(len(names))
    ax.barh([row - 0.2 for row in rows], empty, 0.36, color=SKY, edgecolor=BLUE, label="empty cache")
    ax.barh([row + 0.2 for row in rows], full, 0.36, color=ORANGE, edgecolor=GREY, hatch="//", label="full context")
    for row, values in enumerate(zip(empty, full, strict=True)):
        for shift, value in zip((-0.2, 0.2), values, strict=True):
            text = f" {value:,.1f}" if value else " does not fit"
            ax.text(max(value, 1.0), row + shift, text, va="center", fontsize=9)
    ax.axvline(wanted, color=GREY, linestyle=":", linewidth=2, label=f"{wanted:g} per second")
    powers_axis(ax, [2**k for k in range(10)], [str(2**k) for k in range(10)])
    ax.set_xlim(1, 512)
    ax.set_yticks(list(rows), list(names))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(visible=False)
    ax.legend(loc="lower right", frameon=False)
    return figure

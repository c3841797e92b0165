"""Figure of lab 1: several loads, each beside the card that is to hold it."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from helpers.plots.budget import LOOKS
from helpers.plots.canvas import RED, new_axes


def shares_of_cards(names: Sequence[str], loads: Sequence[dict[str, float]], cards: Sequence[float]) -> Figure:
    """One stacked bar per load, as a share of its card, and the line beyond which nothing fits.

    Args:
        names: one per load, from top to bottom.
        loads: bytes by term; the terms are keys of ``LOOKS`` in ``helpers.plots.budget``.
        cards: bytes of each load's card.
    """
    figure, ax = new_axes("share of the card's memory", "", left=0.3)
    for row, (terms, card) in enumerate(zip(loads, cards, strict=True)):
        left = 0.0
        for term, n_bytes in terms.items():
            color, hatch = LOOKS[term]
            label = term if row == 0 else "_"
            look = {"color": color, "hatch": hatch, "edgecolor": "white", "alpha": 0.75}
            ax.barh(row, n_bytes / card, 0.6, left=left, label=label, **look)
            left += n_bytes / card
        ax.text(max(left, 1) + 0.01, row, f"{100 * left:.1f}%", va="center")  # right of the limit, which it would cross
    limit = {"color": RED, "linestyle": "--", "linewidth": 2, "label": "the card's limit"}
    ax.plot([1, 1], [-0.6, len(names) - 0.4], **limit)
    ax.set_yticks(range(len(names)), list(names))
    ax.set_ylim(len(names) - 0.4, -1.3)  # room for the legend above the first bar
    ax.set_xlim(0, 1.15 * max(1, *(sum(terms.values()) / card for terms, card in zip(loads, cards, strict=True))))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.grid(visible=False)
    ax.legend(loc="upper left", frameon=False, ncols=4, fontsize=9)
    return figure

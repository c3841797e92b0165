"""Figures of what must fit into memory, of what bits cost, of loads beside their cards, and of one plan."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.arithmetic.footprint import format_band, format_bytes
from helpers.measuring.comparisons import share_interval
from helpers.plots.canvas import BLUE, GREEN, GREY, LIMIT, ORANGE, PURPLE, RED, SKY, bytes_axis, new_axes

# One look per term: colour and hatch, so that they differ in grey too.
LOOKS = {
    "overhead": (GREY, ""),
    "weights": (ORANGE, ""),
    "second model": (GREEN, ".."),
    "shared prefix": (BLUE, "xx"),
    "KV cache": (SKY, "//"),
    "more overhead": (GREY, "\\\\"),
    "the program": (GREY, ""),
    "compute buffer": (GREY, "xx"),
    "file": (ORANGE, ""),
    "process": (PURPLE, ""),
}
PALE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}  # under words that stand on a bar
ROOM_FOR_WORDS = 0.25  # share of the picture's width that a sum beside its bar may take
NARROW = 0.13  # share of the picture's width below which a bar has no room for its size


def three_terms(
    stages: dict[str, dict[str, float]],
    title: str = "",
    xlabel: str = "memory of the process",
    limit: float | None = None,
) -> Figure:
    """One stacked horizontal bar per stage of a run or per plan: what memory is made of.

    Args:
        stages: by name, from top to bottom: bytes by term; the terms are keys of ``LOOKS``. A row may have
            none.
        title: the message, in a sentence.
        xlabel: what is stacked.
        limit: bytes that there are; a dashed line shows them.
    """
    figure, ax = _stacked_rows(xlabel, stages, left=0.24)
    totals = [sum(terms.values()) for terms in stages.values()]
    right = 1.3 * max([*totals, limit or 0])
    for row, (terms, total) in enumerate(zip(stages.values(), totals, strict=True)):
        if terms:
            band = format_band(total - terms.get("more overhead", 0), total)
            hides = limit is not None and total < limit < total + ROOM_FOR_WORDS * right
            ax.text(limit if hides else total, row, f" {band}", va="center", fontweight="bold")
        if len(terms) > 1:
            _write_sizes(ax, row, terms, least=NARROW * right)
    if limit is not None:
        ax.plot([limit, limit], [-0.5, len(stages) - 0.5], **LIMIT | {"label": f"{format_bytes(limit)}"})
    ax.set_xlim(0, right)
    bytes_axis(ax.xaxis, right)
    if limit is not None or any(len(terms) > 1 for terms in stages.values()):
        ax.legend(loc="upper left", frameon=False, ncols=5, fontsize=9, columnspacing=1.0, handlelength=1.5)
    if title:
        figure.text(0.02, 0.93, title, fontsize=12)
        ax.set_position((0.24, 0.15, 0.73, 0.73))
    return figure


def _write_sizes(ax: Axes, row: float, terms: dict[str, float], least: float) -> None:
    """The size of each term of a row in the middle of its bar, if that has room for it."""
    left = 0.0
    for value in terms.values():
        if value >= least:
            ax.text(left + value / 2, row, format_bytes(value), ha="center", va="center", fontsize=9, bbox=PALE)
        left += value


def answers_over_values(values: Sequence[int], right: Sequence[int], count: int, whole: int, title: str = "") -> Figure:
    """Worksheets answered rightly over the values that a weight may take, each with its 95% interval.

    Args:
        values: how many values a weight may take, the most first.
        right: right answers at each of ``values``.
        count: worksheets asked.
        whole: right answers with the weights as they are.
        title: the message, in a sentence.
    """
    figure, ax = new_axes("values that a weight may take in its group of 32", f"right answers of {count}")
    ax.set_position((0.12, 0.22, 0.85, 0.65))
    figure.text(0.02, 0.93, title, fontsize=12)
    places = range(len(values))
    ax.axhline(whole, color=GREY, linestyle="--", linewidth=1.2, label="weights as trained")
    for place, one in zip(places, right, strict=True):
        low, high = (count * share for share in share_interval([True] * one + [False] * (count - one)))
        ax.plot([place, place], [low, high], color=BLUE, linewidth=2, label="95% interval" if place == 0 else "_")
        ax.annotate(f"{one}", (place, one), xytext=(11, 6), textcoords="offset points", fontweight="bold")
    ax.plot(places, right, "o", color=BLUE, markersize=10, label="weights rounded")
    ax.set_xticks(places, [f"{value}\n{whole_bits(value)}" for value in values])
    ax.set_xlim(-0.5, len(values) - 0.3)
    ax.set_ylim(-0.06 * count, 1.15 * count)
    ax.legend(loc="lower left", frameon=False)
    return figure


def whole_bits(values: int) -> str:
    """The bits that so many values take, if they and one more are all that these bits can say."""
    return f"({values.bit_length()} bits)" if (values + 1).bit_count() == 1 else ""


def plan(
    terms: dict[str, float], capacity: float, tokens: Sequence[int], speeds: Sequence[float], wanted: float
) -> Figure:
    """A plan: above, its terms stacked against the card's limit; below, its speed at best as the context fills.

    Args:
        terms: bytes by term, in the order in which they are stacked; keys of ``LOOKS``.
        capacity: bytes of the card.
        tokens: tokens per sequence, the x axis below.
        speeds: tokens per second at best at each of ``tokens``.
        wanted: tokens per second below which it is of no use.
    """
    figure = Figure(figsize=(8.0, 3.9))
    above = figure.add_axes((0.12, 0.74, 0.85, 0.14))
    _stack(above, 0, terms)
    above.axvline(capacity, **LIMIT)
    width = 1.1 * max(capacity, sum(terms.values()))
    above.set_xlim(0, width)
    above.set_yticks([])
    bytes_axis(above.xaxis, width)
    above.spines[["top", "right", "left"]].set_visible(False)
    small = {"fontsize": 8, "columnspacing": 0.8, "handlelength": 1.5}
    above.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), frameon=False, ncols=7, **small)
    below = figure.add_axes((0.12, 0.13, 0.85, 0.44))
    _draw_speed(below, tokens, speeds, wanted)
    return figure


def _draw_speed(ax: Axes, tokens: Sequence[int], speeds: Sequence[float], wanted: float) -> None:
    ax.plot(tokens, speeds, color=BLUE, linewidth=2.5, label="speed at best")
    ax.axhline(wanted, color=RED, linestyle=":", linewidth=2, label="wanted")
    ax.set_xlim(0, tokens[-1])
    ax.set_ylim(0, 1.15 * max([wanted, *speeds]))
    ax.set_xlabel("tokens in each sequence")
    ax.set_ylabel("tokens per second")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper right", frameon=False, ncols=2)


def _stacked_rows(xlabel: str, rows: dict[str, dict[str, float]], left: float) -> tuple[Figure, Axes]:
    """One stacked bar per row, from top to bottom, and room above the first one for the legend."""
    figure, ax = new_axes(xlabel, "", left=left)
    for row, terms in enumerate(rows.values()):
        _stack(ax, row, terms)
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.4, -1.3)
    ax.grid(visible=False)
    return figure, ax


def _stack(ax: Axes, row: float, terms: dict[str, float]) -> None:
    """Draw the terms of one row side by side; a term that is 0 gets no entry in the legend."""
    left = 0.0
    for name, value in terms.items():
        color, hatch = LOOKS[name]
        label = name if value and name not in ax.get_legend_handles_labels()[1] else "_"
        ax.barh(row, value, 0.6, left=left, color=color, alpha=0.75, hatch=hatch, edgecolor="white", label=label)
        left += value


def shares_of_cards(names: Sequence[str], loads: Sequence[dict[str, float]], cards: Sequence[float]) -> Figure:
    """One stacked bar per load, as a share of its card, and the line beyond which nothing fits.

    Args:
        names: one per load, from top to bottom.
        loads: bytes by term; the terms are keys of ``LOOKS``.
        cards: bytes of each load's card.
    """
    rows = {
        name: {term: n_bytes / card for term, n_bytes in terms.items()}
        for name, terms, card in zip(names, loads, cards, strict=True)
    }
    figure, ax = _stacked_rows("share of the card's memory", rows, left=0.3)
    totals = [sum(shares.values()) for shares in rows.values()]
    for row, total in enumerate(totals):
        ax.text(max(total, 1) + 0.01, row, f"{total:.1%}", va="center")  # right of the limit, which it would cross
    ax.plot([1, 1], [-0.6, len(names) - 0.4], **LIMIT)
    ax.set_xlim(0, 1.15 * max(1, *totals))
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="upper left", frameon=False, ncols=4, fontsize=9)
    return figure

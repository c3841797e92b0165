"""Figures of agents: a context that grows step by step, what is read again, and caches that share a prefix."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREY, LIMIT, ORANGE, RED, SKY, bytes_axis, new_axes


def growth(contexts: dict[str, Sequence[int]], band: tuple[int, int]) -> Figure:
    """Tokens of context after each step, one line per agent, with the band in which agents are said to live.

    Args:
        contexts: by name, the tokens at the end of step 0, 1, 2, ...
        band: from and to, in tokens.
    """
    figure, ax = new_axes("steps", "tokens of context")
    ax.axhspan(*band, color=SKY, alpha=0.3, linewidth=0, label=f"{band[0]:,} to {band[1]:,} tokens")
    for (name, tokens), (style, color) in zip(
        contexts.items(), (("-", BLUE), ("--", ORANGE), (":", RED)), strict=False
    ):
        ax.plot(range(len(tokens)), tokens, style, color=color, linewidth=2.5, label=name)
    ax.set_xlim(0, max(map(len, contexts.values())) - 1)
    ax.set_ylim(0, 1.3 * max(band[1], *(max(tokens) for tokens in contexts.values())))
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend(loc="upper left", frameon=False, ncols=2)
    return figure


def tokens_read(without_cache: Sequence[int], with_cache: Sequence[int]) -> Figure:
    """Tokens read so far after each step: with every step starting from nothing, and with the cache kept."""
    figure, ax = new_axes("steps", "tokens read so far", left=0.15)
    steps = range(1, len(without_cache) + 1)
    ax.fill_between(steps, with_cache, without_cache, color=ORANGE, alpha=0.25, linewidth=0, label="read again")
    ax.plot(steps, without_cache, "--", color=RED, linewidth=2.5, label="each step starts from nothing")
    ax.plot(steps, with_cache, "-", color=BLUE, linewidth=2.5, label="the cache is kept")
    ax.set_xlim(1, len(without_cache))
    ax.set_ylim(0, 1.1 * without_cache[-1])
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend(loc="upper left", frameon=False)
    return figure


def sharing(
    prefixes: Sequence[int], caches: Sequence[float], capacity: float, marks: dict[str, tuple[int, float]]
) -> Figure:
    """Bytes of several agents' caches over the tokens of prefix that they share, with the card's limit.

    Args:
        prefixes: tokens shared, the x axis.
        caches: bytes of all caches at each of ``prefixes``.
        capacity: bytes of the card.
        marks: by name, a point to mark: tokens and bytes.
    """
    figure, ax = new_axes("tokens of prefix that all agents share", "KV cache of all agents")
    ax.plot(prefixes, caches, color=BLUE, linewidth=2.5, label="caches of all agents")
    ax.axhline(capacity, **LIMIT)
    for name, (x, y) in marks.items():
        ax.plot([x], [y], "o", color=GREY, markersize=9, clip_on=False)
        ax.annotate(name, (x, y), xytext=(10, 8), textcoords="offset points")
    ax.set_xlim(0, prefixes[-1])
    ax.set_ylim(0, 1.15 * max(capacity, *caches))
    bytes_axis(ax.yaxis, max(capacity, *caches))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.legend(loc="lower left", frameon=False)
    return figure

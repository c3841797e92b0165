"""Figures of the cache as it grows, of its bytes by layer and model, and of the card that it fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREEN, GREY, LIMIT, ORANGE, PURPLE, RED, SIZE, SKY, bytes_axis, new_axes

TITLE = {"loc": "left", "fontsize": 11, "fontweight": "bold"}


def time_per_token(lengths: Sequence[int], with_cache: Sequence[float], without_cache: Sequence[float]) -> Figure:
    """Milliseconds for one more token, with a cache and without, over the length of the text so far."""
    figure, ax = new_axes("tokens already in the text", "time for one more token (ms)")
    ax.set_position((0.12, 0.15, 0.85, 0.72))
    ax.set_title("Without a cache, each token takes longer than the one before", **TITLE)
    ax.plot(lengths, [1e3 * t for t in without_cache], "s--", color=RED, label="without a cache: read everything again")
    ax.plot(lengths, [1e3 * t for t in with_cache], "o-", color=BLUE, label="with a cache: read one token")
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.legend(loc="upper left", frameon=False)
    return figure


def rows_of_words(words: Sequence[str], keys: Sequence[Sequence[float]], values: Sequence[Sequence[float]]) -> Figure:
    """What one KV head keeps of each word: a line of colours for its key, and one for its value.

    Args:
        words: the tokens, from the first.
        keys: ``[tokens][head_dim]``.
        values: likewise.
    """
    figure = Figure(figsize=(SIZE[0], 0.7 + 0.245 * len(words)))
    bottom, height = 0.14, 0.72
    for name, rows, left in (("key", keys, 0.12), ("value", values, 0.56)):
        ax = figure.add_axes((left, bottom, 0.42, height))
        far = max(abs(number) for row in rows for number in row) or 1
        ax.imshow(rows, cmap="PuOr", vmin=-far, vmax=far, aspect="auto", interpolation="nearest")
        ax.set_yticks(range(len(words)), words if name == "key" else [], fontsize=10)
        ax.set_yticks([i + 0.5 for i in range(len(words) - 1)], minor=True)
        ax.set_xticks([0, len(rows[0]) - 1], ["1", str(len(rows[0]))])
        ax.grid(which="minor", axis="y", color="white", linewidth=3)
        ax.tick_params(which="both", length=0)
        ax.spines[:].set_visible(False)
        ax.set_xlabel(f"the numbers of its {name}")
    figure.text(0.12, 0.92, "Each token leaves one row: a key and a value", fontsize=11, fontweight="bold")
    return figure


def growth_by_model(tokens: Sequence[int], curves: Mapping[str, Sequence[float]], title: str = "") -> Figure:
    """Bytes of several models' caches over the tokens of a text, each line with its name at its end."""
    figure, ax = new_axes("tokens", "KV cache", right=0.76)
    ax.set_position((0.12, 0.15, 0.64, 0.72))
    looks = ((BLUE, "-"), (RED, "--"), (GREEN, "-."), (PURPLE, ":"))
    for (name, curve), (colour, line) in zip(curves.items(), looks, strict=False):
        ax.plot(tokens, curve, line, color=colour, linewidth=2.5, label=name)
        ax.annotate(name, (tokens[-1], curve[-1]), (6, 0), textcoords="offset points", color=colour, va="center")
    top = max([1, *(size for curve in curves.values() for size in curve)])
    ax.set_xlim(0, max(1, tokens[-1]))
    ax.set_ylim(0, 1.1 * top)
    bytes_axis(ax.yaxis, 1.1 * top)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_title(title, **TITLE)
    return figure


def memory_wall(
    tokens: Sequence[int], fixed: float, weights: float, cache: Sequence[float], capacity: float, dies_at: float
) -> Figure:
    """Memory over tokens: overhead and weights flat, the cache climbing on top of them, the card's limit, the end.

    Args:
        tokens: tokens per sequence, the x axis.
        fixed: bytes of overhead.
        weights: bytes of weights.
        cache: bytes of all sequences' caches at each of ``tokens``.
        capacity: bytes of memory on the card.
        dies_at: the last number of tokens that fits; beyond the axis or infinite if the run survives it.
    """
    figure, ax = new_axes("tokens per sequence", "memory", right=0.74)
    base = [fixed + weights for _ in tokens]
    top = [b + c for b, c in zip(base, cache, strict=True)]
    ax.fill_between(tokens, 0, fixed, color=GREY, alpha=0.55, linewidth=0, label="overhead")
    ax.fill_between(tokens, fixed, base, color=ORANGE, alpha=0.65, linewidth=0, label="weights: flat")
    ax.fill_between(tokens, base, top, color=SKY, alpha=0.8, linewidth=0, hatch="//", edgecolor=BLUE, label="KV cache")
    ax.axhline(capacity, **LIMIT)
    if 0 < dies_at < tokens[-1]:
        ax.axvline(dies_at, color=RED, linewidth=1)
        ax.plot([dies_at], [capacity], "X", color=RED, markersize=11, label="out of memory")
        ax.annotate(f"{dies_at:,}", (dies_at, capacity), xytext=(6, 8), textcoords="offset points", color=RED)
    ax.set_xlim(0, tokens[-1])
    ax.set_ylim(0, 1.15 * max(capacity, top[-1]))
    bytes_axis(ax.yaxis, max(capacity, top[-1]))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure

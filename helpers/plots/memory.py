"""Figures of the cache as it grows, of its bytes by layer and model, and of the card that it fills."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREY, LIMIT, ORANGE, RED, SKY, bytes_axis, new_axes


def time_per_token(lengths: Sequence[int], with_cache: Sequence[float], without_cache: Sequence[float]) -> Figure:
    """Milliseconds for one more token, with a cache and without, over the length of the text so far."""
    figure, ax = new_axes("tokens already in the text", "time for one more token (ms)")
    ax.plot(lengths, [1e3 * t for t in without_cache], "s--", color=RED, label="without a cache: read everything again")
    ax.plot(lengths, [1e3 * t for t in with_cache], "o-", color=BLUE, label="with a cache: read one token")
    ax.set_ylim(bottom=0)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.legend(loc="upper left", frameon=False)
    return figure


def bytes_by_layer(predicted: Sequence[int], measured: Sequence[int]) -> Figure:
    """Two bars per layer: bytes by the formula, bytes of the tensors."""
    figure, ax = new_axes("layer", "KV cache")
    layers = range(len(predicted))
    ax.bar([i - 0.2 for i in layers], predicted, 0.38, color="white", edgecolor=GREY, hatch="//", label="formula")
    ax.bar([i + 0.2 for i in layers], measured, 0.38, color=BLUE, label="measured")
    ax.set_xticks(list(layers))
    ax.set_ylim(0, 1.3 * max([1, *predicted, *measured]))
    bytes_axis(ax.yaxis, max([*predicted, *measured]))
    ax.legend(loc="upper right", frameon=False, ncols=2)
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

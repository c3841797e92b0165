"""Figures of heads that share their keys and values, and of layers that keep less than every token."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, RED, SIZE, SKY, add_axes, bytes_axis, new_axes, powers_axis


def sharing(n_heads: int, choices: dict[str, tuple[int, float]]) -> Figure:
    """Query heads above, KV heads below, a line from each query head to the one whose rows it reads; side by side.

    Args:
        n_heads: query heads of a layer.
        choices: for each way to share, by name: KV heads, and bytes per token.
    """
    figure = Figure(figsize=(8.0, 2.6))
    ax = figure.add_axes((0.01, 0.03, 0.98, 0.94))
    step = n_heads + 2.5
    for i, (name, (n_kv_heads, n_bytes)) in enumerate(choices.items()):
        _draw_sharing(ax, i * step, n_heads, n_kv_heads)
        middle = i * step + (n_heads - 1) / 2
        ax.text(
            middle, 1.5, f"{name}: {n_kv_heads} KV head{'s' * (n_kv_heads > 1)}", ha="center", va="bottom", fontsize=11
        )
        note = f"{n_bytes:,.0f} bytes per token"
        ax.text(middle, -0.45, note, ha="center", va="top", fontsize=9.5)
    ax.text(-2.6, 1, "query\nheads", ha="center", va="center", color=GREY)
    ax.text(-2.6, 0, "KV\nheads", ha="center", va="center", color=GREY)
    ax.set(xlim=(-4, len(choices) * step - 1.5), ylim=(-0.85, 1.9))
    ax.axis("off")
    return figure


def _draw_sharing(ax: Axes, left: float, n_heads: int, n_kv_heads: int) -> None:
    group_size = n_heads // n_kv_heads
    keepers = [left + group * group_size + (group_size - 1) / 2 for group in range(n_kv_heads)]
    for head in range(n_heads):
        ax.plot([left + head, keepers[head // group_size]], [1, 0], color=GREY, linewidth=1.2, zorder=1)
    ax.scatter([left + head for head in range(n_heads)], [1] * n_heads, s=110, color=ORANGE, edgecolor=GREY, zorder=2)
    ax.scatter(keepers, [0] * n_kv_heads, s=150, marker="s", color=SKY, edgecolor=BLUE, zorder=2)


def attention_of_group(weights: Sequence[Sequence[float]], names: Sequence[str]) -> Figure:
    """What two query heads that share their keys look at: weights over tokens, one upwards, the other downwards.

    Args:
        weights: two rows, one attention weight per token of the text.
        names: the names of the two heads.
    """
    figure, ax = new_axes("token of the text", "attention weight")
    tokens = range(len(weights[0]))
    ax.bar(tokens, weights[0], 1.0, color=BLUE, label=f"{names[0]} (upwards)")
    ax.bar(tokens, [-w for w in weights[1]], 1.0, color=ORANGE, label=f"{names[1]} (downwards)")
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.set_xlim(-1, len(weights[0]))
    ax.set_ylim(-1.05, 1.35)  # room for the legend
    ax.set_yticks([-1, -0.5, 0, 0.5, 1], ["1", "0.5", "0", "0.5", "1"])
    ax.legend(loc="upper left", frameon=False, ncols=2)
    return figure


def mistakes(names: Sequence[str], factors: dict[str, Sequence[float]]) -> Figure:
    """By how much each mistake misses, per model: one row per model, one kind of mark per mistake, on a log axis."""
    figure = Figure(figsize=(8.0, 3.9))
    ax = add_axes(figure, (0.17, 0.13, 0.8, 0.7), grid="x")
    rows = range(len(names))
    looks = zip(("o", "s", "D"), (RED, BLUE, GREEN), (-0.24, 0.0, 0.24), strict=True)
    for (mistake, values), (marker, color, shift) in zip(factors.items(), looks, strict=False):
        ax.plot(values, [row + shift for row in rows], marker, color=color, markersize=8, label=mistake)
    ax.axvline(1, color=GREY, linestyle="--", linewidth=1.2)
    powers_axis(ax, (0.5, 1, 2, 4, 8, 16), [f"{x} times" for x in (0.5, 1, 2, 4, 8, 16)])
    ax.set_xlim(0.4, 20)
    ax.set_yticks(list(rows), list(names))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("calculated cache, as a multiple of the true one")
    ax.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), frameon=False, ncols=3)
    return figure


def layers_kept(panels: dict[str, tuple[Sequence[int], Sequence[int]]]) -> Figure:
    """Small pictures side by side, one per model: bytes of each layer, the formula hatched, the tensors filled.

    Args:
        panels: by name, the predicted and the measured bytes of each layer.
    """
    columns = 2
    height = -(-len(panels) // columns)
    figure = Figure(figsize=(SIZE[0], 2.1 * height + 0.5))
    top = max(max(*predicted, *measured) for predicted, measured in panels.values())
    axes = figure.subplots(height, columns, squeeze=False).flat
    figure.subplots_adjust(left=0.1, right=0.98, top=0.88, bottom=0.1, hspace=0.45, wspace=0.25)
    for ax, (name, (predicted, measured)) in zip(axes, panels.items(), strict=False):
        layers = range(len(predicted))
        ax.bar([i - 0.2 for i in layers], predicted, 0.4, color="white", edgecolor=GREY, hatch="///", label="formula")
        ax.bar([i + 0.2 for i in layers], measured, 0.4, color=BLUE, label="measured")
        ax.set_title(name, fontsize=10, loc="left")
        ax.set_xticks(list(layers))
        ax.tick_params(labelsize=8)
        ax.set_ylim(0, 1.15 * top)
        bytes_axis(ax.yaxis, top)
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_xlabel("layer", fontsize=9, labelpad=1)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="upper center", frameon=False, ncols=2, fontsize=9)
    return figure


def answers_by_sharing(trainings: dict[int, tuple[float, Sequence[float]]]) -> Figure:
    """Share of answers that are right over the bytes of a token: a dot per training, a line through their means.

    Args:
        trainings: by KV heads, bytes per token, and the share of each training from another start.
    """
    figure, ax = new_axes("bytes per token", "answers right")
    costs = [cost for cost, _ in trainings.values()]
    means = [sum(shares) / len(shares) for _, shares in trainings.values()]
    ax.plot(costs, means, "--", color=GREY, linewidth=1.2, label="mean")
    for i, (n_kv_heads, (cost, shares)) in enumerate(trainings.items()):
        ax.plot([cost] * len(shares), shares, "o", color=BLUE, markersize=9, alpha=0.6, label="" if i else "a training")
        note = f"{n_kv_heads} KV head{'s' * (n_kv_heads > 1)}"
        ax.annotate(note, (cost, max(shares)), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=10)
    powers_axis(ax, costs, [f"{cost:,.0f}" for cost in costs])
    ax.set_xlim(min(costs) / 1.5, max(costs) * 1.5)
    ax.set_ylim(0, 1.15)
    ax.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 1]))
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="lower right", frameon=False)
    return figure

"""Figures of a compressed cache: blocks over time, answers by policy and mode, what was kept, and what came back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from helpers.measuring.trace import Trace
from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SIZE, SKY, add_axes, new_axes, powers_axis

# Per selection mode a colour, a mark and a hatch.
MODES = {
    "shared": (BLUE, "o", ""),
    "union": (PURPLE, "D", ".."),
    "per_head": (ORANGE, "s", "//"),
    "per_layer_per_head": (GREEN, "^", "xx"),
}
# Colours and marks that policies take in turn: neither number divides the other, so no two of 104 look the same.
COLOURS = (GREY, RED, BLUE, SKY, GREEN, ORANGE, PURPLE, "black")
MARKS = ("*", "o", "D", "d", "^", "s", "v", "x", "P", "<", "X", ">", "h")


class Share(NamedTuple):
    """A share and its 95% interval."""

    share: float
    low: float
    high: float


def policy_looks(policies: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A colour and a mark per policy, by its place among all there are: in every picture of them the same."""
    return dict(zip(policies, zip(cycle(COLOURS), cycle(MARKS), strict=False), strict=False))


def held_over_time(trace: Trace) -> tuple[list[int], list[int]]:
    """Tokens seen and blocks held, pass by pass, with two points where a compression gave blocks back."""
    tokens, blocks = [], []
    for i, (seen, held) in enumerate(zip(trace.tokens_seen, trace.blocks_held, strict=True)):
        freed = [trace.compressions[i].blocks_freed] if i in trace.compressions else []
        tokens += [seen] * (1 + len(freed))
        blocks += [held, *(held - count for count in freed)]
    return tokens, blocks


def sawtooth(
    runs: Mapping[str, tuple[Sequence[int], Sequence[int]]], prompt_length: int, right: int, title: str = ""
) -> Figure:
    """Blocks held over tokens seen, one line per run; the first run's line is dashed.

    Args:
        runs: by name, tokens seen and blocks held, as ``held_over_time`` gives them.
        prompt_length: where the thought begins; 0 where all is read.
        right: right end of the axis, in tokens.
        title: what the picture says, where it says one thing.
    """
    figure, ax = new_axes("tokens seen (prompt and thought)" if prompt_length else "tokens read", "blocks held")
    if title:
        ax.set_position((0.12, 0.15, 0.85, 0.73))
        ax.set_title(title, fontsize=11)
    looks = zip(("--", "-", ":"), (GREY, BLUE, RED), strict=True)
    for (name, (tokens, blocks)), (style, colour) in zip(runs.items(), looks, strict=False):
        ax.plot(tokens, blocks, style, color=colour, linewidth=2, label=name)
        ax.plot(tokens[-1:], blocks[-1:], "o", color=colour)
    if prompt_length:
        ax.axvspan(0, prompt_length, color=SKY, alpha=0.25, label="prompt")
    ax.set_xlim(0, 1.01 * right)
    ax.set_ylim(0, 1.2 * max(max(blocks) for _, blocks in runs.values()))
    ax.legend(loc="upper left", frameon=False, ncols=3)
    return figure


def answers_by_mode(results: Mapping[str, Mapping[str, Share]]) -> Figure:
    """Share of worksheets right, one row per policy, one mark with its 95% interval per selection mode."""
    figure, ax = new_axes("worksheets right from the first token to the last", "", left=0.23)
    for y, by_mode in enumerate(results.values()):
        for i, (mode, (share, low, high)) in enumerate(by_mode.items()):
            colour, mark, _ = MODES[mode]
            height = y + 0.2 * (i - (len(by_mode) - 1) / 2)
            ax.plot([low, high], [height, height], color=colour, linewidth=1.5)
            ax.plot(share, height, mark, color=colour, markersize=5)
    _name_modes(ax)
    ax.set_yticks(range(len(results)), list(results))
    ax.set_ylim(len(results) - 0.5, -0.5)
    ax.set_xlim(-0.02, 1.02)
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.grid(axis="x", alpha=0.25)
    ax.grid(visible=False, axis="y")
    return figure


def _name_modes(ax: Axes) -> None:
    for mode, (colour, mark, _) in MODES.items():
        ax.plot([], [], f"{mark}-", color=colour, label=mode)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.09), ncols=len(MODES), frameon=False, fontsize=9)


def lookups_by_budget(
    budgets: Sequence[float],
    by_mode: Mapping[str, Mapping[str, Sequence[float]]],
    looks: Mapping[str, tuple[str, str]],
) -> Figure:
    """Share of look-ups right over the budget, one panel per selection mode, one line per policy.

    Args:
        budgets: shares of the thought that are kept.
        by_mode: per mode and policy, one share per budget.
        looks: per policy a colour and a mark, as ``policy_looks`` gives them.
    """
    figure = Figure(figsize=SIZE)
    width = 0.745 / len(by_mode)
    for i, (mode, by_policy) in enumerate(by_mode.items()):
        ax = add_axes(figure, (0.1 + i * width, 0.15, width - 0.02, 0.75))
        for policy, shares in by_policy.items():
            colour, mark = looks[policy]
            ax.plot(budgets, shares, f"{mark}-", color=colour, markersize=5, linewidth=1.3, label=policy)
        powers_axis(ax, budgets, [f"{100 * budget:g}%" for budget in budgets], fontsize=7)
        ax.margins(x=0.12)  # neighbours' tick labels would touch
        ax.set_ylim(0.5, 1.02)
        ax.yaxis.set_major_formatter("{x:.0%}")
        ax.tick_params(labelleft=i == 0)
        ax.set_title(mode, fontsize=9)
    figure.axes[0].set_ylabel("look-ups right")
    figure.axes[len(by_mode) // 2].set_xlabel("budget: rows kept, as a share of the thought")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", frameon=False, fontsize=8)
    return figure


def weight_by_head(weights: Sequence[Sequence[float]], name: str) -> Figure:
    """One bar per query head, layer by layer: a share of its attention."""
    figure, ax = new_axes("query head, layer by layer", name)
    n_heads = len(weights[0])
    for layer, heads in enumerate(weights):
        places = [layer * (n_heads + 1) + head for head in range(n_heads)]
        ax.bar(places, heads, 0.8, color=BLUE if layer % 2 else SKY, edgecolor=BLUE)
        ax.text(sum(places) / n_heads, 1.07, f"layer {layer}", ha="center", fontsize=9)
    ax.set_xticks([layer * (n_heads + 1) + head for layer in range(len(weights)) for head in range(n_heads)])
    ax.set_xticklabels([str(head) for _ in weights for head in range(n_heads)], fontsize=7)
    ax.set_ylim(0, 1.17)
    ax.yaxis.set_major_formatter("{x:.0%}")
    return figure


def values_by_head(
    shares: Sequence[Sequence[float]], together: Mapping[str, float], chance: float, marked: tuple[int, int]
) -> Figure:
    """Share of values among the better half of the rows, by each KV head's own scores; lines for all, and for chance.

    Args:
        shares: ``[n_layers][n_kv_heads]``.
        together: the same for one choice of all heads, by selection mode.
        chance: share of values among all rows.
        marked: layer and KV head to mark.
    """
    figure, ax = new_axes("KV head, layer by layer", "values among the better half of the rows")
    n_heads = len(shares[0])
    for layer, heads in enumerate(shares):
        for head, share in enumerate(heads):
            look = {"color": RED, "hatch": "//"} if (layer, head) == marked else {"color": SKY}
            ax.bar(layer * (n_heads + 1) + head, share, 0.8, edgecolor="white", **look)
        ax.text(layer * (n_heads + 1) + (n_heads - 1) / 2, 0.66, f"layer {layer}", ha="center", fontsize=9)
    for (mode, share), style in zip(together.items(), ("-", "-."), strict=False):
        ax.axhline(share, color=MODES[mode][0], linestyle=style, linewidth=1.8, label=f"all heads together, {mode}")
    ax.axhline(chance, color=GREY, linestyle="--", linewidth=1.5, label="rows drawn by lot")
    ax.set_xticks([layer * (n_heads + 1) + head for layer in range(len(shares)) for head in range(n_heads)])
    ax.set_xticklabels([str(head) for _ in shares for head in range(n_heads)])
    ax.set_ylim(0, 0.85)
    ax.yaxis.set_major_formatter("{x:.0%}")
    marks = Patch(facecolor=RED, hatch="//", edgecolor="white", label="the head that looks values up")
    handles = [*ax.get_legend_handles_labels()[0], marks]
    ax.legend(handles=handles, loc="upper center", ncols=2, frameon=False, fontsize=9)
    return figure


def recall_and_right(points: Sequence[tuple[str, float, float]], guessed: float) -> Figure:
    """Look-ups right over look-ups with a copy left, one mark per policy, budget and mode; the line that predicts them.

    Args:
        points: mode, share with a copy left, share right.
        guessed: share right where no copy is left.
    """
    figure, ax = new_axes("look-ups with a copy of the value left in the head that looks up", "look-ups right")
    ax.plot([0, 1], [guessed, 1], "--", color=GREY, label=f"right with a copy, {guessed:.0%} without")
    for mode, (colour, mark, _) in MODES.items():
        some = [(recall, right) for name, recall, right in points if name == mode]
        ax.plot(*zip(*some, strict=True), mark, color=colour, markersize=6, alpha=0.75, label=mode)
    ax.set_xlim(0.5, 1.01)
    ax.set_ylim(0.5, 1.02)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:.0%}")
    ax.legend(loc="upper left", frameon=False)
    return figure


def blocks_by_mode(freed: Mapping[str, Mapping[str, float]], compacted: float) -> Figure:
    """Blocks freed without compaction, a bar per policy and selection mode, under the line of what compaction frees."""
    figure, ax = new_axes("", "blocks freed per worksheet", left=0.07, right=0.99)
    halo = [withStroke(linewidth=2.5, foreground="white")]  # the line would run through the numbers
    for i, (mode, (colour, _, hatch)) in enumerate(MODES.items()):
        places = [x + 0.22 * (i - (len(MODES) - 1) / 2) for x in range(len(freed))]
        heights = [by_mode[mode] for by_mode in freed.values()]
        bars = ax.bar(
            places, heights, 0.2, color=colour, hatch=hatch, edgecolor="white", label=f"{mode}, no compaction"
        )
        ax.bar_label(bars, [f"{height:.1f}" for height in heights], fontsize=6.5, path_effects=halo)
    ax.axhline(compacted, color=RED, linestyle="--", linewidth=2, label="with compaction, every policy and mode")
    ax.set_xticks(range(len(freed)), list(freed), fontsize=9)
    ax.margins(x=0.02)
    ax.set_ylim(0, 1.45 * compacted)
    ax.legend(loc="upper center", ncols=2, frameon=False, fontsize=9)
    return figure

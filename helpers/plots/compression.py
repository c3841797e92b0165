"""Figures of a compressed cache: blocks over time, answers by policy and mode, heads that look up, and their recall."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.measuring.trace import Trace
from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, new_axes

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

"""Figures of heads that share their keys and values, and of layers that keep less than every token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, SIZE, SKY, add_axes, bytes_axis

LETTERS = 88  # of a fixed width side by side, on a line of the text
DARKEST, SHOWN = 0.5, 0.04  # the share at which a word is darkest, and the least that is written under it
KINDS = {"full": (BLUE, ""), "sliding": (SKY, "///"), "latent": (ORANGE, "..."), "none": (GREEN, "")}


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


def looking_back(words: Sequence[str], weights: Mapping[str, Sequence[float]], title: str) -> Figure:
    """A text, once for each head that looks back at it: the more attention a word gets, the darker it is.

    Args:
        words: the text of each token, with the spaces before it; the last one asks.
        weights: by head, the attention weight of each token.
        title: what is to be seen.
    """
    places = list(_places(words))
    height = 1 + max(line for line, _ in places)
    figure = Figure(figsize=(SIZE[0], 0.45 + len(weights) * (0.3 + 0.5 * height)))
    top = 1 - 0.4 / figure.get_figheight()
    ax = figure.add_axes((0.015, 0.01, 0.97, top - 0.01))
    step = 0.6 + height
    for i, (name, shares) in enumerate(weights.items()):
        ax.text(0, i * step + 0.22, name, color=GREY, fontsize=9.5)
        for (line, column), word, share in zip(places, words, shares, strict=True):
            _draw_word(ax, column, i * step + 0.4 + line, word.strip(), share)
        _frame_word(ax, places[-1][1], i * step + 0.4 + places[-1][0], words[-1].strip())
    ax.set_xlim(-0.5, LETTERS + 0.5)
    ax.set_ylim(len(weights) * step, -0.2)
    ax.axis("off")
    figure.suptitle(title, x=0.015, y=1 - 0.1 / figure.get_figheight(), ha="left", va="top", fontsize=11)
    return figure


def _places(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Line and column at which each word begins, its spaces left out."""
    line, end = 0, 0
    for word in words:
        begin = end + len(word) - len(word.lstrip())
        if begin and begin + len(word.strip()) > LETTERS:
            line, begin = line + 1, 0
        end = begin + len(word.strip())
        yield line, begin


def _frame_word(ax: Axes, column: float, y: float, word: str) -> None:
    """A frame round the word that asks."""
    ax.add_patch(Rectangle((column - 0.3, y), len(word) + 0.6, 0.5, fill=False, edgecolor="black", linewidth=1.2))


def _draw_word(ax: Axes, column: float, y: float, word: str, share: float) -> None:
    depth = 0.75 * min(1.0, share / DARKEST)  # dark enough, and black letters can still be read on it
    ax.add_patch(Rectangle((column - 0.2, y), len(word) + 0.4, 0.5, color=BLUE, alpha=depth, linewidth=0))
    look = {"family": "DejaVu Sans Mono", "ha": "center", "va": "center"}
    middle = column + len(word) / 2
    ax.text(middle, y + 0.25, word, fontsize=9.8, **look)
    if share >= SHOWN:
        ax.text(middle, y + 0.7, f"{share:.0%}", color=BLUE, fontsize=8, **look)


def layers_kept(panels: Mapping[str, Sequence[tuple[str, int, int]]], title: str) -> Figure:
    """Small pictures, one per model: the bytes that each layer keeps, a bar by its kind, and the formula as a dash.

    Args:
        panels: by name, of each layer its kind (``KINDS``), the measured bytes and those of the formula.
        title: what is to be seen.
    """
    columns = 2
    height = -(-len(panels) // columns)
    figure = Figure(figsize=(SIZE[0], 1.9 * height + 0.8))
    top = max(max(measured, formula) for layers in panels.values() for _, measured, formula in layers)
    axes = list(figure.subplots(height, columns, squeeze=False).flat)
    figure.subplots_adjust(left=0.1, right=0.98, top=0.8, bottom=0.1, hspace=0.55, wspace=0.25)
    for ax, (name, layers) in zip(axes, panels.items(), strict=False):
        _draw_layers(ax, layers)
        ax.set_title(name, fontsize=10, loc="left")
        ax.set_ylim(0, 1.15 * top)
        bytes_axis(ax.yaxis, top)
    handles = {label: mark for ax in axes for mark, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(
        handles.values(), handles, loc="upper left", bbox_to_anchor=(0.08, 0.94), frameon=False, ncols=5, fontsize=9
    )
    figure.suptitle(title, x=0.02, y=0.98, ha="left", va="top", fontsize=11)
    return figure


def _draw_layers(ax: Axes, layers: Sequence[tuple[str, int, int]]) -> None:
    for kind, (colour, hatch) in KINDS.items():
        found = [(i, measured) for i, (of_layer, measured, _) in enumerate(layers) if of_layer == kind]
        if not found:
            continue
        places, heights = zip(*found, strict=True)
        if kind == "none":
            ax.plot(places, [0] * len(places), "o", color=colour, markersize=5, label="recurrent", clip_on=False)
        else:
            ax.bar(places, heights, 0.75, color=colour, hatch=hatch, edgecolor="white", label=kind)
    rows = [(i, formula) for i, (_, _, formula) in enumerate(layers) if formula]
    for i, formula in rows:
        ax.plot(
            [i - 0.42, i + 0.42], [formula] * 2, color="black", linewidth=2, label="formula" if i == rows[0][0] else ""
        )
    ax.set_xticks(range(len(layers)))
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel("layer", fontsize=9, labelpad=1)


def answers_by_sharing(trainings: Mapping[str, Sequence[tuple[float, tuple[float, float]]]], title: str) -> Figure:
    """Share of answers that are right: a dot per model that was trained, with its interval, side by side by KV heads.

    Args:
        trainings: by KV heads, of each model its share and the ends of the share's interval.
        title: what is to be seen.
    """
    figure = Figure(figsize=SIZE)
    ax = add_axes(figure, (0.12, 0.13, 0.85, 0.74))
    for i, models in enumerate(trainings.values()):
        for j, (share, (low, high)) in enumerate(models):
            x = i + 0.16 * (j - (len(models) - 1) / 2)
            bar = ax.errorbar(
                [x], [share], [[share - low], [high - share]], fmt="o", color=BLUE, capsize=4, markersize=7
            )
            bar.set_label("" if i or j else "one model that grew up so, and its 95% interval")
    ax.set_xticks(range(len(trainings)), list(trainings))
    ax.set_xlim(-0.5, len(trainings) - 0.5)
    ax.set_ylim(0, 1.04)
    ax.set_ylabel("answers right")
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="lower left", frameon=False)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure

"""Figures of queries: their arrows in one band, how far they agree head by head, and what a key hears from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, RED, SIZE, SKY, add_axes, new_axes

LOOKS = {"name": (BLUE, "o"), "value": (ORANGE, "s"), "sign": (GREEN, "^")}  # per kind of token a colour and a mark


@dataclass(frozen=True)
class Cloud:
    """Arrows of one band, as points: ``points`` complex ``[n]``, the kind of token behind each, and a title."""

    points: np.ndarray
    kinds: Sequence[str]
    title: str


def clouds(panels: Sequence[Cloud]) -> Figure:
    """Arrows' ends side by side, one panel per cloud, by kind of token; a red cross marks their mean."""
    figure = Figure(figsize=(SIZE[0], 3.1))
    width = 0.9 / len(panels)
    for i, panel in enumerate(panels):
        ax = figure.add_axes((0.05 + i * width, 0.16, width - 0.05, 0.7))
        reach = 1.08 * np.abs(panel.points).max()
        kinds = np.asarray(panel.kinds)
        for kind, (colour, mark) in LOOKS.items():
            some = panel.points[kinds == kind]
            ax.plot(some.real, some.imag, mark, color=colour, markersize=2, linestyle="none", alpha=0.5, label=kind)
        mean = panel.points.mean()
        ax.plot([0, mean.real], [0, mean.imag], color=RED, linewidth=2)
        ax.plot(mean.real, mean.imag, "X", color=RED, markersize=9, markeredgecolor="white", label="mean of all")
        ax.axhline(0, color=GREY, linewidth=0.5)
        ax.axvline(0, color=GREY, linewidth=0.5)
        ax.set_xlim(-reach, reach)
        ax.set_ylim(-reach, reach)
        ax.set_box_aspect(1)
        ax.tick_params(labelsize=8)
        ax.set_title(panel.title, fontsize=10)
    handles, labels = ax.get_legend_handles_labels()
    for handle in handles[:-1]:
        handle.set_markersize(5)
    figure.legend(handles, labels, loc="lower center", ncols=4, frameon=False)
    return figure


def concentrations(
    by_layer: Sequence[Sequence[float]], all_bands: Sequence[Sequence[float]], published: float
) -> Figure:
    """R of every query head, layer by layer, over its two strongest bands and over all; a line for a published mean.

    Args:
        by_layer: R over the two strongest bands, ``[n_layers][n_heads]``.
        all_bands: R over all bands, likewise.
        published: mean R over the two strongest bands of another model.
    """
    figure, ax = new_axes("layer; one column per query head", "R")
    n_heads = len(by_layer[0])
    for values, mark, colour, label in (
        (by_layer, "o", BLUE, "a head, 2 strongest bands"),
        (all_bands, "_", GREY, "a head, all bands"),
    ):
        xs = [layer + (head - n_heads / 2) * 0.09 for layer in range(len(values)) for head in range(n_heads)]
        ys = [value for layer in values for value in layer]
        ax.plot(xs, ys, mark, color=colour, markersize=6, markeredgewidth=1.5, linestyle="none", label=label)
    ax.axhline(published, color=RED, linestyle="--", linewidth=1.5, label="Qwen3-8B: mean, 2 strongest")
    ax.set_xticks(range(len(by_layer)), [str(layer) for layer in range(len(by_layer))])
    ax.set_ylim(0, 1.2)
    ax.legend(loc="upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def concentration_in_training(courses: dict[int, Sequence[Sequence[tuple[int, float]]]]) -> Figure:
    """Mean R over the tokens of a training, one line per training.

    Args:
        courses: by KV heads, for each training the tokens read and R there; the first of each is the untrained model.
    """
    figure, ax = new_axes("tokens of training (millions)", "mean R, 2 strongest bands")
    looks = zip(("o", "s", "D", "^"), (BLUE, ORANGE, GREEN, RED), strict=True)
    for (n_kv_heads, trainings), (mark, colour) in zip(courses.items(), looks, strict=False):
        for i, course in enumerate(trainings):
            label = "" if i else f"{n_kv_heads} KV head{'s' * (n_kv_heads > 1)}"
            millions = [tokens / 1e6 for tokens, _ in course]
            values = [value for _, value in course]
            ax.plot(millions, values, f"-{mark}", color=colour, markersize=5, linewidth=1.2, alpha=0.8, label=label)
    ax.set_ylim(0, 1)
    ax.set_xlim(-0.1, None)
    ax.legend(loc="upper right", frameon=False, ncols=2)
    return figure


@dataclass(frozen=True)
class Series:
    """What one head gives one key over distance: the measured mean logits, and the series' prediction of them."""

    measured: Sequence[float]
    predicted: Sequence[float]
    title: str


def logits_over_distance(distances: Sequence[int], panels: Sequence[Series]) -> Figure:
    """One panel under the other on one scale: measured mean logits as dots, the series as a line."""
    figure = Figure(figsize=(SIZE[0], 1.9 * len(panels) + 0.5))
    reach = 1.1 * max(abs(value) for panel in panels for value in [*panel.measured, *panel.predicted])
    height = 0.86 / len(panels)
    for i, panel in enumerate(panels):
        ax = add_axes(figure, (0.09, 0.11 + (len(panels) - 1 - i) * height, 0.88, height - 0.09))
        ax.plot(distances, panel.measured, "-", color=SKY, linewidth=1)
        ax.plot(distances, panel.measured, "o", color=BLUE, markersize=2.5, label="measured: mean of real queries")
        ax.plot(distances, panel.predicted, "--", color=RED, linewidth=1.5, label="series: from the mean query")
        ax.set_xlim(0, distances[-1])
        ax.set_ylim(-reach, reach)
        ax.set_title(panel.title, fontsize=10, loc="left")
        ax.set_ylabel("mean logit", fontsize=9)
        ax.tick_params(labelbottom=i == len(panels) - 1)
    ax.set_xlabel("distance from key to query (tokens)")
    figure.axes[0].legend(loc="upper right", bbox_to_anchor=(1.0, 1.22), ncols=2, frameon=False, fontsize=9)
    return figure


@dataclass(frozen=True)
class Prediction:
    """Mean logits of one head over distance: real ones, and two series.

    Attributes:
        measured: mean of the real logits.
        own: the series from the means of the same text.
        others: the series from the means of other texts.
        title: of the panel.
    """

    measured: Sequence[float]
    own: Sequence[float]
    others: Sequence[float]
    title: str


def predicted_logits(distances: Sequence[int], panels: Sequence[Prediction]) -> Figure:
    """Panels side by side, distance on a logarithmic axis: measured mean logits as dots, two series as lines."""
    figure = Figure(figsize=SIZE)
    width = 0.93 / len(panels)
    for i, panel in enumerate(panels):
        ax = add_axes(figure, (0.075 + i * width, 0.25, width - 0.055, 0.58))
        ax.plot(distances, panel.measured, "o", color=BLUE, markersize=3.5, label="measured, mean of real queries")
        ax.plot(distances, panel.own, "-", color=RED, linewidth=1.8, label="series, this text's means")
        ax.plot(distances, panel.others, "--", color=ORANGE, linewidth=1.8, label="series, other texts' means")
        ax.set_xscale("log")
        ax.set_xticks([1, 10, 100], ["1", "10", "100"])
        ax.set_title(panel.title, fontsize=10, loc="left")
        ax.set_xlabel("distance (tokens)")
    figure.axes[0].set_ylabel("mean logit")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False, fontsize=9)
    return figure

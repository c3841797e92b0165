"""Figures of queries: what their mean foretells of the logits that a key gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, RED, SIZE, add_axes


@dataclass(frozen=True)
class Prediction:
    """Mean logits of one head over distance: ``measured`` ones, and the ``series`` of the means of other texts."""

    measured: Sequence[float]
    series: Sequence[float]
    title: str


def predicted_logits(distances: Sequence[Sequence[int]], panels: Sequence[Prediction]) -> Figure:
    """Panels side by side, each over distances of its own, on a logarithmic axis: dots measured, the series a line."""
    figure = Figure(figsize=SIZE)
    width = 0.94 / len(panels)
    for i, (of_panel, panel) in enumerate(zip(distances, panels, strict=True)):
        ax = add_axes(figure, (0.075 + i * width, 0.25, width - 0.06, 0.6))
        ax.plot(of_panel, panel.series, "-", color=RED, linewidth=1.8, label="the series says")
        ax.plot(of_panel, panel.measured, "o", color=BLUE, markersize=4, label="measured, mean of real queries")
        ax.set_xscale("log")
        ax.set_xticks([1, 10, 100], ["1", "10", "100"])
        ax.set_title(panel.title, fontsize=10, loc="left")
        ax.set_xlabel("distance (tokens)")
    figure.axes[0].set_ylabel("mean logit")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="lower center", ncols=2, frameon=False, fontsize=9)
    return figure

"""What eviction costs SmolLM2: its loss over the budget, and over what copying heads have left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREY, ORANGE, RED, new_axes, powers_axis

TITLE = {"fontsize": 10, "loc": "left", "pad": 2}


class Loss(NamedTuple):
    """A mean loss, and half the width of the 95% interval of its paired difference from no eviction."""

    mean: float
    half: float


def cost_by_policy(losses: Mapping[str, Loss], without: float, right: float, title: str) -> Figure:
    """What eviction adds to the loss: one row per policy, a mark with its interval; dashed, no eviction.

    Args:
        losses: per policy its loss.
        without: the loss without eviction.
        right: end of the axis; a policy beyond it is written there as a number.
        title: what is to be seen, as a sentence.
    """
    figure, ax = new_axes("loss above that without eviction, nats per token", "", left=0.22)
    for y, (policy, (mean, half)) in enumerate(losses.items()):
        more, colour = mean - without, RED if policy == "TriAttention" else BLUE
        if more > right:
            ax.annotate(f"{more:.2f}", (right, y), (0.86 * right, y), va="center", arrowprops={"arrowstyle": "->"})
            continue
        ax.plot([more - half, more + half], [y, y], color=colour, linewidth=2)
        ax.plot(more, y, "o" if policy == "TriAttention" else "s", color=colour, markersize=7)
    ax.axvline(0, color=GREY, linestyle="--", linewidth=1.5)
    ax.set_yticks(range(len(losses)), list(losses))
    ax.set_ylim(len(losses) - 0.5, -0.5)
    ax.set_xlim(-0.1 * right, right)
    ax.set_title(title, **TITLE)
    ax.grid(axis="x", alpha=0.25)
    ax.grid(visible=False, axis="y")
    return figure


def losses_by_budget(
    shares: Sequence[float],
    without: float,
    by_policy: Mapping[str, Sequence[Loss]],
    looks: Mapping[str, tuple[str, str]],
    title: str,
) -> Figure:
    """Mean loss over the budget, with intervals, one line per policy; dashed, the loss without eviction.

    Args:
        shares: budgets as shares of a text.
        without: the loss without eviction.
        by_policy: per policy one loss per budget.
        looks: per policy a colour and a mark, as ``policy_looks`` gives them.
        title: what is to be seen, as a sentence.
    """
    figure, ax = new_axes("budget: rows kept, as a share of the text", "loss, nats per token", right=0.74)
    for i, (policy, losses) in enumerate(by_policy.items()):
        colour, mark = looks[policy]
        places = [share * 1.025 ** (i - len(by_policy) / 2) for share in shares]  # so that intervals do not hide
        means, halves = zip(*losses, strict=True)
        ax.errorbar(places, means, halves, fmt=f"{mark}-", color=colour, markersize=6, capsize=2, label=policy)
    ax.axhline(without, color=GREY, linestyle="--", linewidth=1.5, label="no eviction")
    powers_axis(ax, shares, [f"{100 * share:g}%" for share in shares])
    ax.set_ylim(bottom=0)
    ax.set_title(title, **TITLE)
    figure.legend(*ax.get_legend_handles_labels(), loc="center right", frameon=False, fontsize=9)
    return figure


def loss_by_what_is_left(
    policies: Mapping[str, tuple[float, float]],
    forced: Mapping[str, tuple[str, float, float]],
    without: float,
    looks: Mapping[str, tuple[str, str]],
    title: str,
) -> Figure:
    """Loss of a passage that comes again, over what the copying heads have left of it; arrows where that was forced.

    Args:
        policies: by name, the share left to the copying heads, and the loss.
        forced: by what was done, the policy that was overruled, the share that was left then, and the loss.
        without: the loss without eviction.
        looks: per policy a colour and a mark, as ``policy_looks`` gives them.
        title: what is to be seen, as a sentence.
    """
    figure, ax = new_axes("passage left to the nine KV heads that copy most", "loss, nats per token", right=0.7)
    for name, (left, loss) in policies.items():
        colour, mark = looks[name]
        ax.plot(left, loss, mark, color=colour, markersize=8, label=name)
    for colour, style, (what, (policy, left, loss)) in zip((BLUE, ORANGE), ("-", "--"), forced.items(), strict=False):
        arrow = {"arrowstyle": "->", "color": colour, "linewidth": 2, "linestyle": style}
        ax.annotate("", xy=(left, loss), xytext=policies[policy], arrowprops=arrow)
        ax.plot([], [], style, color=colour, linewidth=2, label=what)
    ax.axhline(without, color=GREY, linestyle="--", linewidth=1.5, label="no eviction")
    ax.set_xlim(-0.03, 1.03)
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.set_title(title, **TITLE)
    figure.legend(*ax.get_legend_handles_labels(), loc="center right", frameon=False, fontsize=8)
    return figure

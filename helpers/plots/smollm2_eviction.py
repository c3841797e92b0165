"""What eviction costs SmolLM2: its loss over the budget, and over what copying heads have left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, GREY, ORANGE, SIZE, add_axes, new_axes, powers_axis


def losses_by_budget(
    panels: Mapping[str, tuple[Sequence[float], float, Mapping[str, Sequence[float]]]],
    looks: Mapping[str, tuple[str, str]],
) -> Figure:
    """Mean loss over the budget, one panel per task, one line per policy; dashed, the loss without eviction.

    The worst policy of a panel leaves it above, so that the others can be told apart.

    Args:
        panels: by title, budgets as shares of a text, the loss without eviction, and per policy one loss per budget.
        looks: per policy a colour and a mark, as ``policy_looks`` gives them.
    """
    figure, width = Figure(figsize=SIZE), 0.72 / len(panels)
    for i, (title, (shares, without, by_policy)) in enumerate(panels.items()):
        ax = add_axes(figure, (0.08 + i * width, 0.15, width - 0.045, 0.75))
        for policy, losses in by_policy.items():
            colour, mark = looks[policy]
            ax.plot(shares, losses, f"{mark}-", color=colour, markersize=5, linewidth=1.3, label=policy)
        ax.axhline(without, color=GREY, linestyle="--", linewidth=1.5, label="no eviction")
        second_worst = sorted(max(losses) for losses in by_policy.values())[-2]
        margin = 0.08 * (second_worst - without)
        ax.set_ylim(without - margin, second_worst + margin)
        powers_axis(ax, shares, [f"{100 * share:g}%" for share in shares], fontsize=7)
        ax.set_title(title, fontsize=10)
    figure.axes[0].set_ylabel("loss, nats per token")
    figure.axes[len(panels) // 2].set_xlabel("budget: rows kept, as a share of the text")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="center right", frameon=False, fontsize=8)
    return figure


def loss_by_what_is_left(
    policies: Mapping[str, tuple[float, float]],
    forced: Mapping[str, tuple[str, float, float]],
    without: float,
    looks: Mapping[str, tuple[str, str]],
) -> Figure:
    """Loss of a passage that comes again, over what the copying heads have left of it; arrows where that was forced.

    Args:
        policies: by name, the share left to the copying heads, and the loss.
        forced: by what was done, the policy that was overruled, the share that was left then, and the loss.
        without: the loss without eviction.
        looks: per policy a colour and a mark, as ``policy_looks`` gives them.
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
    figure.legend(*ax.get_legend_handles_labels(), loc="center right", frameon=False, fontsize=8)
    return figure

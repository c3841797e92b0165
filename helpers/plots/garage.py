"""Figures of eviction: which rows stay on which floor, how many floors close, by share, block size, policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, RED, SIZE, new_axes, powers_axis
from helpers.plots.compression import MODES

ROW = 64  # slots side by side
ROW_INCHES, BARS_INCHES = 0.36, 1.35
DEAD = "#DADADA"
HEIGHT = 0.72  # of a floor, in a row of height 1


def garage(alive: np.ndarray, evicted: float, expected: float) -> Figure:
    """Every floor with the rows left on it, and two bars under it: the share of rows evicted and of floors freed.

    Args:
        alive: ``[blocks, block_size, heads]``, True where a row is left; the heads of a space are drawn as its parts,
            the first on top. A floor without any is free.
        evicted: share of rows evicted.
        expected: blocks expected to come back.
    """
    n_blocks, block_size, _ = alive.shape
    n_rows = -(-n_blocks * block_size // ROW)
    height = ROW_INCHES * n_rows + BARS_INCHES
    figure = Figure(figsize=(SIZE[0], height))
    ax = figure.add_axes((0.01, BARS_INCHES / height, 0.98, 1 - BARS_INCHES / height))
    _draw_spaces(ax, alive.reshape(n_blocks * block_size, -1))
    _draw_floors(ax, alive.any((1, 2)), block_size)
    ax.set_xlim(-0.3, ROW + 0.3)
    ax.set_ylim(n_rows, -0.15)
    ax.set_axis_off()
    _draw_bars(figure.add_axes((0.13, 0.2 / height, 0.5, 0.62 / height)), evicted, ~alive.any((1, 2)), expected)
    handles = [Patch(color=BLUE, label="row kept"), Patch(color=DEAD, label="row evicted, space still held")]
    handles.append(Patch(facecolor="white", edgecolor=GREY, linestyle=":", label="floor freed"))
    figure.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 1.2 / height), ncols=3, frameon=False)
    return figure


def _draw_spaces(ax: Axes, alive: np.ndarray) -> None:
    """One image per row of the picture: a column per slot, a line per head."""
    colours = ListedColormap([DEAD, BLUE])
    for y, first in enumerate(range(0, len(alive), ROW)):
        part = alive[first : first + ROW].T
        extent = (0, part.shape[1], y + HEIGHT, y)
        ax.imshow(part, colours, vmin=0, vmax=1, aspect="auto", interpolation="nearest", extent=extent)
    ax.vlines(range(1, ROW), 0, -(-len(alive) // ROW), color="white", linewidth=1)


def _draw_floors(ax: Axes, held: np.ndarray, block_size: int) -> None:
    """A frame round each floor that is held, and an empty dotted one where it was given back."""
    corners = [divmod(i * block_size, ROW) for i in range(len(held))]
    for kept, fill, edge, line in ((True, "none", "#222222", "-"), (False, "white", GREY, ":")):
        boxes = [
            Rectangle((x + 0.07, y - 0.02), block_size - 0.14, HEIGHT + 0.04)
            for (y, x), is_held in zip(corners, held, strict=True)
            if is_held == kept
        ]
        ax.add_collection(
            PatchCollection(boxes, facecolor=fill, edgecolor=edge, linestyle=line, linewidth=1.1, zorder=3)
        )


def _draw_bars(ax: Axes, evicted: float, freed: np.ndarray, expected: float) -> None:
    shares = [evicted, freed.mean()]
    ax.barh([1, 0], shares, 0.55, color=[ORANGE, GREEN], edgecolor="black", linewidth=0.8)
    ax.plot([expected / len(freed)], [0], "D", color="white", markeredgecolor="black", markersize=8, clip_on=False)
    ax.set_yticks([1, 0], ["rows evicted", "floors freed"])
    ax.text(1.04, 1, f"{evicted:.1%}", va="center")
    ax.text(1.04, 0, f"{freed.mean():.1%}: {freed.sum()} of {len(freed)} (◇ {expected:,.3g} expected)", va="center")
    ax.set_xlim(0, 1)
    ax.set_ylim(-0.5, 1.5)
    ax.xaxis.set_visible(False)
    ax.spines[["top", "right", "bottom"]].set_visible(False)


def freed_by_share(
    shares: Sequence[float],
    formula: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    simulated: Mapping[str, Sequence[float]],
    measured: Mapping[str, Sequence[float]],
) -> Figure:
    """Share of blocks that come back over the share of tokens evicted: closed form, simulation and a real pool.

    Args:
        shares: shares of tokens evicted in simulation and pool.
        formula: by case, the closed form: shares of tokens evicted, and of blocks; a line.
        simulated: by case, the share of blocks at each of ``shares`` in a simulation; crosses.
        measured: by case, the same in the cache of a real model; circles.
    """
    figure, ax = new_axes("tokens evicted", "blocks that come back", right=0.67)
    ax.plot([0, 1], [0, 1], ":", color=GREY, label="hoped for: as many as evicted")
    for case, colour, line in zip(formula, (BLUE, RED, GREEN), ("-", "--", "-."), strict=False):
        ax.plot(*formula[case], line, color=colour, label=f"{case}: closed form")
        ax.plot(shares, simulated[case], "x", color=colour, markersize=8, label="simulation")
        ax.plot(shares, measured[case], "o", color=colour, markersize=9, fillstyle="none", label="the reasoner's pool")
    ax.set_xlim(shares[0] - 0.02, 1)
    ax.set_ylim(-0.03, 1)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:.0%}")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def freed_by_block_size(sizes: Sequence[int], freed: Mapping[str, Sequence[float]], users: Mapping[int, str]) -> Figure:
    """Share of blocks that come back over the block size, one line per case; ``users`` names who has which size."""
    figure, ax = new_axes("block size (slots), and who uses it", "blocks that come back")
    ax.set_position((0.12, 0.26, 0.85, 0.69))
    for (case, values), look in zip(freed.items(), ("o-", "s--", "^-."), strict=False):
        ax.plot(sizes, values, look, color={"o": BLUE, "s": RED, "^": GREEN}[look[0]], label=case)
    powers_axis(ax, sizes, [f"{size}\n{users.get(size, '')}" for size in sizes])
    ax.set_ylim(-0.03, 1)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="upper right", frameon=False)
    return figure


def freed_by_policy(
    names: Sequence[str], freed: Mapping[str, Sequence[float]], blocks: int, with_compaction: int
) -> Figure:
    """Per policy one bar per selection mode: blocks that came back; and the line that compaction reaches for all.

    Args:
        names: the policies.
        freed: by selection mode, blocks per sequence for each policy.
        blocks: blocks held before.
        with_compaction: blocks that come back if survivors are moved together.
    """
    figure, ax = new_axes(f"blocks that came back, of {blocks}", "", left=0.2)
    figure.set_size_inches(SIZE[0], 4.8)
    places, height = np.arange(len(names)), 0.8 / len(freed)
    for i, (mode, values) in enumerate(freed.items()):
        colour, _, hatch = MODES[mode]
        ys = places + (i - (len(freed) - 1) / 2) * height
        ax.barh(ys, values, 0.9 * height, color=colour, hatch=hatch, edgecolor="white", label=mode)
        for y, value in zip(ys, values, strict=True):
            near_line = 0 <= with_compaction - value < 0.08 * blocks
            ax.text((with_compaction if near_line else value) + 0.3, y, f"{value:,.1f}", va="center", fontsize=8)
    ax.axvline(with_compaction, color=RED, linestyle="--", linewidth=2, label=f"with compaction: {with_compaction}")
    ax.set_yticks(places, list(names))
    ax.set_xlim(0, blocks)
    ax.invert_yaxis()
    ax.grid(visible=False)
    figure.legend(loc="upper center", ncols=3, frameon=False, fontsize=9)
    ax.set_position((0.2, 0.13, 0.77, 0.74))
    return figure

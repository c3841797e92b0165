"""Figures of eviction: which rows stay on which floor; how many floors close, by share, exponent, block size, mode."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch, Rectangle

from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, RED, SIZE, SKY, add_axes, new_axes, powers_axis

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


def ways_to_park(ways: Sequence[Collection[int]], floors: int, block_size: int) -> Figure:
    """A small garage for each way to park the cars that stay; floors without a car are closed.

    Args:
        ways: for each garage, the slots in which a car stays, counted from the ground floor's first.
        floors: of each garage.
        block_size: slots on a floor.
    """
    figure = Figure(figsize=(SIZE[0], 0.9 + 0.5 * floors))
    ax = figure.add_axes((0.01, 0.02, 0.98, 0.83))
    closed = [sum(not _on_floor(way, floor, block_size) for floor in range(floors)) for way in ways]
    for i, way in enumerate(ways):
        left = i * (block_size + 0.8)
        for floor in range(floors):
            _draw_floor(ax, left, floor, block_size, _on_floor(way, floor, block_size))
        text = "none closes" if not closed[i] else f"{closed[i]} closes" if closed[i] == 1 else f"{closed[i]} close"
        look = {"color": GREEN, "fontweight": "bold"} if closed[i] else {"color": GREY}
        ax.text(left + block_size / 2, -0.35, text, ha="center", va="center", **look)
    ax.set_xlim(-0.2, len(ways) * (block_size + 0.8) - 0.6)
    ax.set_ylim(-0.7, floors + 0.1)
    ax.set_axis_off()
    figure.suptitle(
        f"Of {len(ways)} ways to park, {sum(map(bool, closed))} close a floor", x=0.02, ha="left", fontsize=11
    )
    return figure


def _on_floor(way: Collection[int], floor: int, block_size: int) -> list[int]:
    """The slots of a floor, counted on it, in which a car stays."""
    return [slot - floor * block_size for slot in way if slot // block_size == floor]


def _draw_floor(ax: Axes, left: float, floor: int, block_size: int, cars: Sequence[int]) -> None:
    look = {"edgecolor": "#222222", "facecolor": DEAD} if cars else {"edgecolor": GREEN, "facecolor": "white"}
    ax.add_patch(Rectangle((left, floor), block_size, 0.86, linestyle="-" if cars else ":", linewidth=1.5, **look))
    for car in cars:
        ax.add_patch(FancyBboxPatch((left + car + 0.24, floor + 0.22), 0.52, 0.4, "round,pad=0.06", color=BLUE))


class Draws(NamedTuple):
    """Shares of blocks that came back in several draws: their mean, the least and the most."""

    mean: float
    least: float
    most: float

    @classmethod
    def of(cls, shares: Sequence[float]) -> Draws:
        """Those of a list of shares."""
        return cls(sum(shares) / len(shares), min(shares), max(shares))


LOOKS = (("-", "o", BLUE), ("--", "s", RED), ("-.", "^", GREEN))  # per case a line, a mark and a colour


def freed_by_share(
    formula: Mapping[str, Mapping[float, float]], measured: Mapping[str, Mapping[float, Draws]], title: str
) -> Figure:
    """Share of blocks that come back over the share of rows evicted: the closed form, and a real cache.

    Args:
        formula: by case, the closed form; a line.
        measured: by case, the same in the cache of a model; marks, with a bar from the least draw to the most.
        title: what is to be seen.
    """
    figure, ax = new_axes("rows evicted", "floors that come back", right=0.68)
    ax.set_position((0.12, 0.15, 0.55, 0.74))
    ax.plot([0, 1], [0, 1], ":", color=GREY, label="hoped for")
    for (case, line), (style, mark, colour) in zip(formula.items(), LOOKS, strict=False):
        ax.plot(list(line), list(line.values()), style, color=colour, label=f"{case}: the law")
        _draw_bars_of(ax, measured[case], mark, colour, f"{case}: measured")
    ax.set_xlim(min(min(line) for line in measured.values()) - 0.02, 1.01)
    ax.set_ylim(-0.03, 1)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:.0%}")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure


def freed_by_exponent(share: float, measured: Mapping[str, Mapping[int, Draws]], title: str) -> Figure:
    """Share of blocks that come back over block size times number of choosers, with the line ``share ** exponent``.

    Args:
        share: of rows evicted.
        measured: by case, per exponent what came back in the cache of a model, with a bar from least to most.
        title: what is to be seen.
    """
    figure, ax = new_axes("block size × choosers", "floors that come back")
    ax.set_position((0.12, 0.15, 0.85, 0.74))
    last = max(max(line) for line in measured.values())
    exponents = [2 ** (i / 8) for i in range(8 * (last.bit_length() + 1)) if 2 ** (i / 8) <= 1.3 * last]
    ax.plot(
        exponents, [share**exponent for exponent in exponents], color=GREY, label=f"the law: {share:g} to that power"
    )
    for (case, line), (_, mark, colour) in zip(measured.items(), LOOKS, strict=False):
        _draw_bars_of(ax, line, mark, colour, case)
    ticks = [2**i for i in range(last.bit_length() + 1) if 2**i <= 1.5 * last]
    powers_axis(ax, ticks, [f"{tick:,}" for tick in ticks])
    ax.set_ylim(-0.03, 1)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="upper right", frameon=False)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure


def _draw_bars_of(ax: Axes, draws: Mapping[float, Draws], mark: str, colour: str, label: str) -> None:
    """Marks at the means, with bars from the least draw to the most."""
    means = [each.mean for each in draws.values()]
    ranges = [[each.mean - each.least for each in draws.values()], [each.most - each.mean for each in draws.values()]]
    look = {"markersize": 7, "markerfacecolor": "white", "capsize": 3, "linewidth": 1.2}
    ax.errorbar(list(draws), means, ranges, fmt=mark, color=colour, label=label, zorder=3, **look)


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


def floors_by_mode(
    freed: Mapping[tuple[str, str], Sequence[int]], modes: Mapping[str, tuple[str, float]], floors: int, title: str
) -> Figure:
    """Blocks that come back of a story: a panel per selection mode, a bar per policy, a dot per story.

    Args:
        freed: by policy and mode, the blocks that came back of each story.
        modes: of the modes to draw, what is said over the panel, and the blocks expected of a choice at random.
        floors: blocks that a story takes, the right end of the axes.
        title: what is to be seen.
    """
    figure, policies = Figure(figsize=(SIZE[0], 3.9)), list(dict.fromkeys(policy for policy, _ in freed))
    width = 0.805 / len(modes)
    for i, (mode, (heading, expected)) in enumerate(modes.items()):
        ax = add_axes(figure, (0.19 + i * width, 0.13, width - 0.02, 0.66), grid="x")
        counts = [freed[policy, mode] for policy in policies]
        ax.barh(range(len(policies)), [sum(each) / len(each) for each in counts], 0.62, color=SKY, edgecolor=BLUE)
        for y, of_stories in enumerate(counts):
            spread = [y + 0.11 * (j - (len(of_stories) - 1) / 2) for j in range(len(of_stories))]
            ax.plot(of_stories, spread, "o", color="#222222", markersize=2.8, clip_on=False, zorder=3)
        ax.axvline(expected, color=RED, linestyle="--", linewidth=1.5, label="expected of dice")
        names = [policy.replace(", ", ",\n") for policy in policies] if i == 0 else [""] * len(policies)
        ax.set_yticks(range(len(policies)), names)
        ax.set_xticks(range(0, floors + 1, 4))
        ax.set_xlim(-0.25, floors)
        ax.invert_yaxis()
        ax.set_title(heading, fontsize=9.5)
    figure.axes[0].legend(loc="lower left", bbox_to_anchor=(-0.95, -0.24), frameon=False, fontsize=9)
    figure.text(0.59, 0.02, f"floors that come back, of {floors}", ha="center")
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure

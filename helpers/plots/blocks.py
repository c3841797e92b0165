"""Figures of the pool: which slot of which block holds whose token, what is wasted, what is in use step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SIZE, SKY, bytes_axis, new_axes, powers_axis

SHARED, EMPTY = "shared", ""  # what a slot may hold besides a sequence's letter
# Per owner a colour and a mark: colour is never the only cue.
LOOKS = {
    SHARED: ("black", "*"),
    "A": (BLUE, "o"),
    "B": (ORANGE, "s"),
    "C": (GREEN, "^"),
    "D": (RED, "D"),
    "E": (SKY, "v"),
    "F": (PURPLE, "P"),
}
ROW = 32  # slots side by side
ROW_INCHES, FEWEST_ROWS = 0.36, 4  # the key beside a small pool needs the height of four rows


@dataclass(frozen=True)
class Floor:
    """One block as it is drawn.

    Attributes:
        slots: what each slot holds: a sequence's letter, ``shared`` or nothing.
        ref_count: block tables that list it; 0 for a free block.
    """

    slots: Sequence[str]
    ref_count: int


def pool_map(floors: Sequence[Floor], row: int) -> Figure:
    """Every block of a pool as a strip of slots, several to a row, with its number and how many tables list it.

    Args:
        floors: the blocks, in the order of their numbers, all of one size.
        row: slots side by side; blocks must divide it.
    """
    size = len(floors[0].slots)
    n_rows = max(FEWEST_ROWS, -(-len(floors) * size // row))
    figure = Figure(figsize=(SIZE[0], ROW_INCHES * n_rows))
    ax = figure.add_axes((0.01, 0.02, 0.86, 0.96))
    corners = [(i * size % row, i * size // row) for i in range(len(floors))]
    _draw_strips(ax, floors, corners, size)
    _draw_tokens(ax, floors, corners)
    ax.set_xlim(-0.2, row + 0.2)
    ax.set_ylim(n_rows, -0.4)
    ax.set_axis_off()
    if any(floor.ref_count for floor in floors):
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, handletextpad=0.1, borderpad=0)
    return figure


def _draw_strips(ax: Axes, floors: Sequence[Floor], corners: Sequence[tuple[int, int]], size: int) -> None:
    for held, look in ((False, ("white", "#BBBBBB", ":")), (True, ("#F4F4F4", "#222222", "-"))):
        boxes = [
            Rectangle((x + 0.08, y + 0.05), size - 0.16, 0.54)
            for floor, (x, y) in zip(floors, corners, strict=True)
            if bool(floor.ref_count) == held
        ]
        ax.add_collection(PatchCollection(boxes, facecolor=look[0], edgecolor=look[1], linestyle=look[2], linewidth=1))
    for number, (floor, (x, y)) in enumerate(zip(floors, corners, strict=True)):
        if floor.ref_count:
            text = f"{number}  ×{floor.ref_count}" if floor.ref_count > 1 else f"{number}"
            weight = "bold" if floor.ref_count > 1 else "normal"
            ax.text(x + 0.15, y - 0.02, text, fontsize=7.5, va="bottom", weight=weight)


def _draw_tokens(ax: Axes, floors: Sequence[Floor], corners: Sequence[tuple[int, int]]) -> None:
    places: dict[str, list[tuple[float, float]]] = {}
    for floor, (x, y) in zip(floors, corners, strict=True):
        for i, owner in enumerate(floor.slots if floor.ref_count else ()):
            places.setdefault(owner, []).append((x + i + 0.5, y + 0.32))
    for owner in [name for name in LOOKS if name in places]:
        colour, mark = LOOKS[owner]
        xs, ys = zip(*places[owner], strict=True)
        ax.plot(xs, ys, mark, color=colour, markersize=5.5, label=owner)
    if EMPTY in places:
        xs, ys = zip(*places[EMPTY], strict=True)
        ax.plot(xs, ys, ".", color="#888888", markersize=2.5, label="empty")


def used_shares(groups: Mapping[str, Mapping[str, float]], title: str) -> Figure:
    """One horizontal bar per way of handing out memory: the share of the memory that holds a token, and the rest.

    Args:
        groups: by whose figures they are, per way the share that is used, 0 to 1.
        title: what is to be seen.
    """
    figure, ax = new_axes("share of the memory", "", left=0.3)
    ax.set_position((0.3, 0.14, 0.62, 0.76))
    y, ticks = 0.0, {}
    for whose, shares in groups.items():
        ax.text(0, y - 0.62, whose, fontsize=9, weight="bold", color=GREY)
        for name, share in shares.items():
            ax.barh(y, share, 0.7, color=BLUE, label=None if ticks else "holds a token")
            rest = {"color": "white", "edgecolor": RED, "hatch": "//", "linewidth": 1}
            ax.barh(y, 1 - share, 0.7, left=share, label=None if ticks else "holds nothing", **rest)
            ax.text(1.01, y, f"{share:.1%}", va="center")
            ticks[y] = name
            y += 1
        y += 0.8
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.set_ylim(y - 1.1, -1.1)
    ax.set_xlim(0, 1)
    ax.grid(visible=False)
    ax.xaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, ncols=2, fontsize=9, borderpad=0)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure


def waste_by_block_size(
    sizes: Sequence[int], predicted: Sequence[float], measured: Sequence[float], title: str
) -> Figure:
    """Share of held slots that hold nothing, over the block size: by the closed form, and counted in a pool."""
    figure, ax = new_axes("block size (slots)", "held slots that hold nothing")
    ax.set_position((0.12, 0.15, 0.85, 0.74))
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    ax.plot(sizes, predicted, "s--", color=ORANGE, label="if each leaves half a block empty")
    ax.plot(sizes, measured, "o-", color=BLUE, label="counted in the pool")
    powers_axis(ax, sizes, [f"{size:,}" for size in sizes])
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter("{x:.0%}")
    ax.legend(loc="upper left", frameon=False)
    return figure


def held_over_time(labels: Sequence[str], held: Sequence[int], reserved: Sequence[int]) -> Figure:
    """Bytes of held blocks after each event, under the bytes of the whole pool.

    Args:
        labels: the events, one per entry; they stand under the axis.
        held: bytes of the blocks held after each.
        reserved: bytes of the pool's memory after each.
    """
    figure, ax = new_axes("", "bytes")
    xs = range(len(labels))
    ax.plot(xs, reserved, "s--", color=GREY, label="pool: what nvidia-smi would see")
    ax.bar(xs, held, 0.7, color=SKY, edgecolor=BLUE, label="held blocks: what the engine reports as usage")
    for x, value in zip(xs, held, strict=True):
        ax.text(x, value, f"{value / reserved[x]:.0%}", ha="center", va="bottom", fontsize=9)
    ax.set_xticks(list(xs), list(labels), fontsize=8)
    ax.set_ylim(0, 1.35 * max(reserved))
    bytes_axis(ax.yaxis, max(reserved))
    ax.legend(loc="upper left", frameon=False, ncols=2)
    return figure


def floors_of(block_size: int, ref_count: Sequence[int], tables: dict[str, tuple[Sequence[int], int]]) -> list[Floor]:
    """The blocks of a pool as floors.

    Args:
        block_size: slots per block.
        ref_count: per block, the tables that list it.
        tables: per sequence, by its letter, its blocks in order and the slots it has filled.
    """
    slots = [[EMPTY] * block_size for _ in ref_count]
    for letter, place in _filled(block_size, tables):
        block, offset = divmod(place, block_size)
        slots[block][offset] = SHARED if ref_count[block] > 1 else letter
    return [Floor(held, count) for held, count in zip(slots, ref_count, strict=True)]


def _filled(block_size: int, tables: dict[str, tuple[Sequence[int], int]]) -> Iterator[tuple[str, int]]:
    for letter, (blocks, num_slots) in tables.items():
        for i in range(num_slots):
            yield letter, blocks[i // block_size] * block_size + i % block_size


RUN_LINES = (("--", RED), ("-", GREEN), ("-.", BLUE), (":", GREY))  # per run a line of its own, in colour and stroke


def blocks_over_steps(runs: Mapping[str, Sequence[int]], num_blocks: int, died: Mapping[str, int]) -> Figure:
    """Blocks in use after each step, one line per run, under the dashed line of the pool.

    Args:
        runs: by name, the blocks in use after step 0, 1, and so on; four runs at most.
        num_blocks: blocks of the pool.
        died: by name, the step in which the pool refused, for the runs that died.
    """
    figure, ax = new_axes("step", "blocks in use")
    ax.axhline(num_blocks, color="black", linestyle=":", linewidth=2, label=f"the pool: {num_blocks} blocks")
    for i, ((name, held), (line, colour)) in enumerate(zip(runs.items(), RUN_LINES, strict=False)):
        # Earlier runs on top: where two are alike, the gaps of the upper line show the lower one.
        ax.plot(range(len(held)), held, line, color=colour, linewidth=2.5, label=name, zorder=5 - i)
        if name in died:
            ax.plot([died[name]], [num_blocks], "X", color=colour, markersize=11, label="out of blocks", zorder=6)
    ax.set_xlim(0, max(map(len, runs.values())))
    ax.set_ylim(0, 1.45 * num_blocks)  # room for the legend above the pool
    ax.legend(loc="upper left", frameon=False, ncols=3, fontsize=9)
    return figure


RUN_MARKS = (("o", GREEN), ("D", BLUE), ("s", RED))  # per run a mark of its own, in colour and shape


def latency_by_request(runs: Mapping[str, Sequence[int]], least: int, title: str) -> Figure:
    """Steps from arrival to answer, a dot per request and run, above the line of those who never wait.

    Args:
        runs: by name, the steps of each request in the order of arrival; three runs at most.
        least: steps of a request that never waits.
        title: what the picture says.
    """
    figure, ax = new_axes("request, in the order of arrival", "steps until its answer", top=0.88)
    ax.axhline(least, color="black", linestyle=":", linewidth=2, label=f"never waits: {least}")
    for (name, steps), (mark, colour) in zip(runs.items(), RUN_MARKS, strict=False):
        ax.plot(range(1, len(steps) + 1), steps, mark, color=colour, markersize=8, fillstyle="none", mew=2, label=name)
    ax.set_xticks(range(1, 1 + max(map(len, runs.values()))))
    ax.set_ylim(0, 1.35 * max(map(max, runs.values())))  # room for the legend
    ax.legend(loc="upper left", frameon=False, ncols=3, fontsize=9)
    ax.set_title(title, fontsize=11)
    return figure

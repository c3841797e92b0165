"""Figures of a garage with words in its slots, and of requests that share one: who runs when, and who is sent away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.plots.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SIZE, SKY, add_axes

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)  # of A, B, C ...: a letter stands beside each
FREE, DECK, INK = "#BBBBBB", "#F4F4F4", "#222222"
COLUMNS, PLATE, FLOOR = 2, 0.55, 0.42  # floors side by side; widths and heights in slots


def words_in_floors(
    floors: Sequence[Sequence[str]], size: int, tables: Mapping[str, Sequence[int]], free: Sequence[int], title: str
) -> Figure:
    """Every floor with the words in its slots and a plate for each table that lists it; below, tables and free list.

    Args:
        floors: per floor, the words in its slots, in order; those of a free floor are not drawn.
        size: slots of a floor.
        tables: per sequence, by its letter, the floors that it lists, in order.
        free: the floors that nobody holds, the first to be handed out first.
        title: what is to be seen.
    """
    rows = -(-len(floors) // COLUMNS)
    figure = Figure(figsize=(SIZE[0], 0.55 * rows + 0.9))
    ax = figure.add_axes((0.02, 0.0, 0.96, 0.88))
    wide = size + 4 * PLATE
    for number, words in enumerate(floors):
        owners = [f"{name}{table.index(number)}" for name, table in tables.items() if number in table]
        _floor(ax, (number // rows * wide, number % rows), number, words if owners else [], size, owners)
    said = [f"table of {name}: {'  '.join(map(str, table)) or '(none)'}" for name, table in tables.items()]
    said.append(f"free: {'  '.join(map(str, free))}")
    for i, words in enumerate(said):
        ax.text(i * COLUMNS * wide / len(said), rows + 0.4, words, fontsize=10)
    ax.set_xlim(-0.1, COLUMNS * wide)
    ax.set_ylim(rows + 0.7, -0.2)
    ax.set_axis_off()
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure


def _floor(
    ax: Axes, corner: tuple[float, int], number: int, words: Sequence[str], size: int, owners: Sequence[str]
) -> None:
    """One floor: its number, a plate per table, a box per word; a free one is dotted."""
    x, y = corner
    ax.text(x + 0.02, y + FLOOR, str(number), va="center", fontsize=10, weight="bold" if owners else "normal")
    for i, owner in enumerate(owners):
        edge = COLOURS[ord(owner[0]) - ord("A")]
        plate = {"facecolor": "white", "edgecolor": edge, "linewidth": 1.5, "boxstyle": "square,pad=0.25"}
        ax.text(x + (0.6 + 0.95 * i) * PLATE, y + FLOOR, owner, va="center", fontsize=8, bbox=plate)
    left = x + 2.6 * PLATE
    look = {"facecolor": DECK, "edgecolor": INK} if owners else {"facecolor": "white", "edgecolor": FREE, "ls": ":"}
    ax.add_patch(Rectangle((left, y), size, 2 * FLOOR, **look))
    colour = GREY if len(owners) > 1 else COLOURS[ord(owners[0][0]) - ord("A")] if owners else FREE
    for i, word in enumerate(words):
        ax.add_patch(Rectangle((left + i + 0.05, y + 0.08), 0.9, 2 * FLOOR - 0.16, facecolor="white", edgecolor=colour))
        ax.add_patch(Rectangle((left + i + 0.05, y + 0.08), 0.07, 2 * FLOOR - 0.16, facecolor=colour))
        ax.text(left + i + 0.53, y + FLOOR, word.strip(), ha="center", va="center", fontsize=9)


def requests_over_steps(
    arrived: Mapping[str, int],
    ran: Mapping[str, Sequence[tuple[int, int]]],
    held: Sequence[int],
    num_blocks: int,
    title: str,
) -> Figure:
    """Above, a line per request: when it waits, runs, and is sent away; below, how much of the pool is held.

    Args:
        arrived: per request, by its letter, the step in which it came.
        ran: per request, the stretches in which it ran, first and last step of each.
        held: blocks that are held after each step.
        num_blocks: blocks of the pool.
        title: what is to be seen.
    """
    figure = Figure(figsize=(SIZE[0], 4.4))
    upper, lower = add_axes(figure, (0.09, 0.5, 0.88, 0.36), "x"), add_axes(figure, (0.09, 0.11, 0.88, 0.3))
    for y, (name, stretches) in enumerate(ran.items()):
        _request(upper, y, arrived[name], stretches, COLOURS[ord(name) - ord("A")], first=not y)
    upper.set_yticks(range(len(ran)), list(ran), fontsize=11, weight="bold")
    upper.set_ylim(len(ran) - 0.4, -0.6)
    upper.tick_params(labelbottom=False)
    lower.fill_between(range(len(held)), held, step="post", color=SKY, alpha=0.5)
    lower.step(range(len(held)), held, where="post", color=BLUE)
    lower.axhline(num_blocks, color="black", linestyle=":", linewidth=2)
    lower.text(len(held), num_blocks * 1.04, f"the garage: {num_blocks} floors", ha="right", va="bottom", fontsize=9)
    lower.set_ylim(0, 1.3 * num_blocks)
    lower.set(xlabel="step", ylabel="floors held")
    for ax in (upper, lower):
        ax.set_xlim(-2, len(held) + 1)
    upper.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, ncols=4, fontsize=9, borderpad=0)
    figure.suptitle(title, x=0.02, ha="left", fontsize=11)
    return figure


def _request(ax: Axes, y: int, arrived: int, stretches: Sequence[tuple[int, int]], colour: str, first: bool) -> None:
    """A dotted line from arrival to end, a bar where it runs, a cross where it is sent away, a mark where it reads."""
    label = (lambda words: words) if first else (lambda _: None)
    end = stretches[-1][1] + 1
    ax.plot([arrived, end], [y, y], ":", color=GREY, linewidth=1.5, zorder=1, label=label("waits"))
    for start, last in stretches:
        ax.barh(y, last + 1 - start, 0.55, left=start, color=colour, zorder=2, label=None)
    ax.plot(
        [start for start, _ in stretches],
        [y] * len(stretches),
        "|",
        color="black",
        markersize=20,
        zorder=3,
        markeredgewidth=2.5,
        label=label("reads"),
    )
    away = [last + 1 for _, last in stretches[:-1]]
    ax.plot(
        away,
        [y] * len(away),
        "X",
        color=RED,
        markersize=11,
        zorder=4,
        markeredgecolor="white",
        label=label("sent away"),
    )

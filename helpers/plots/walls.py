"""Figures of the two walls: notes in another order, and what the grid of attention weights costs."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from helpers.plots.canvas import BLUE, RED, SIZE, add_axes, bytes_axis
from helpers.records.walls import Price

AGES = LinearSegmentedColormap.from_list("ages", ["#0F4C81", "#9CC3E6", "#F4F8FC"])  # from the oldest to the newest
FONT = 7.5
LETTER = 0.602 * FONT / 72  # inches: every letter of the font is as wide as the others
PANEL, LINE = 3.85, 0.21  # inches: the width of a panel, the height of a line


def notes_in_two_orders(words: Sequence[str], order: Sequence[int]) -> Figure:
    """Two paragraphs of boxes, a token in each: as they were read, and in another order. The older, the darker.

    Args:
        words: the text of each token.
        order: which token stands where, on the right.
    """
    shown = [word.strip() or "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}" for word in words]
    panels = {"The notes as they were read": range(len(words)), "The same notes, shuffled": order}
    places = {title: _places([shown[token] for token in tokens]) for title, tokens in panels.items()}
    height = LINE * (1 + max(y for place in places.values() for _, y in place)) + 0.4
    figure = Figure(figsize=(SIZE[0], height))
    for i, (title, tokens) in enumerate(panels.items()):
        left = (0.03 + i * (PANEL + 0.2)) / SIZE[0]
        ax = figure.add_axes((left, 0.02, PANEL / SIZE[0], 1 - 0.36 / height))
        ax.set(xlim=(0, PANEL), ylim=(height - 0.4, -0.02))
        ax.set_axis_off()
        ax.set_title(title, fontsize=11, loc="left")
        for token, (x, y) in zip(tokens, places[title], strict=True):
            _draw_note(ax, shown[token], x, LINE * y, token / max(1, len(words) - 1))
    return figure


def _places(words: Sequence[str]) -> list[tuple[float, int]]:
    """Of each word the inches from the left and its line, filled like a page."""
    places, x, y = [], 0.0, 0
    for word in words:
        width = LETTER * (len(word) + 1.5)
        if x + width > PANEL:
            x, y = 0.0, y + 1
        places.append((x, y))
        x += width
    return places


def _draw_note(ax: Axes, word: str, x: float, y: float, age: float) -> None:
    look = {"boxstyle": "square,pad=0.12", "facecolor": AGES(age), "edgecolor": "none"}
    colour = "white" if age < 0.2 else "black"
    font = {"family": "monospace", "fontsize": FONT, "color": colour, "va": "center"}
    ax.text(x + 0.5 * LETTER, y + LINE / 2, word.replace("$", r"\$"), bbox=look, **font)


def price_of_weights(prices: Sequence[Price]) -> Figure:
    """Two panels over the length of the text: time of one layer's attention, and bytes of the largest tensor it makes.

    Args:
        prices: of both ways at each length, shortest first; none of which ran out of memory.
    """
    figure, lengths = Figure(figsize=SIZE), [price.length for price in prices]
    ways = {"with the grid": [price.with_grid for price in prices], "without": [price.without for price in prices]}
    time, memory = panels = [add_axes(figure, (left, 0.15, 0.37, 0.66)) for left in (0.08, 0.6)]
    for (name, found), look, colour in zip(ways.items(), ("s--", "o-"), (RED, BLUE), strict=True):
        time.plot(lengths, [1e3 * way.seconds for way in found], look, color=colour, label=name)
        memory.plot(lengths, [way.largest for way in found], look, color=colour, label=name)
    top = max(way.largest for found in ways.values() for way in found)
    bytes_axis(memory.yaxis, top)
    for ax, title in zip(panels, ("time of one layer, in milliseconds", "largest tensor made on the way"), strict=True):
        ax.set_xticks(lengths, [f"{length:,}" for length in lengths], fontsize=9)
        ax.set(xlim=(0, 1.06 * lengths[-1]), xlabel="tokens read at once")
        ax.set_title(title, fontsize=10, loc="left")
    time.yaxis.set_major_formatter("{x:,.10g}")
    time.set_ylim(bottom=0)
    memory.set_ylim(0, 1.05 * top)
    time.legend(loc="upper left", frameon=False)
    figure.suptitle("The grid costs time, and memory with every pair of tokens", x=0.08, y=0.985, ha="left")
    return figure

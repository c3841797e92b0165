"""The figure of a contest: one line per policy, its answers with their interval, and the blocks it gave back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from helpers.measuring.comparisons import share_interval
from helpers.plots.canvas import BLUE, GREY, RED, SIZE, SKY, add_axes

LOOKS = {"course": (BLUE, "o", ""), "own": (RED, "D", "//"), "bound": (GREY, "*", "..")}  # colour, mark, hatch


@dataclass(frozen=True)
class Line:
    """One policy: ``answers`` of ``sheets`` worksheets right, ``blocks`` freed per worksheet; ``look`` as in LOOKS."""

    name: str
    answers: int
    sheets: int
    blocks: float
    look: str = "course"


def answers_and_blocks(lines: Sequence[Line]) -> Figure:
    """Left the share of worksheets right with its 95% interval, right the blocks freed; one row per policy."""
    height = 1.05 + 0.3 * len(lines)
    figure = Figure(figsize=(SIZE[0], height))
    bottom, tall = 0.6 / height, 1 - 1 / height
    left = add_axes(figure, (0.24, bottom, 0.43, tall), grid="x")
    right = add_axes(figure, (0.73, bottom, 0.24, tall), grid="x")
    for y, line in enumerate(lines):
        colour, mark, hatch = LOOKS[line.look]
        ends = share_interval([True] * line.answers + [False] * (line.sheets - line.answers))
        left.plot(ends, [y, y], color=colour, linewidth=1.5)
        left.plot(line.answers / line.sheets, y, mark, color=colour, markersize=7 + 3 * (mark == "*"))
        bars = right.barh(y, line.blocks, 0.6, color=colour if hatch else SKY, hatch=hatch, edgecolor="white")
        right.bar_label(bars, [f"{line.blocks:.1f}"], fontsize=8, padding=3)
    _name_lines(left, [line.name for line in lines])
    left.set_xlim(-0.02, 1.02)
    left.xaxis.set_major_formatter("{x:.0%}")
    left.set_xlabel("worksheets right")
    right.set_xlim(0, 1.25 * max(1, *(line.blocks for line in lines)))
    right.set_yticks([])
    right.set_xlabel("blocks freed per worksheet")
    for ax in (left, right):
        ax.set_ylim(len(lines) - 0.5, -0.5)
    return figure


def _name_lines(ax: Axes, names: Sequence[str]) -> None:
    """Names as they are: a dollar sign begins no formula, and what the font cannot draw becomes a box."""
    font = get_font(findfont("DejaVu Sans"))
    drawable = ["".join(sign if font.get_char_index(ord(sign)) else "□" for sign in name) for name in names]
    ax.set_yticks(range(len(names)), drawable, fontsize=9, family="DejaVu Sans")
    for label in ax.get_yticklabels():
        label.set_parse_math(False)

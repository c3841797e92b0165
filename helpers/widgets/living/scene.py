"""A picture as data: shapes at whole pixels, written as SVG text and as a PNG, for pages on which nothing moves.

The SVG is compared letter by letter when a notebook is run again, so it holds whole pixels and nothing of the machine.
The PNG is drawn from the same shapes by matplotlib, for readers whose viewer shows no SVG.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape
from itertools import groupby

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

DPI = 144  # of the PNG, twice the size shown, so that text stays sharp
POINTS = 0.72  # of type, to a pixel of the scene: matplotlib's figures have 100 pixels an inch here
FONT = "system-ui, sans-serif"


@dataclass(frozen=True)
class Look:
    """Colours and lines of a shape; an empty colour is none."""

    fill: str = ""
    stroke: str = ""
    width: int = 1
    dashed: bool = False


@dataclass(frozen=True)
class Rect:
    """A box with its upper left corner at (x, y)."""

    x: int
    y: int
    width: int
    height: int
    look: Look
    radius: int = 0


@dataclass(frozen=True)
class Curve:
    """A line through the first and last of its points, or with a third between them an arc drawn towards that one."""

    points: tuple[tuple[int, int], ...]
    look: Look


@dataclass(frozen=True)
class Text:
    """Words on a line at height y; ``anchor`` says which part of them is at x: start, middle or end."""

    x: int
    y: int
    words: str
    fill: str
    size: int = 14
    anchor: str = "start"
    bold: bool = False


Shape = Rect | Curve | Text


@dataclass(frozen=True)
class Scene:
    """Shapes on a sheet of ``width`` by ``height`` pixels, the later on top; ``title`` says in words what they show."""

    width: int
    height: int
    shapes: tuple[Shape, ...]
    title: str
    paper: str = "#ffffff"

    def svg(self) -> str:
        """The scene as SVG text. Boxes of one look that follow each other become one path, which keeps it small."""
        body = "".join(_svg_of(kind, look, list(shapes)) for (kind, look), shapes in groupby(self.shapes, _kind))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" role="img" font-family="{FONT}"><title>{escape(self.title)}'
            f'</title><rect width="{self.width}" height="{self.height}" fill="{self.paper}"/>{body}</svg>'
        )

    def png(self) -> bytes:
        """The scene as the bytes of a PNG."""
        figure = Figure(figsize=(self.width / 100, self.height / 100), facecolor=self.paper)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        axes.axis("off")
        for order, shape in enumerate(self.shapes):
            if isinstance(shape, Text):
                align = {"start": "left", "middle": "center", "end": "right"}[shape.anchor]
                weight = "bold" if shape.bold else "normal"
                style = {"color": shape.fill, "size": POINTS * shape.size, "ha": align, "weight": weight}
                axes.text(shape.x, shape.y, shape.words, va="baseline", parse_math=False, zorder=order, **style)
            else:
                axes.add_patch(_patch(shape, order))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()

    def bundle(self) -> tuple[dict[str, object], dict[str, object]]:
        """An ordinary output of a notebook, and its metadata: SVG, PNG and words, of which a viewer takes one."""
        data = {"image/svg+xml": self.svg(), "image/png": self.png(), "text/plain": self.title}
        return data, {"image/png": {"width": self.width, "height": self.height}}


def _kind(shape: Shape) -> tuple[type, Look | None]:
    return type(shape), None if isinstance(shape, Text) else shape.look


def _svg_of(kind: type, look: Look | None, shapes: list[Shape]) -> str:
    if kind is Text:
        return "".join(map(_svg_text, shapes))
    paths = "".join(_svg_box(each) if isinstance(each, Rect) else _svg_curve(each) for each in shapes)
    return f'<path d="{paths}"{_svg_look(look)}/>'


def _svg_look(look: Look) -> str:
    stroke = f' stroke="{look.stroke}" stroke-width="{look.width}"' if look.stroke else ""
    return f' fill="{look.fill or "none"}"{stroke}' + (' stroke-dasharray="5 4"' if look.dashed else "")


def _svg_box(box: Rect) -> str:
    x, y, w, h, r = box.x, box.y, box.width, box.height, box.radius
    if not r:
        return f"M{x} {y}h{w}v{h}h{-w}z"
    turn = f"a{r} {r} 0 0 1 "
    return (
        f"M{x + r} {y}h{w - 2 * r}{turn}{r} {r}v{h - 2 * r}{turn}{-r} {r}"
        f"h{2 * r - w}{turn}{-r} {-r}v{2 * r - h}{turn}{r} {-r}z"
    )


def _svg_curve(curve: Curve) -> str:
    (x, y), *rest = curve.points
    letter = "L" if len(rest) == 1 else "Q"
    return f"M{x} {y}{letter}" + " ".join(f"{x} {y}" for x, y in rest)


def _svg_text(text: Text) -> str:
    weight = ' font-weight="bold"' if text.bold else ""
    anchor = "" if text.anchor == "start" else f' text-anchor="{text.anchor}"'
    place = f'x="{text.x}" y="{text.y}" font-size="{text.size}" fill="{text.fill}"'
    return f'<text {place}{anchor}{weight} xml:space="preserve">{escape(text.words)}</text>'


def _patch(shape: Rect | Curve, order: int) -> FancyBboxPatch | PathPatch:
    look = shape.look
    style = {
        "facecolor": look.fill or "none",
        "edgecolor": look.stroke or "none",
        "linewidth": POINTS * look.width if look.stroke else 0,
        "linestyle": "--" if look.dashed else "-",
        "zorder": order,
    }
    if isinstance(shape, Rect):
        corner = f"round,pad=0,rounding_size={shape.radius}" if shape.radius else "square,pad=0"
        return FancyBboxPatch((shape.x, shape.y), shape.width, shape.height, boxstyle=corner, **style)
    codes = [Path.MOVETO, *([Path.LINETO] if len(shape.points) == 2 else [Path.CURVE3] * (len(shape.points) - 1))]
    return PathPatch(Path(shape.points, codes), **style)

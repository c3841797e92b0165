"""Attention as four words: a query that the hand turns, keys that answer it, values in the shares that come of it."""

from __future__ import annotations

from math import exp, hypot, sqrt
from typing import Any

from helpers.widgets.living.picture import LivingPicture, join_modules
from helpers.widgets.living.scene import Curve, Look, Rect, Scene, Shape, Text

WORDS = ("the", "cat", "sat", "on")
KEYS = ((-1.5, -0.9), (1.2, 1.6), (-1.3, 1.4), (1.7, -0.8))
VALUES = ((-0.6, -1.5), (1.6, 0.6), (-0.3, 1.6), (-1.6, 0.3))
START = {"query": [0.5, -1.7], "order": [0, 1, 2, 3]}
COLOURS = ("#0072b2", "#b84a00", "#00795a", "#b2518f")
INK, SOFT, LINE = "#1b2733", "#52606d", "#c3ced8"
SIDE, FAR = 260, 2.2  # pixels of a plane's side in the still picture, and the number at its edge
Point = tuple[float, float]


def attend(query: Point, keys: tuple[Point, ...] = KEYS, values: tuple[Point, ...] = VALUES) -> dict[str, list[float]]:
    """Attention over keys and values of two numbers: q . k, softmax(q . k / sqrt(2)), the sum of values by share."""
    products = [query[0] * x + query[1] * y for x, y in keys]
    raised = [exp((product - max(products)) / sqrt(2)) for product in products]
    shares = [each / sum(raised) for each in raised]
    answer = [sum(share * value[axis] for share, value in zip(shares, values, strict=True)) for axis in (0, 1)]
    return {"products": products, "shares": shares, "answer": answer}


def verdict(shares: list[float]) -> str:
    """Which word wins, and all shares, the largest first."""
    order = sorted(range(len(WORDS)), key=lambda i: -shares[i])
    parts = ", ".join(f"{WORDS[i]} {100 * shares[i]:.0f}%" for i in order)
    return f"“{WORDS[order[0]]}” wins. Shares: {parts}."


class AttentionWords(LivingPicture):
    """Four words, each with a key and a value of two numbers, and a query to turn."""

    title = "Attention as four words"
    _esm = join_modules("parts.js", "sheet.js", "attention_words.js")

    def __init__(self, query: Point = (0.5, -1.7)) -> None:
        """Begin with a query.

        Raises:
            ValueError: if it is no pair of numbers between -2 and 2.
        """
        choice = START | {"query": list(query)}
        self.frame(choice)
        super().__init__({"words": WORDS, "keys": KEYS, "values": VALUES, "start": START["query"]}, choice)

    def frame(self, choice: dict[str, Any]) -> dict[str, Any]:
        """Products, shares and answer for a query, in the order in which the words are held up."""
        query, order = choice["query"], choice["order"]
        if len(query) != 2 or not all(abs(part) <= 2 for part in query):
            raise ValueError(f"query is {query}; it must be two numbers between -2 and 2")
        if sorted(order) != [0, 1, 2, 3]:
            raise ValueError(f"order is {order}; it must hold each of 0, 1, 2 and 3 once")
        found = attend(query, tuple(KEYS[i] for i in order), tuple(VALUES[i] for i in order))
        return found | {"words": [WORDS[i] for i in order]}

    @classmethod
    def caption(cls, choice: dict[str, Any]) -> str:
        """What is drawn, and what it leaves out."""
        return (
            "Figure: attention over four words, with keys and values of two numbers each (a real head has 64 or 128). "
            "Left, each key falls at a right angle on the query's line; how far out it lands, times the query's "
            "length, is its product. Middle, softmax of the products over √2 makes shares of 100%. Right, the values "
            "are laid end to end, each in its share; where they end is the answer."
        )

    def scene(self) -> Scene:
        """The three steps side by side, as they stand now."""
        query = tuple(self.choice["query"])
        found = attend(query)
        shapes = [*_keys(query), *_shares(found), *_values(found, self.choice["order"])]
        said = verdict(found["shares"])
        shapes.append(Text(20, 346, said, INK, 15, bold=True))
        return Scene(840, 362, tuple(shapes), f"Four words, their keys, and a query. {said}")


def _at(left: int, place: Point) -> tuple[int, int]:
    """The pixel of a place in the plane whose left edge is given."""
    return round(left + SIDE / 2 * (1 + place[0] / FAR)), round(40 + SIDE / 2 * (1 - place[1] / FAR))


def _arrow(left: int, to: Point, look: Look) -> list[Shape]:
    """An arrow from the middle of the plane."""
    (x0, y0), (x1, y1) = _at(left, (0, 0)), _at(left, to)
    length = hypot(x1 - x0, y1 - y0) or 1
    dx, dy = 9 * (x1 - x0) / length, 9 * (y1 - y0) / length
    wings = [(round(x1 - dx + side * dy / 2), round(y1 - dy - side * dx / 2)) for side in (1, -1)]
    return [Curve(pair, look) for pair in (((x0, y0), (x1, y1)), (wings[0], (x1, y1)), (wings[1], (x1, y1)))]


def _plane(left: int, title: str, places: tuple[Point, ...], width: int) -> list[Shape]:
    """Axes, a title, and the arrow of each word with its name."""
    middle, low = left + SIDE // 2, 40 + SIDE // 2
    axes = Look("", LINE)
    shapes: list[Shape] = [Curve(((left, low), (left + SIDE, low)), axes), Curve(((middle, 40), (middle, 300)), axes)]
    shapes.append(Text(left, 24, title, INK, 15, bold=True))
    for word, (x, y), colour in zip(WORDS, places, COLOURS, strict=True):
        further = 1 + 0.3 / hypot(x, y)
        px, py = _at(left, (x * further, y * further))
        shapes += [*_arrow(left, (x, y), Look("", colour, width)), Text(px, py + 5, word, colour, 14, "middle", True)]
    return shapes


def _keys(query: Point) -> list[Shape]:
    shapes = _plane(20, "1. Ask", KEYS, 3)
    square = query[0] ** 2 + query[1] ** 2 or 1
    ends = [_at(20, tuple(side * 2 * part / sqrt(square) for part in query)) for side in (1, -1)]
    shapes.append(Curve((ends[0], ends[1]), Look("", SOFT, 1, True)))
    for (x, y), colour in zip(KEYS, COLOURS, strict=True):
        along = (x * query[0] + y * query[1]) / square
        px, py = _at(20, (along * query[0], along * query[1]))
        shapes += [Curve((_at(20, (x, y)), (px, py)), Look("", colour, 1, True))]
        shapes += [Rect(px - 4, py - 4, 8, 8, Look(colour), 4)]
    px, py = _at(20, query)
    tip = [Rect(px - 9, py - 9, 18, 18, Look("#ffe9a8", INK, 2), 9), Text(px + 14, py + 5, "query", INK, 14, bold=True)]
    return [*shapes, *_arrow(20, query, Look("", INK, 5)), *tip]


def _shares(found: dict[str, list[float]]) -> list[Shape]:
    shapes: list[Shape] = [Text(304, 24, "2. Share out", INK, 15, bold=True)]
    shapes += [Text(x, 60, words, SOFT, 13) for x, words in ((304, "word"), (346, "product"), (416, "share of 100%"))]
    for i, word in enumerate(WORDS):
        y, share = 76 + 54 * i, found["shares"][i]
        shapes.append(Text(304, y + 22, word, COLOURS[i], 15, bold=True))
        shapes.append(Text(392, y + 22, f"{found['products'][i]:.1f}".replace("-", "−"), INK, 14, "end"))
        shapes.append(Rect(416, y, max(1, round(84 * share)), 32, Look(COLOURS[i])))
        shapes.append(Text(422 + max(1, round(84 * share)), y + 22, f"{100 * share:.0f}%", INK, 14, bold=True))
    return shapes


def _values(found: dict[str, list[float]], order: list[int]) -> list[Shape]:
    shapes, place = _plane(560, "3. Answer", VALUES, 2), (0.0, 0.0)
    for i in order:
        share = found["shares"][i]
        to = (place[0] + share * VALUES[i][0], place[1] + share * VALUES[i][1])
        shapes.append(Curve((_at(560, place), _at(560, to)), Look("", COLOURS[i], 5)))
        place = to
    px, py = _at(560, place)
    return [*shapes, *_arrow(560, place, Look("", INK, 4)), Text(px + 8, py - 8, "answer", INK, 14, bold=True)]

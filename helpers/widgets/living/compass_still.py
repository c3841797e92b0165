"""The compasses as they stand still on a page where nothing moves."""

from __future__ import annotations

import cmath
import math
from typing import Any

from helpers.records.compass import Head
from helpers.widgets.living.scene import Curve, Look, Rect, Scene, Shape, Text

INK, SOFT, LINE, PALE = "#1b2733", "#52606d", "#c3ced8", "#8fbfdd"
BLUE, ORANGE, GREEN, PINK, DECK = "#0072b2", "#b84a00", "#00795a", "#b2518f", "#eef2f5"
RIM, WIDTH, HEIGHT, MIDDLE = 88, 800, 452, 150


def compass_scene(
    head: Head, token: int, frame: dict[str, Any], needles: list[tuple[complex, complex]], ahead: int | str
) -> Scene:
    """Two compasses with the needles of one key, and all keys in the order of their scores.

    Args:
        head: of the record.
        token: whose key is shown.
        frame: what was counted for it.
        needles: of each drawn band, the mean query of the future and the key.
        ahead: how many tokens the future is away, or ``all``.
    """
    asked = "all distances, the mean" if ahead == "all" else f"{ahead:,} token{'s' * (ahead != 1)} ahead"
    shapes: list[Shape] = [Text(8, 24, f"“{head.tokens[token].strip()}”, asked from {asked}", INK, 16, bold=True)]
    for which, band in enumerate(head.bands):
        turned = 0.0 if ahead == "all" else head.omega[band] * ahead
        shapes += _compass(head, which, needles[which], turned, frame["products"][band])
    norm, score = round(head.norm[token], 1), round(frame["scores"][token], 1)
    rest = score - norm - sum(round(frame["products"][band], 1) for band in head.bands)  # what is shown adds up
    told = f"the other {len(head.omega) - 2} bands {rest:+.1f}, norm term {norm:+.1f}: score {score:+.1f}"
    shapes += [
        Text(12, 360, f"+ {told}", INK, bold=True),
        Text(12, 394, "Dots: real queries.  Blue, with an arc from the start: their mean,", SOFT),
        Text(12, 416, "turned to the future.  Orange, with a square end: the key.", SOFT),
    ]
    shapes += _list(head, token, frame)
    quick, slow = (round(frame["products"][band], 1) for band in head.bands)
    words = (
        f"{head.name}, layer {head.layer}, head {head.head}: {shapes[0].words}; quick needle {quick:+.1f}, slow needle "
        f"{slow:+.1f}, {told}."
    )
    return Scene(WIDTH, HEIGHT, tuple(shapes), words)


def _compass(head: Head, which: int, needles: tuple[complex, complex], turned: float, product: float) -> list[Shape]:
    band, x = head.bands[which], 118 + 226 * which
    mean, dots = complex(*head.q_mean[band]), [complex(*dot) for dot in head.dots[which]]
    q = RIM / sorted(map(abs, dots))[int(0.97 * len(dots))]
    rows = [complex(row[band], row[band + len(head.omega)]) for row in head.keys]
    k = 0.92 * RIM / max(map(abs, rows))
    future, key = needles
    degrees = math.degrees(head.omega[band])
    name = f"{('Quick', 'Slow')[which]} needle, {degrees:.2g}° a token"
    shapes: list[Shape] = [Text(x, 50, name, INK, anchor="middle")]
    shapes += _arc(x, RIM, 0, 2 * math.pi, Look("", SOFT))
    inside = [_at(x, q * dot) for dot in dots if abs(q * dot) <= RIM]
    shapes += [Rect(px - 1, py - 1, 3, 3, Look(PALE)) for px, py in inside]
    start = cmath.phase(mean)
    shapes.append(Curve(((x, MIDDLE + 16), _at(x, cmath.rect(RIM, start))), Look("", SOFT, 1, True)))
    label = _at(x, cmath.rect(RIM + 15, start))
    shapes.append(Text(label[0], label[1] + 5, "start", SOFT, 13, "middle"))
    shapes += _arc(x, RIM + 5, start, min(turned, 2 * math.pi), Look("", BLUE, 2)) if turned > 0.02 else []
    tip, end = k * key, q * future
    shapes.append(Curve(((x, MIDDLE + 16), _at(x, tip)), Look("", ORANGE, 4)))
    shapes.append(Rect(_at(x, tip)[0] - 5, _at(x, tip)[1] - 5, 10, 10, Look(ORANGE)))
    shapes.append(Curve(((x, MIDDLE + 16), _at(x, end)), Look("", BLUE, 4)))
    for side in (2.6, -2.6):
        barb = end + cmath.rect(11, cmath.phase(end) + side)
        shapes.append(Curve((_at(x, end), _at(x, barb)), Look("", BLUE, 4)))
    most = abs(mean) * max(map(abs, rows))
    shapes.append(Rect(x - 100, 284, 200, 14, Look(DECK, LINE)))
    shapes.append(_bar(x, 285, round(100 * product / most), 12))
    shapes.append(Text(x, 318, f"dot product {product:+.1f}", INK, anchor="middle"))
    return shapes


def _arc(x: int, radius: int, start: float, angle: float, look: Look) -> list[Shape]:
    """A part of a circle, of straight pieces."""
    count = max(1, round(angle / 0.15))
    points = [_at(x, cmath.rect(radius, start + angle * i / count)) for i in range(count + 1)]
    return [Curve(ends, look) for ends in zip(points, points[1:], strict=False)]


def _list(head: Head, token: int, frame: dict[str, Any]) -> list[Shape]:
    scores = frame["scores"]
    every = [score for line in (*head.scores, head.mean_score) for score in line]
    low, span = min(every), max(every) - min(every)
    shapes: list[Shape] = [Text(478, 24, "Notes (keys): the longer, the better", INK, 16, bold=True)]
    for place, each in enumerate(frame["order"]):
        y, is_kept = 38 + 25 * place, each in frame["kept"]
        if is_kept:
            shapes.append(Rect(474, y, 320, 23, Look(DECK)))
        if each == token:
            shapes.append(Rect(474, y, 320, 23, Look("", ORANGE, 2)))
        if is_kept:
            shapes.append(Text(480, y + 16, "✓ kept", INK, 13))
        shapes.append(Text(536, y + 16, head.tokens[each].strip(), INK, bold=is_kept))
        shapes.append(_bar(604, y + 6, round(124 * (scores[each] - low) / span), 11))
        shapes.append(Text(788, y + 16, f"{scores[each]:+.1f}", INK, anchor="end"))
    return shapes


def _bar(x: int, y: int, length: int, height: int) -> Shape:
    """From x to the right where it is positive, else to the left, and then in another colour and with an edge."""
    look = Look(GREEN) if length >= 0 else Look("#ffffff", PINK, 2)
    return Rect(min(x, x + length), y, max(1, abs(length)), height, look)


def _at(x: int, place: complex) -> tuple[int, int]:
    return x + round(place.real), MIDDLE + 16 - round(place.imag)

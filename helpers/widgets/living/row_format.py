"""A row in a format: 32 numbers that become steps, the bytes that they are, and what one large number does to them."""

from __future__ import annotations

from itertools import product
from typing import Any

from helpers.records.kv_row import load_kv_row
from helpers.widgets.living.picture import LivingPicture, join_modules
from helpers.widgets.living.scene import Curve, Look, Rect, Scene, Shape, Text

FORMATS = {
    "fp16": "fp16, 16 bits",
    "fp8_e4m3": "fp8_e4m3, 8 bits",
    "q8_0": "q8_0, 8.5 bits",
    "q4_0": "q4_0, 4.5 bits",
    "nvfp4": "nvfp4, 4.5 bits",
}
RECORDED = (4, 12, 19, 28)  # numbers that can be made larger where no kernel is
TOP, HIGH = 2.6, 240  # the number at the still picture's edge, and the picture's height in pixels
INK, SOFT, LINE, PALE, BAR, WRONG, MARK = "#1b2733", "#52606d", "#aebac5", "#e4eaf0", "#0072b2", "#b84a00", "#ffe9a8"


def key_of(choice: dict[str, Any]) -> str:
    """The name of a recorded frame. As long as no number is larger, it does not matter which one is chosen."""
    number = choice["number"] if choice["times"] > 1 else "-"
    return f"{choice['format']}/{choice['half']}/{number}/{choice['times']}"


class RowFormat(LivingPicture):
    """32 numbers of a row of keys that SmolLM2 made, stored in a format and read back."""

    title = "A row in a format"
    _esm = join_modules("parts.js", "sheet.js", "row_format.js")

    def __init__(self, kv_format: str = "q4_0", half: str = "second", number: int = 19, times: int = 1) -> None:
        """Begin with a format, a half of the row, and one number made larger.

        Raises:
            ValueError: as ``stored_row.store``.
        """
        from helpers.widgets.living.stored_row import COUNT, HALVES, TIMES, places

        choice = {"format": kv_format, "half": half, "number": number, "times": times}
        choices = [
            {"format": name, "half": each, "number": n, "times": t}
            for name, each, n, t in product(FORMATS, HALVES, RECORDED, TIMES)
        ]
        recorded = {key_of(each): self.frame(each) for each in [choice, *choices]}
        data = {"formats": list(FORMATS.items()), "times": TIMES, "count": COUNT, "numbers": RECORDED, "top": TOP}
        super().__init__(data | {"places": {name: places(name) for name in FORMATS}, "recorded": recorded}, choice)

    def frame(self, choice: dict[str, Any]) -> dict[str, Any]:
        """See ``stored_row.store``."""
        from helpers.widgets.living.stored_row import store

        return store(choice["format"], choice["half"], choice["number"], choice["times"])

    @classmethod
    def caption(cls, choice: dict[str, Any]) -> str:
        """What is drawn, and where the row comes from."""
        facts = load_kv_row().facts
        return (
            f"Figure: half of a row of 64 numbers, the key that SmolLM2 keeps of “{facts['word'].strip()}” in "
            f"“{facts['text']}” (layer {facts['layer']}, KV head {facts['head']}). A dark mark is a number as it was, "
            "a bar is what comes back, and between them lies the error. Pale lines are the steps that a group of "
            "numbers can take; where they are too close to be drawn, the ground is grey. Below are the bytes as they "
            "lie, those of a scale framed. What goes beyond the edge is written there."
        )

    def scene(self) -> Scene:
        """The row as it is stored now, with its bytes."""
        from helpers.widgets.living.stored_row import places

        frame, name = self.frame(self.choice), self.choice["format"]
        marked = self.choice["number"] if self.choice["times"] > 1 else 0
        shapes = [Text(20, 28, f"{FORMATS[name]} a number", INK, 17, bold=True), *_ground(frame), *_bars(frame, marked)]
        shapes += _bytes(frame["hex"], places(name), marked)
        start, rest = frame["line"].split(". ", 1)
        shapes += [Text(20, 430 + 22 * i, words, INK, 15) for i, words in enumerate((f"{start}.", rest))]
        return Scene(800, 466, tuple(shapes), frame["line"])


def _y(number: float) -> int:
    return 70 + round(HIGH / 2 * (1 - max(-TOP, min(TOP, number)) / TOP))


def _ground(frame: dict[str, Any]) -> list[Shape]:
    """The steps of each group, its bracket and its scale."""
    shapes: list[Shape] = [Text(40, _y(n) + 5, f"{n}".replace("-", "−"), SOFT, 13, "end") for n in (-2, -1, 0, 1, 2)]
    wide = 736 // len(frame["groups"])
    for i, group in enumerate(frame["groups"]):
        left = 48 + wide * i
        if group["dense"]:
            low, high = group["dense"]
            shapes.append(Rect(left, _y(high), wide - 4, max(1, _y(low) - _y(high)), Look(PALE)))
        shapes += [Curve(((left, _y(n)), (left + wide - 4, _y(n))), Look("", LINE)) for n in group["lines"]]
        scale = f"scale {group['scale']}" if "scale" in group else "no scale"
        shapes.append(Text(left + wide // 2, 50, f"{scale}, {group['steps']:,} steps", SOFT, 13, "middle"))
    return [*shapes, Curve(((48, _y(0)), (780, _y(0))), Look("", INK))]


def _bars(frame: dict[str, Any], marked: int) -> list[Shape]:
    shapes: list[Shape] = []
    for i, (exact, read) in enumerate(zip(frame["exact"], frame["read"], strict=True)):
        x, low, high = 50 + 23 * i, _y(min(0, read)), _y(max(0, read))
        if i == marked - 1:
            shapes.append(Rect(x - 2, 70, 22, HIGH, Look(MARK)))
        shapes += [Rect(x, high, 18, low - high, Look(BAR))] if low > high else []
        if (far := abs(_y(exact) - _y(read))) > 1:
            shapes.append(Rect(x + 6, min(_y(exact), _y(read)), 6, far, Look(WRONG)))
        shapes.append(Rect(x - 1, _y(exact) - 1, 20, 3, Look(INK)))
        if abs(exact) > TOP:
            shapes.append(Text(x + 9, _y(exact) + (-5 if exact > 0 else 16), f"{exact:.1f}", INK, 13, "middle", True))
    return shapes


def _bytes(text: str, lie: list[list[int]], marked: int) -> list[Shape]:
    shapes: list[Shape] = [Text(20, 342, f"{len(lie)} bytes, as they lie:", SOFT, 14)]
    for i, numbers in enumerate(lie):
        x, y = 20 + 24 * (i % 32), 352 + 26 * (i // 32)
        look = Look(MARK if marked in numbers else PALE, "" if numbers else INK, 2)
        shapes += [Rect(x, y, 21, 22, look), Text(x + 10, y + 16, text[2 * i : 2 * i + 2], INK, 13, "middle")]
    return shapes

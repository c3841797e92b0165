"""The two walls as they stand still on a page where nothing moves."""

from __future__ import annotations

from typing import Any

from helpers.widgets.living.scene import Curve, Look, Rect, Scene, Shape, Text

INK, SOFT, LINE, BLUE, ORANGE, MARK = "#1b2733", "#52606d", "#c3ced8", "#0072b2", "#b84a00", "#ffe9a8"
OLD, NEW, EMPTY, GONE = Look("#eef2f5", SOFT), Look(ORANGE), Look("", LINE, 1, True), Look("#d7dfe6", SOFT, 1, True)
CELL, WRONG = Look("", LINE), Look(MARK, ORANGE, 2)
WIDTH, LEFT = 800, 96


def holes_scene(choice: dict[str, Any], frame: dict[str, Any], columns: int) -> Scene:
    """The row before and after, and both masks below it; ``frame`` is that of the choice."""
    step = (WIDTH - LEFT - 8) // columns
    row, slots, gone = choice["row"], frame["slots"], choice["gone"]
    shapes: list[Shape] = [Text(8, 44, "before", SOFT), Text(8, 124, "after", SOFT)]
    for slot, token in enumerate(row):
        shapes += _car(slot, step, 20, token, GONE if token in gone else OLD, crossed=token in gone)
    for slot, token in enumerate(slots):
        is_new = token is not None and token not in row
        if token in row and row.index(token) != slot:
            ends = (LEFT + row.index(token) * step + step // 2, 58), (LEFT + slot * step + step // 2, 98)
            shapes.append(Curve(ends, Look("", BLUE, 2)))
        shapes += _car(slot, step, 100, token, NEW if is_new else OLD)
    y = 166
    titles = "By age: right. A dot may be seen.", "By place: x is hidden by mistake, ! is seen by mistake."
    for title, mask in zip(titles, (frame["age"], frame["place"]), strict=True):
        shapes.append(Text(8, y, title, INK, bold=True))
        shapes += _mask(mask, frame["age"], slots, step, y + 10)
        y += 26 * len(mask) + 46
    habits = f"Goes wrong by place: {len(frame['wrong'])} of 5"
    told = f"{len(gone)} evicted, {choice['new']} new: {choice['way']}. Rows copied: {frame['copies']}. {habits}"
    shapes.append(Text(8, y, told, INK, bold=True))
    shapes += [Text(24, y + 22 * (i + 1), f"x  {habit}", ORANGE) for i, habit in enumerate(frame["wrong"])]
    words = f"{told}. {frame['differ']} cells of the mask by place are wrong."
    return Scene(WIDTH, y + 22 * len(frame["wrong"]) + 16, tuple(shapes), words)


def _car(slot: int, step: int, y: int, token: int | None, look: Look, crossed: bool = False) -> list[Shape]:
    x = LEFT + slot * step
    if token is None:
        return [Rect(x, y, step - 4, 36, EMPTY, 5)]
    fill = "#ffffff" if look is NEW else SOFT if crossed else INK
    strike = [Curve(((x + 6, y + 30), (x + step - 10, y + 6)), Look("", SOFT, 2))] if crossed else []
    label = Text(x + step // 2 - 2, y + 23, str(token), fill, anchor="middle", bold=look is NEW)
    return [Rect(x, y, step - 4, 36, look, 5), *strike, label]


def _mask(mask: list[list[bool]], truth: list[list[bool]], slots: list[int | None], step: int, y: int) -> list[Shape]:
    newest = sorted(token for token in slots if token is not None)[-len(mask) :]
    boxes: list[Shape] = []
    signs: list[Shape] = []
    for i, cells in enumerate(mask):
        top = y + 26 * i
        signs.append(Text(8, top + 17, f"{newest[i]} sees", SOFT))
        for slot, seen in enumerate(cells):
            x, wrong = LEFT + slot * step, seen != truth[i][slot]
            boxes.append(Rect(x, top, step - 4, 22, WRONG if wrong else CELL, 3))
            if sign := ("!" if seen else "x") if wrong else ("●" if seen else ""):
                signs.append(
                    Text(x + step // 2 - 2, top + 16, sign, INK if wrong else BLUE, anchor="middle", bold=wrong)
                )
    return sorted(boxes, key=lambda box: box.look is WRONG) + signs


def tiles_scene(data: dict[str, Any], choice: dict[str, Any]) -> Scene:
    """The grid and the tiles after the choice's steps, and what both hold."""
    count, side, top = choice["step"], 22, 40
    n, last = len(data["tokens"]), len(data["steps"])
    shapes: list[Shape] = []
    for x, title in ((8, "The grid: every weight is kept"), (404, "Tiles: one at a time, then forgotten")):
        shapes += [Text(x, 24, title, INK, bold=True)]
        shapes += [Text(x, top + side * y + 16, token.strip(), SOFT) for y, token in enumerate(data["tokens"])]
    steps = data["steps"][:count]
    for index, step in enumerate(steps):
        for i, weights in enumerate(step["weights"]):
            for j, weight in enumerate(weights):
                y, x = step["row"] + i, step["column"] + j
                if x <= y:
                    kept, is_now = data["weights"][y][x], index == count - 1
                    shapes.append(Rect(66 + side * x, top + side * y, side - 2, side - 2, Look(_shade(kept), LINE)))
                    look = Look(_shade(weight), ORANGE, 2) if is_now else Look("", LINE, 1, True)
                    shapes.append(Rect(462 + side * x, top + side * y, side - 2, side - 2, look))
    shapes += [Text(738, 24, "max, sum", SOFT, 13, "middle")]
    for y in range(n):
        if steps and (largest := steps[-1]["maximum"][y]) is not None:
            numbers = f"{largest:.1f}  {steps[-1]['total'][y]:.2f}"
            shapes.append(Text(792, top + side * y + 16, numbers, INK, 13, "end"))
    bottom = top + side * n
    shapes += [Text(x, bottom + 44, "in all", SOFT) for x in (8, 404)]
    sums, most = steps[-1]["sums"] if steps else [0] * n, max(data["steps"][-1]["sums"])
    for x, total in enumerate(sums):
        height = round(40 * total / most)
        shapes.append(Rect(66 + side * x, bottom + 48 - height, side - 2, height, Look("#00795a")))
    shapes += [Text(472 + side * x, bottom + 40, "?", INK, anchor="middle", bold=True) for x in range(n)]
    held, y = data["memory"][choice["memory"]], bottom + 84
    shapes.append(Text(8, y, f"Memory for {held['label']}", INK, bold=True))
    for label, words, share in (("grid", "grid_words", 1.0), ("tiles", "tiles_words", held["tiles"] / held["grid"])):
        y += 26
        shapes += [Text(8, y, label, SOFT), Rect(66, y - 14, max(2, round(560 * share)), 16, Look(BLUE))]
        shapes.append(Text(640, y, held[words], INK))
    words = f"{count} of {last} tiles read. The grid holds {held['grid_words']}, tiles {held['tiles_words']}."
    return Scene(WIDTH, y + 18, tuple(shapes), words)


def _shade(weight: float) -> str:
    """From white to blue by the weight's square root, so that small ones show."""
    share = round(8 * weight**0.5) / 8  # few shades, so that boxes share paths
    return "#" + "".join(f"{round(255 + share * (part - 255)):02x}" for part in (0x00, 0x72, 0xB2))

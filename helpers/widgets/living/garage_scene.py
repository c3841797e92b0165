"""The garage standing still: the same frame as shapes, for pages on which nothing moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from typing import Any

from fontTools.ttLib import TTFont
from matplotlib.font_manager import findfont

from helpers.widgets.living.scene import Curve, Look, Rect, Scene, Shape, Text

WIDTH, EDGE = 800, 16
INK, SOFT, LINE, DECK, GONE = "#1b2733", "#52606d", "#c3ced8", "#eef2f5", "#d7dfe6"
HEADS = ("#0072b2", "#00795a", "#b2518f")
WARM = "#b84a00"
FLOOR, PITCH, LEFT, RIGHT = 28, 33, 92, 90  # pixels: floors, and what stands left and right of their slots
WORD, WORDS_LINE = 14, 21
SIGNS = {"<|im_start|>": "▸", "<|im_end|>": ""}


def sentence(frame: dict[str, Any], compact: bool) -> str:
    """How much went, how much came back, and why; the same words as the picture's own (``garage_frame.js``)."""
    seen, floors, gone, tables = frame["seen"], frame["floors"], frame["rows_evicted"], frame["tables"]
    if not gone:
        held = f"{_mebibytes(frame['bytes_held'])} held."
        if len(tables) > 1:
            shared, in_all = set(tables[0]) & set(tables[1]), set(tables[0]) | set(tables[1])
            two = f"A second conversation shares {len(shared)} of them: {_floors(len(in_all))} in all, {held}"
            return f"{seen} tokens on {_floors(floors)}. {two}"
        car = f"A car weighs {frame['car_bytes']} bytes." if "car_bytes" in frame else ""
        return f"{seen} tokens on {_floors(floors)}, {held} {car or 'Nobody leaves while the model writes.'}"
    share, left = _percent(gone / frame["rows_in_all"]), len(tables[0])
    start = f"{share} of the rows evicted, {frame['floors_back']} of {_floors(floors)} given back: "
    if len(tables) > 1:
        return f"{start}what a second conversation still reads stays."
    if compact:
        return f"{start}the rows that are left slid together."
    where = "on every floor" if left == floors else f"on the {left} still open"
    return f"{start}{where} some head of some layer still has a car."


def draw_garage(tokens: Sequence[str], frame: dict[str, Any], choice: dict[str, Any]) -> Scene:
    """The words, three gauges and the floors of a frame."""
    words = list(_words(tokens[: frame["seen"]], _held(frame, choice, len(tokens)), EDGE + 18))
    top = max((shape.y for shape in words if isinstance(shape, Text)), default=EDGE) + 22
    said = _lines(sentence(frame, choice["compact"]), 16)
    after = top + 70 + 22 * len(said)
    headline = [Text(EDGE, top + 82 + 22 * i, line, INK, 16, bold=True) for i, line in enumerate(said)]
    floors = _floor_shapes(frame, choice, after)
    height = max((shape.y for shape in floors if isinstance(shape, Text)), default=after) + 16
    return Scene(WIDTH, height, (*words, *_gauges(frame, top), *headline, *floors), sentence(frame, choice["compact"]))


# --- the words --------------------------------------------------------------------------------------------------------
def _held(frame: dict[str, Any], choice: dict[str, Any], n_tokens: int) -> list[bool]:
    """Per token, whether some head has its row in the layer shown; with all layers shown, what is not gone by hand."""
    if "rows" not in frame:
        return [token not in choice["gone"] for token in range(n_tokens)]
    alive = {token for lanes in frame["rows"].values() for lane in lanes for token in lane}
    return [token in alive for token in range(n_tokens)]


def _words(tokens: Sequence[str], held: Sequence[bool], y: int) -> Iterator[Shape]:
    """Lines of words, in runs of tokens that are alike: held, or evicted and struck out."""
    line: list[tuple[str, bool]] = []
    for text, is_held in zip(tokens, held, strict=False):
        first, *rest = SIGNS.get(text, text).split("\n")
        if _width("".join(word for word, _ in line) + first, WORD) > WIDTH - 2 * EDGE:
            yield from _line(line, y)
            y, line, first = y + WORDS_LINE, [], first.lstrip()
        line += [(first, is_held)] if first else []
        if rest and line:
            yield from _line(line, y)
            y, line = y + WORDS_LINE, []
    yield from _line(line, y)


def _line(line: list[tuple[str, bool]], y: int) -> Iterator[Shape]:
    before = ""
    for is_held, run in groupby(line, key=lambda word: word[1]):
        words = "".join(text for text, _ in run)
        before += words
        if not words.strip():
            continue
        end = round(EDGE + _width(before.rstrip(), WORD))
        start = round(end - _width(words.strip(), WORD))
        yield Text(start, y, words.strip(), INK if is_held else SOFT, WORD)
        if not is_held:
            yield Curve(((start, y - 5), (end, y - 5)), Look(stroke=SOFT))


def _lines(words: str, size: int) -> list[str]:
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if _width(longer, size) < 0.9 * (WIDTH - 2 * EDGE) else [*lines, word]
    return lines


@cache
def _advances() -> tuple[dict[int, int], int]:
    """Of the PNG's font, which matplotlib brings, each sign's width, and how many of these units make its size.

    They are read from the font's own tables: what a renderer says of them differs by a pixel from release to release.
    """
    font = TTFont(findfont("DejaVu Sans"))
    widths = font["hmtx"]
    return {sign: widths[name][0] for sign, name in font.getBestCmap().items()}, font["head"].unitsPerEm


def _width(text: str, size: int) -> float:
    """Pixels in the PNG; a viewer of the SVG has a narrower font, as a rule."""
    advances, units = _advances()
    return sum(advances.get(ord(sign), units) for sign in text) * size / units


# --- the gauges -------------------------------------------------------------------------------------------------------
def _gauges(frame: dict[str, Any], y: int) -> Iterator[Shape]:
    full = frame.get("full_bytes") or frame["bytes_held"] + frame["bytes_back"] or 1
    share, back = frame["rows_evicted"] / (frame["rows_in_all"] or 1), frame["floors_back"] / (frame["floors"] or 1)
    alive, in_use = f"memory held, {_mebibytes(frame['bytes_alive'])} of it in use", frame["bytes_alive"] / full
    dials = (
        ("rows evicted", _percent(share), share, WARM),
        ("floors given back", f"{frame['floors_back']} of {frame['floors']}", back, HEADS[1]),
        (alive, _mebibytes(frame["bytes_held"]), frame["bytes_held"] / full, _paler(HEADS[0], 0.4)),
    )
    for i, (name, words, part, colour) in enumerate(dials):
        x, wide = EDGE + 250 * i, 226
        yield Text(x, y + 10, name, SOFT, 13)
        yield Text(x, y + 38, words, INK, 26, bold=True)
        yield Rect(x, y + 46, wide, 8, Look(GONE))
        if part:
            yield Rect(x, y + 46, max(1, round(wide * part)), 8, Look(colour))
    if in_use:
        yield Rect(EDGE + 500, y + 46, max(1, round(226 * in_use)), 8, Look(HEADS[0]))


# --- the floors -------------------------------------------------------------------------------------------------------
def _floor_shapes(frame: dict[str, Any], choice: dict[str, Any], y: int) -> list[Shape]:
    """The building, the ground floor last; floors that were never taken are left out."""
    held = sorted({block for table in frame["tables"] for block in table})
    shut = [block for block in range(frame["floors"]) if block not in held]
    blocks = sorted({*held, *shut}, reverse=True)
    where = "all layers" if frame["layer"] == "all" else f"layer {frame['layer']}"
    heading = [Text(EDGE, y + 12, "block, plate", SOFT, 13), Text(WIDTH - EDGE, y + 12, "held by", SOFT, 13, "end")]
    lanes = f"{where}: a lane for each KV head, 0 (top) to {len(HEADS) - 1}"
    shapes: list[Shape] = [*heading, Text(WIDTH // 2, y + 12, lanes, SOFT, 13, "middle")]
    for i, block in enumerate(blocks):
        shapes += _floor(frame, block, y + 20 + i * PITCH, block in held)
    end = y + 20 + PITCH * len(blocks) + 14
    names = ("block table",) if len(frame["tables"]) == 1 else ("table of A", "table of B")
    lists = [*zip(names, frame["tables"], strict=True), ("free list", frame["free"])]
    rows = [f"{name}: {' '.join(map(str, blocks)) or 'empty'}" for name, blocks in lists]
    return [*shapes, *(Text(EDGE, end + 20 * i, row, INK, 13) for i, row in enumerate(rows))]


def _floor(frame: dict[str, Any], block: int, y: int, is_held: bool) -> Iterator[Shape]:
    inner, base = WIDTH - LEFT - RIGHT, y + FLOOR
    yield Text(EDGE, y + 19, str(block), INK, 14)
    if not is_held:
        yield Rect(LEFT, y, inner, FLOOR, Look("", HEADS[1], 1, dashed=True))
        yield Text(LEFT + inner // 2, y + 19, "given back", HEADS[1], 14, "middle", bold=True)
        return
    places = [(i, table.index(block)) for i, table in enumerate(frame["tables"]) if block in table]
    plates = [f"{'AB'[i] if len(frame['tables']) > 1 else ''}{place}" for i, place in places]
    for i, plate in enumerate(plates):
        yield Rect(EDGE + 22 + 27 * i, y + 5, 25, 18, Look("#ffffff", INK))
        yield Text(EDGE + 34 + 27 * i, y + 19, plate, INK, 12, "middle")
    holding = frame["layers_holding"][str(block)]
    yield Rect(LEFT, y, inner, FLOOR, Look(DECK))
    yield Curve(((LEFT, base), (LEFT + inner, base)), Look("", SOFT, 2))
    yield Text(WIDTH - EDGE, y + 19, f"{holding} {'layer' if holding == 1 else 'layers'}", SOFT, 13, "end")
    yield from (_cars if "rows" in frame else _aisles)(frame, block, y)
    if "rows" in frame and not any(token >= 0 for lane in frame["rows"][str(block)] for token in lane):
        note = f"empty in layer {frame['layer']}, held by {holding} {'other' if holding == 1 else 'others'}"
        yield Text(LEFT + inner // 2, y + 19, note, INK, 14, "middle", bold=True)


def _cars(frame: dict[str, Any], block: int, y: int) -> Iterator[Shape]:
    lanes = frame["rows"][str(block)]
    slot, lane = (WIDTH - LEFT - RIGHT) / len(lanes[0]), FLOOR / len(lanes)
    for head, row in enumerate(lanes):
        for alive, look in ((True, Look(HEADS[head % 3])), (False, Look(LINE))):
            for i, token in enumerate(row):
                x, top = round(LEFT + i * slot + 4), round(y + head * lane + 2)
                if alive and token >= 0:
                    yield Rect(x, top, round((slot - 8) * frame.get("car_share", 1)), round(lane) - 3, look)
                elif not alive and token == -1:
                    yield Rect(x + 10, top + 3, round(slot) - 28, 1, look)


def _aisles(frame: dict[str, Any], block: int, y: int) -> Iterator[Shape]:
    """A column for each aisle in each slot, paler the fewer of its layers have the row: in five steps."""
    aisles = frame["alive"][str(block)]
    slot, lane = (WIDTH - LEFT - RIGHT) / len(aisles[0][0]), FLOOR / len(aisles[0])
    wide, boxes = (slot - 6) / len(aisles), []
    for aisle, lanes in enumerate(aisles):
        for head, row in enumerate(lanes):
            for i, share in enumerate(row):
                if share > 0:
                    x, top = round(LEFT + i * slot + 3 + aisle * wide), round(y + head * lane + 2)
                    colour = _paler(HEADS[head % 3], 0.2 + 0.8 * round(5 * share + 0.4) / 5)
                    boxes.append(Rect(x, top, max(1, int(wide) - 1), round(lane) - 3, Look(colour)))
    yield from sorted(boxes, key=lambda box: box.look.fill)


def _paler(colour: str, share: float) -> str:
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    paper = (int(DECK[i : i + 2], 16) for i in (1, 3, 5))
    mixed = (round(back + min(1, share) * (ink - back)) for ink, back in zip(parts, paper, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


# --- words for figures ------------------------------------------------------------------------------------------------
def _floors(count: int) -> str:
    return f"{count} {'floor' if count == 1 else 'floors'}"


def _percent(share: float) -> str:
    whole = int(100 * share + 0.5)
    return "under 1%" if share > 0 and not whole else "over 99%" if share < 1 and whole == 100 else f"{whole}%"


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:.2f} MiB"

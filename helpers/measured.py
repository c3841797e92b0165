"""What larger runs measured, read back: the thought that is watched to its death, and the price of the two walls.

The files hold the last run of their command, on whatever machine it ran; who shows them says on which. No torch is
needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from helpers.arithmetic.footprint import KVShape, format_bytes, max_tokens

DATA = Path(__file__).parent / "data"
CARD_LIMIT = DATA / "card_limit.json"  # written by ``python -m helpers.card_limit``
WALLS = DATA / "walls.json"  # written by ``python -m helpers.walls_bench``
GROWING, BLOCKS, EVICTING = "full attention, a cache that grows", "full attention, blocks", "TriAttention, blocks"


@dataclass(frozen=True)
class Measured:
    """How figures were made: ``facts`` holds the command that repeats them, the date and the machine."""

    facts: dict[str, Any]

    @property
    def on_gpu(self) -> bool:
        """True where a GPU was measured."""
        return self.facts["machine"]["device"] == "cuda"

    @property
    def made_on(self) -> str:
        """Machine, version and date, for a caption."""
        machine = self.facts["machine"]
        device = machine["gpu"]
        if not self.on_gpu:
            device = f"{machine['cpu']}, {machine['threads']} thread{'s' * (machine['threads'] != 1)}"
        return f"{device}, torch {machine['torch']}, {self.facts['date']}"


# --- Watch it die ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Run:
    """One of the runs under the cap.

    Attributes:
        name: what kept the rows.
        error: what was said when memory was out; None if the thought was completed.
        tokens: seen when it ended.
        bytes_held: the most K and V that it held.
        blocks_freed: blocks that eviction gave back.
        curve: tokens seen and bytes of K and V held, pass by pass.
    """

    name: str
    error: str | None
    tokens: int
    bytes_held: int
    blocks_freed: int
    curve: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class CardLimit(Measured):
    """The runs under one cap, by name."""

    runs: dict[str, Run]

    @property
    def plan(self) -> dict[str, Any]:
        """What was watched: ``cap`` and ``weights`` in bytes, ``tokens``, ``budget``, ``interval``, ``stride``, ..."""
        return self.facts["plan"]

    @property
    def room(self) -> int:
        """Bytes that the cap leaves beside the weights."""
        return self.plan["cap"] - self.plan["weights"]

    @property
    def shape(self) -> KVShape:
        """The shape of the cache."""
        return KVShape.from_config(self.plan["config"])

    @property
    def predicted(self) -> int:
        """Tokens that fit, as lesson 01 works them out: nothing but weights and rows needs memory."""
        return int(max_tokens(self.room, self.shape))

    @property
    def limited(self) -> str:
        """Who had only so much memory, in words."""
        return "PyTorch's share of the GPU" if self.on_gpu else "the address space of the process"


def read_card_limit(report: dict[str, Any]) -> CardLimit:
    """The runs of a report of ``helpers.card_limit``."""
    facts = {name: value for name, value in report.items() if name != "lines"}
    return CardLimit(facts, {line["name"]: _run(line) for line in report["lines"]})


@cache
def load_card_limit(path: Path = CARD_LIMIT) -> CardLimit:
    """The recorded runs."""
    return read_card_limit(json.loads(path.read_text(encoding="utf-8")))


def _run(line: dict[str, Any]) -> Run:
    curve = tuple((seen, held) for seen, held in line["curve"])
    return Run(line["name"], line["error"], line["tokens"], line["bytes_held"], line["blocks_freed"], curve)


# --- The two walls ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Way:
    """One way to attend, at one length.

    Attributes:
        seconds: median of one layer's call; None where memory ran out.
        largest: bytes of the largest tensor made on the way; None likewise.
        error: what was said when memory was out.
    """

    seconds: float | None
    largest: int | None
    error: str | None

    def __str__(self) -> str:
        return "out of memory" if self.error else f"{1e3 * self.seconds:,.1f} ms, {format_bytes(self.largest)}"


@dataclass(frozen=True)
class Price:
    """One layer's attention over so many tokens, both ways.

    Attributes:
        length: rows of K and V.
        grid_bytes: bytes of the grid, by arithmetic.
        with_grid, without: what each way took.
    """

    length: int
    grid_bytes: int
    with_grid: Way
    without: Way

    @property
    def ratios(self) -> tuple[float, float] | None:
        """How many times the seconds and the bytes the grid takes; None where a way ran out of memory."""
        if self.with_grid.error or self.without.error:
            return None
        return self.with_grid.seconds / self.without.seconds, self.with_grid.largest / self.without.largest


@dataclass(frozen=True)
class Walls(Measured):
    """Wall 2 on one layer: ``prompt`` with a query per row, ``decoded`` with a single one; shortest first."""

    prompt: list[Price]
    decoded: list[Price]


@cache
def load_walls(path: Path = WALLS) -> Walls:
    """The recorded prices."""
    report = json.loads(path.read_text(encoding="utf-8"))
    prompt, decoded = (_prices(report.pop(part)) for part in ("prompt", "decoded token"))
    return Walls(report, prompt, decoded)


def _prices(lines: list[dict[str, Any]]) -> list[Price]:
    grids = {line["length"]: line["grid_bytes"] for line in lines}
    ways = {(line["length"], line["way"]): Way(line["seconds"], line["largest"], line["error"]) for line in lines}
    return [
        Price(length, grid_bytes, ways[length, "with the grid"], ways[length, "without"])
        for length, grid_bytes in grids.items()
    ]

"""The price of the grid of attention weights on a published layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from helpers.arithmetic.footprint import format_bytes
from helpers.records.measured import Measured, read


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


def read_walls(report: dict[str, Any]) -> Walls:
    """The prices of a report of ``helpers.experiments.walls``."""
    parts = ("prompt", "decoded token")
    facts = {name: value for name, value in report.items() if name not in parts}
    return Walls(facts, *(_prices(report[part]) for part in parts))


@cache
def load_walls() -> Walls:
    """The recorded prices."""
    return read_walls(read("walls"))


def _prices(lines: list[dict[str, Any]]) -> list[Price]:
    grids = {line["length"]: line["grid_bytes"] for line in lines}
    ways = {(line["length"], line["way"]): Way(line["seconds"], line["largest"], line["error"]) for line in lines}
    return [
        Price(length, grid_bytes, ways[length, "with the grid"], ways[length, "without"])
        for length, grid_bytes in grids.items()
    ]

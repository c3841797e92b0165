"""How quick the memory system is, against its goals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class Row:
    """One line of a table of goals: what was compared, the figure, and the goal where there is one."""

    what: str
    figure: str
    goal: str = ""
    reached: bool | None = None


@dataclass(frozen=True)
class MemorySpeed(Measured):
    """The table, line by line."""

    rows: tuple[Row, ...]


@cache
def load_memory_speed() -> MemorySpeed:
    """The saved table."""
    facts = read("memory_speed")
    return MemorySpeed(facts, tuple(Row(**row) for row in facts.pop("rows")))

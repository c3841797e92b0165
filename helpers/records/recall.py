"""Look-ups by what the head that looks up had left: was the value still there, did it come out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class Lookups:
    """Look-ups of one cell of the recall data: did the head that looks up have a copy of the value, did it come out.

    Attributes:
        sheets_right: worksheets right from the first token to the last.
        with_copy, right_with_copy: look-ups with a copy left, and how many of them gave the right value.
        without_copy, right_without_copy: the others.
        values_among_kept: share of values among the rows that the head had left at the end.
    """

    sheets_right: int
    with_copy: int
    right_with_copy: int
    without_copy: int
    right_without_copy: int
    values_among_kept: float

    @property
    def recall(self) -> float:
        """Share of look-ups with a copy left."""
        return self.with_copy / (self.with_copy + self.without_copy)

    @property
    def right(self) -> float:
        """Share of look-ups that gave the right value."""
        return (self.right_with_copy + self.right_without_copy) / (self.with_copy + self.without_copy)


@dataclass(frozen=True)
class Recall(Measured):
    """The saved recall data: its cells by policy, share and selection mode."""

    cells: dict[tuple[str, float, str], Lookups]


@cache
def load_recall() -> Recall:
    """The saved recall data."""
    facts = read("recall")
    cells = {}
    for cell in facts.pop("cells"):
        key = cell.pop("policy"), cell.pop("share"), cell.pop("selection")
        cells[key] = Lookups(without_copy=facts["lookups"] - cell["with_copy"], **cell)
    return Recall(facts, cells)

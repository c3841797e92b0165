"""The room's leaderboard: one line of JSON per entry, in a folder that the teacher names, or in memory without one.

Entries are only ever added, each by a single write at the end of the file, so that thirty people can enter at once. The
file is read line by line, and a line that is no entry is passed over.
"""

from __future__ import annotations

import json
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from wcwidth import wcswidth

if TYPE_CHECKING:
    from helpers.experiments.contest import Verdict

ENVIRONMENT_VARIABLE = "COURSE_LEADERBOARD"
FILE = "leaderboard.jsonl"
NEWLINE = "\n"
LONGEST_NAME = 30
HEADS = ("rank", "name", "right", "blocks", "kept", "mode", "tries")


@dataclass(frozen=True)
class Row:
    """One entry.

    Attributes:
        name: who entered, or which of the course's policies.
        answers, sheets: worksheets right, of how many.
        blocks: blocks freed per worksheet.
        budget: rows of the thought that were kept.
        selection: the mode in which heads chose.
        seed: of the worksheets, so that everybody can judge the entry again. It is no secret.
    """

    name: str
    answers: int
    sheets: int
    blocks: float
    budget: int
    selection: str
    seed: int

    @classmethod
    def of(cls, name: str, verdict: Verdict) -> Row:
        """The row of a verdict.

        Raises:
            ValueError: if the name is empty or too long.
        """
        counts = verdict.answers, len(verdict.right), float(verdict.blocks_freed)
        return cls(clean(name), *counts, verdict.budget, verdict.selection, verdict.seed)


@dataclass(frozen=True)
class Standing:
    """A row in its place: its rank, how often its name was entered, and whether it is one of the course's policies."""

    rank: int
    row: Row
    tries: int
    of_course: bool = False


class Leaderboard:
    """Entries of a room.

    Args:
        folder: where the file lies; None keeps the entries in memory, for this notebook alone.

    Raises:
        ValueError: if there is no such folder.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder, self._own = None if folder is None else Path(folder), []
        if self.folder is not None and not self.folder.is_dir():
            raise ValueError(f"{ENVIRONMENT_VARIABLE} is {str(folder)!r}, which is no folder")

    @classmethod
    def of_room(cls) -> Leaderboard:
        """The leaderboard in the folder that ``COURSE_LEADERBOARD`` names; in memory without one."""
        return cls(os.environ.get(ENVIRONMENT_VARIABLE) or None)

    def append(self, name: str, verdict: Verdict) -> Row:
        """Enter a verdict under a name.

        Raises:
            ValueError: if the name is empty or too long.
            OSError: if the file cannot be written.
        """
        row = Row.of(name, verdict)
        if self.folder is None:
            self._own.append(row)
        else:
            _append_line(self.folder / FILE, json.dumps(asdict(row)))
        return row

    def rows(self) -> list[Row]:
        """All entries, in the order in which they came."""
        if self.folder is None:
            return list(self._own)
        path = self.folder / FILE
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
        return [row for line in lines if (row := _parse(line))]


def rank(entries: Sequence[Row], course: Sequence[Row] = ()) -> list[Standing]:
    """The latest entry of each name and the course's policies, best first: by answers, then by blocks.

    Rows with the same answers and blocks share a rank. Entries judged on other worksheets than the course's policies
    (or, without these, than the last entry) are left out: they cannot be compared.
    """
    newest = [(row.seed, row.sheets) for row in (*entries, *course)][-1:]
    comparable = [row for row in entries if (row.seed, row.sheets) in newest]
    latest = {row.name: row for row in comparable}
    tries = Counter(row.name for row in comparable)
    both = [(row, tries[row.name], False) for row in latest.values()] + [(row, 1, True) for row in course]
    places = sorted(_place(row) for row, *_ in both)
    found = [Standing(1 + places.index(_place(row)), row, *rest) for row, *rest in both]
    return sorted(found, key=lambda standing: (standing.rank, standing.of_course))  # stable: first come, first named


def table(standings: Sequence[Standing], bound: Row | None = None) -> str:
    """The standings as text; ``bound`` stands apart, below: what a policy could reach that knew the answers."""
    lines = [_cells(str(s.rank), s.row, "course" if s.of_course else str(s.tries)) for s in standings]
    last = [_cells("", bound, "bound")] if bound else []
    widths = [max(wcswidth(line[i]) for line in (HEADS, *lines, *last)) for i in range(len(HEADS))]
    rule = "  ".join("-" * width for width in widths)
    shown = [_line(HEADS, widths), rule, *(_line(line, widths) for line in lines)]
    return "\n".join(shown + ([rule, _line(last[0], widths)] if bound else []))


def clean(name: str) -> str:
    """A name for one line of a table: no line breaks, nothing invisible, single spaces.

    Raises:
        ValueError: if nothing is left of it, or it is too long.
    """
    visible = "".join(sign if sign.isprintable() else " " for sign in unicodedata.normalize("NFC", str(name)))
    found = " ".join(visible.split())
    if not found:
        raise ValueError(f"name is {name!r}; it must have a letter, a digit or another sign that can be seen")
    if len(found) > LONGEST_NAME:
        raise ValueError(f"name has {len(found)} signs; it may have {LONGEST_NAME}")
    return found


def _append_line(path: Path, line: str) -> None:
    """One write of one line at the end of the file: whole lines then never mix, whoever else is writing."""
    # Linux lets nobody open somebody else's file with O_CREAT in a shared (sticky) folder, so it is made apart.
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        path.chmod(0o666)  # whatever the umask says: the next one to enter is another user
    except FileExistsError:
        pass
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, f"{'' if _ends_whole(path) else NEWLINE}{line}{NEWLINE}".encode())
    finally:
        os.close(descriptor)


def _ends_whole(path: Path) -> bool:
    """Whether the file's last line is ended; one that was cut short, or mended by hand, may not be."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        return file.read() in (b"", b"\n")


def _parse(line: str) -> Row | None:
    """The entry in a line; None if it is none."""
    try:
        found = json.loads(line)
        row = Row(**{field.name: found[field.name] for field in fields(Row)})
        counts = (row.answers, row.sheets, row.budget, row.seed)
        is_sound = all(type(count) is int for count in counts) and 0 <= row.answers <= row.sheets
        is_sound &= math.isfinite(row.blocks) and row.selection == clean(row.selection)
        return row if is_sound and row.name == clean(row.name) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _place(row: Row) -> tuple[int, float]:
    return -row.answers, -row.blocks


def _cells(place: str, row: Row, tries: str) -> tuple[str, ...]:
    right = f"{row.answers} of {row.sheets}"
    return place, row.name, right, f"{row.blocks:.1f}", str(row.budget), row.selection, tries


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell + " " * (width - wcswidth(cell)) for cell, width in zip(cells, widths, strict=True)).rstrip()

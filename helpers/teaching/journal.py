"""The journal: every guess that a reader makes, kept in one local file with what was then measured.

The file lies beside the reader's notebooks. It is written whole and then put in its place, under a lock, so that two
notebooks that are open at once lose nothing. What goes wrong with it never stops a lesson: it becomes one line,
``Journal.notice``.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from itertools import count
from pathlib import Path

from filelock import FileLock
from IPython import get_ipython

FILE = "my_predictions.json"
PATIENCE = 10.0  # seconds to wait for another notebook, which takes milliseconds


@dataclass(frozen=True)
class Guess:
    """One guess.

    Attributes:
        lesson: the name of its notebook, such as ``06_paged_blocks``; empty where the kernel was not told.
        question, unit: what was asked, and the unit of guess and result.
        guess: the number that the reader typed.
        when: date and time of the guess, with the offset from UTC.
        result: what the lesson then found; None as long as it has not.
        after: whether the result stood on the page already.
    """

    lesson: str
    question: str
    unit: str
    guess: float
    when: str
    result: float | None = None
    after: bool = False

    @classmethod
    def now(cls, question: str, unit: str, guess: float) -> Guess:
        """A guess made in this notebook at this moment."""
        return cls(lesson_name(), question, unit, guess, datetime.now().astimezone().isoformat(timespec="seconds"))


class Journal:
    """The guesses in one file. No method raises for what is wrong with the file.

    Args:
        path: the file; without one, that beside this kernel's notebook.

    Attributes:
        notice: one line on what went wrong with the file, for the reader; empty as long as nothing did.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path, self.notice = path or journal_path(), ""

    def keep(self, guess: Guess) -> None:
        """Add a guess."""
        self._change(lambda guesses: [*guesses, guess])

    def settle(self, lesson: str, question: str, result: float) -> None:
        """Write the result beside the guesses at a question that have none yet."""
        if not math.isfinite(result) or not self.path.exists():
            return
        found = float(result)

        def settled(one: Guess) -> Guess:
            is_open = (one.lesson, one.question, one.result) == (lesson, question, None)
            return replace(one, result=found) if is_open else one

        self._change(lambda guesses: [settled(one) for one in guesses])

    def guesses(self) -> list[Guess]:
        """All guesses, in the order in which they were made."""
        return self._change(lambda guesses: guesses) if self.path.exists() else []

    def _change(self, change: Callable[[list[Guess]], list[Guess]]) -> list[Guess]:
        try:
            with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=PATIENCE):
                before = self._read()
                after = change(before)
                if after != before:
                    _write(self.path, after)
                return after
        except OSError as error:  # also filelock's own, when another notebook does not let go
            self.notice = f"{self.path.name} could not be read or written: {error.strerror or error}."
            return []

    def _read(self) -> list[Guess]:
        try:
            return _parse(self.path.read_bytes()) if self.path.exists() else []
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            aside = _set_aside(self.path)
            self.notice = f"{self.path.name} was damaged: it is kept as {aside.name}, and a new journal begins."
            return []


def journal_path() -> Path:
    """Where the journal lies: in the folder that holds ``notebooks``, so that lessons and labs share it.

    A notebook that lies in no such folder has its journal beside it.
    """
    notebook = notebook_path()
    folder = notebook.parent if notebook else Path.cwd()
    nearest = [folder, *folder.parents[:2]]  # labs/masters lies two below
    return next((top for top in nearest if any(top.glob("notebooks/[0-9][0-9]_*.ipynb"))), folder) / FILE


def notebook_path() -> Path | None:
    """The notebook that this kernel runs, as Jupyter or VS Code tells it; None where neither does."""
    shell = get_ipython()
    by_jupyter, by_vs_code = os.environ.get("JPY_SESSION_NAME"), shell and shell.user_ns.get("__vsc_ipynb_file__")
    paths = [Path(name) for name in (by_jupyter, by_vs_code) if name]
    return next((path for path in paths if path.is_file()), None)


def lesson_name() -> str:
    """The name of this kernel's notebook without what a copy of it has at the end; empty where there is none."""
    notebook = notebook_path()
    return re.match(r"\w*", notebook.stem)[0] if notebook else ""


def predictions(guesses: Iterable[Guess]) -> list[Guess]:
    """The guesses that count: the first at each question, if it was made before the result, once there is one."""
    first: dict[tuple[str, str], Guess] = {}
    for one in guesses:
        first.setdefault((one.lesson, one.question), one)
    return [one for one in first.values() if not one.after and one.result is not None]


def _parse(data: bytes) -> list[Guess]:
    """The guesses in a file; what it raises is caught where it is called: the file is then no journal."""
    names = [field.name for field in fields(Guess)]
    guesses = [Guess(**{name: entry[name] for name in names}) for entry in json.loads(data)["guesses"]]
    for one in guesses:
        are_texts = all(isinstance(text, str) for text in (one.lesson, one.question, one.unit, one.when))
        numbers = [one.guess, *([] if one.result is None else [one.result])]
        are_numbers = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        if not (are_texts and are_numbers and isinstance(one.after, bool)):
            raise ValueError(f"no guess: {one}")
    return guesses


def _write(path: Path, guesses: list[Guess]) -> None:
    """Write all of it beside the file, then put it in the file's place: a reader finds the old one or the new one."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    with unfinished.open("w", encoding="utf-8", newline="\n") as file:
        json.dump({"guesses": [asdict(one) for one in guesses]}, file, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _set_aside(path: Path) -> Path:
    names = (f"{path.stem}-damaged{f'-{n}' if n > 1 else ''}{path.suffix}" for n in count(1))
    aside = next(free for name in names if not (free := path.with_name(name)).exists())
    return path.rename(aside)

"""The map of the course: each lesson's title, verbs and minutes, as its own opening says them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_NAME = re.compile(r"(\d\d)_\w+\.ipynb")  # JupyterLab's copies have a hyphen in their names, and are left out
HEADING = re.compile(r"^##? ", re.MULTILINE)
GOAL = re.compile(r"^- \*\*(.+?)\*\*", re.MULTILINE)


@dataclass(frozen=True)
class Lesson:
    """What a lesson says of itself.

    Attributes:
        file: the name of its notebook.
        number: two digits, with which that name begins.
        title, subject: its heading, before the colon and behind it.
        verbs: what a reader can do afterwards.
        minutes: how many it takes; "?" if it does not say, for readers write in their lessons.
    """

    file: str
    number: str
    title: str
    subject: str
    verbs: tuple[str, ...]
    minutes: str

    @classmethod
    def read(cls, path: Path) -> Lesson:
        """The lesson in a notebook."""
        opening = read_opening(json.loads(path.read_text(encoding="utf-8"))["cells"])
        heading = _find(r"^# (.+)", opening, path.stem)
        title, _, subject = heading.partition(": ")
        verbs = tuple(verb.lower() for verb in GOAL.findall(opening))
        return cls(path.name, path.name[:2], title, subject, verbs, _find(r"(\d+) minutes", opening, "?"))


def read_opening(cells: Sequence[Mapping[str, Any]]) -> str:
    """What a lesson says in Markdown before its second heading; a picture may stand between title and promise."""
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    second = HEADING.search(text, 1)  # the title stands at 0
    return text[: second.start()] if second else text


def lessons(folder: str | Path) -> list[Lesson]:
    """The lessons in a folder, in their order."""
    return [Lesson.read(path) for path in sorted(Path(folder).iterdir()) if FILE_NAME.fullmatch(path.name)]


def course_map(folder: str | Path) -> str:
    """The lessons in a folder as a table in Markdown, with links for a page that lies there too."""
    rows = [
        f"| [**{one.number} {one.title}**]({one.file}) | {one.subject} | {', '.join(one.verbs)} | {one.minutes} |"
        for one in lessons(folder)
    ]
    if not rows:
        return "The lessons do not lie beside this page: open it in the course's folder `notebooks`."
    return "\n".join(["| lesson | what it is about | afterwards you can | minutes |", "|---|---|---|---|", *rows])


def _find(pattern: str, text: str, otherwise: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1) if found else otherwise

"""``python -m helpers.records``: every saved measurement, how it was made, and which lessons and labs show it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from helpers.records import RECORDS
from helpers.records.measured import FOLDER

ROOT = FOLDER.parents[1]


def describe(name: str) -> str:
    """A record in four lines: what it is, who shows it, on what it was made, and the command that repeats it."""
    load = RECORDS[name]
    found, reader = load(), sys.modules[load.__module__]
    shown = ", ".join(shown_in(load.__name__)) or "no lesson"
    return f"{name}: {reader.__doc__}\n    shown in {shown}\n    {found.made_on}\n    {found.facts['command']}"


def shown_in(loader: str, root: Path = ROOT) -> list[str]:
    """The lessons and labs that call a loader, or import a helper that does, as ``lesson 09``."""
    asks = re.compile("|".join([rf"\b{loader}\b", *_imports_of_callers(loader, root)]))
    return [name for name, code in _notebooks(root) if asks.search(code)]


def _imports_of_callers(loader: str, root: Path) -> Iterator[str]:
    """What an import of each helper that calls a loader looks like, as a regular expression."""
    for path in (root / "helpers").rglob("*.py"):
        if path.parent.name != "records" and re.search(rf"\b{loader}\b", path.read_text(encoding="utf-8")):
            room = ".".join(path.parent.relative_to(root).parts)
            yield rf"from {room}(\.{path.stem} import| import .*\b{path.stem}\b)"


def _notebooks(root: Path) -> Iterator[tuple[str, str]]:
    """Name and code of every lesson and lab."""
    for path in [*sorted(root.glob("notebooks/*.ipynb")), *sorted(root.glob("labs/masters/*.ipynb"))]:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        kind = "lesson" if path.parent.name == "notebooks" else "lab"
        yield f"{kind} {re.search(r'[0-9]+', path.stem)[0]}", code


if __name__ == "__main__":
    print(*map(describe, RECORDS), sep="\n\n")

"""Reading notebooks: where the lessons are, their cells, tags and outputs. Cells are counted from 0, as nbval does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

Cell = Mapping[str, Any]
Notebook = Mapping[str, Any]

REPO = Path(__file__).resolve().parents[2]
NOTEBOOKS = REPO / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
COLOUR_CODE = re.compile(r"\x1b\[[0-9;]*m")


def lesson_text(number: str) -> str:
    """The file of the lesson with a number such as "07", as text."""
    [path] = NOTEBOOKS.glob(f"{number}_*.ipynb")
    return path.read_text(encoding="utf-8")


def read(path: Path) -> NotebookNode:
    """Reads a notebook; a cell without an id of its own gets one that is the same on each reading."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    _give_ids(raw)
    return nbformat.reads(json.dumps(raw), as_version=4)


def _give_ids(raw: dict[str, Any]) -> None:
    # nbformat would invent random ids, new ones at each reading.
    raw["nbformat_minor"] = max(raw["nbformat_minor"], 5)
    taken = {cell.get("id") for cell in raw["cells"]}
    seen = {None}
    for index, cell in enumerate(raw["cells"]):
        if cell.get("id") in seen:
            cell["id"] = next(name for n in count(index) if (name := f"cell-{n}") not in taken | seen)
        seen.add(cell["id"])


def source(cell: Cell) -> str:
    """The text of a cell, whether the file held it as one string or as a list of lines."""
    return "".join(cell["source"])


def tags(cell: Cell) -> list[str]:
    """The tags of a cell, or an empty list."""
    return list(cell.get("metadata", {}).get("tags", []))


def where(notebook: Notebook, index: int) -> str:
    """The name of a cell in messages: its index and its first six words."""
    return f'cell {index} ("{" ".join(source(notebook["cells"][index]).split()[:6])}")'


def cells(notebook: Notebook, kind: str) -> Iterator[tuple[str, Cell]]:
    """Yields the name and the cell for each cell of one kind ("code" or "markdown") that is not empty."""
    for index, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == kind and source(cell).strip():
            yield where(notebook, index), cell


def outputs(notebook: Notebook) -> Iterator[tuple[str, Cell, Mapping[str, Any]]]:
    """Yields the cell's name, the cell and the output for each output."""
    for name, cell in cells(notebook, "code"):
        for output in cell.get("outputs", []):
            yield name, cell, output


def output_text(output: Mapping[str, Any]) -> str:
    """All that an output says in words, without terminal colours; a picture's bytes say nothing."""
    parts = [output.get("text", ""), output.get("evalue", ""), "\n".join(output.get("traceback", []))]
    parts += [
        value for kind, value in output.get("data", {}).items() if kind == "image/svg+xml" or "image/" not in kind
    ]
    return COLOUR_CODE.sub("", "\n".join(flat(part) for part in parts if part))


def flat(value: Any) -> str:
    """Text that a notebook keeps as a string or as lines; anything else as JSON."""
    if isinstance(value, str):
        return value
    lines = isinstance(value, list) and all(isinstance(line, str) for line in value)
    return "".join(value) if lines else json.dumps(value)

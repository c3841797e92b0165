"""A saved notebook as a page of the site: folded checks, living pictures where stills stand, links that lead on.

Nothing is executed. What a page adds to a notebook it adds by data attributes, which ``static/*.js`` bring to life;
with no JavaScript the page shows what the notebook shows.
"""

from __future__ import annotations

import json
import os
import re
from html import escape
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
from address import REPO, published
from nbformat import NotebookNode

from helpers.widgets.living import PICTURES
from helpers.widgets.living.picture import NOTE

LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
HEADING = re.compile(r"\A# .+\n")
INSTALL = "Run-it-yourself"  # the heading over the front page's commands
TOP = {
    "notebooks": "All cells here have run already. Pictures turn, and guesses are kept in this browser; to run a cell "
    f"yourself, [install the course](../index.md#{INSTALL}).",
    "labs": "Here one reads. To write into a lab's cells and have them checked, "
    f"[install the course](../index.md#{INSTALL}).",
}
CONTROL = re.compile(r"^\w+_control\(", re.MULTILINE)
QUIZ = re.compile(r"^\w+_quiz\(", re.MULTILINE)
STANDS = {
    CONTROL: f"On this page it stands still. [In the notebook](../index.html#{INSTALL.lower()}) its controls turn.",
    QUIZ: f"On this page nothing grades the answers. [In the notebook](../index.html#{INSTALL.lower()}) a button does.",
}
NAMES = {getattr(make, "__name__", name): name for name, make in PICTURES.items()}


def page(path: Path, known: set[Path]) -> str:
    """The page of a notebook, as JSON; ``known`` are the project's files that are pages too."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = lead_on(cell.source, path, known)
        elif cell.cell_type == "code":
            fold(cell)
            cell.outputs = enliven(cell.get("outputs", [])) + stands_still(cell)
    said = f"\n*{TOP[path.parent.name]}*\n"
    notebook.cells[0].source = HEADING.sub(lambda title: title[0] + said, notebook.cells[0].source, count=1)
    return nbformat.writes(notebook)


def text_page(path: Path, known: set[Path]) -> str:
    """The page of a Markdown file."""
    return lead_on(path.read_text("utf-8"), path, known)


def lead_on(markdown: str, path: Path, known: set[Path]) -> str:
    """Links to files that are no pages lead into the repository; the others stay as they are."""
    return LINK.sub(lambda found: _target(found[1], path, known), markdown)


def _target(link: str, path: Path, known: set[Path]) -> str:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or not parts.path:
        return link
    file = Path(os.path.normpath(path.relative_to(REPO).parent / unquote(parts.path)))
    if file in known or file.suffix in (".png", ".svg"):
        return link
    kind = "tree" if (REPO / file).is_dir() else "blob"
    return f"{published().repository}/{kind}/main/{file.as_posix()}" + (f"#{parts.fragment}" if parts.fragment else "")


def fold(cell: NotebookNode) -> None:
    """A cell that JupyterLab shows folded is folded here too."""
    if cell.metadata.get("jupyter", {}).get("source_hidden"):
        cell.metadata["tags"] = sorted({*cell.metadata.get("tags", []), "hide-input", "check"})


def stands_still(cell: NotebookNode) -> list[NotebookNode]:
    """A line under what only a kernel could turn or grade."""
    lines = [f"*{line}*" for call, line in STANDS.items() if call.search(cell.source)]
    return [nbformat.v4.new_output("display_data", {"text/markdown": line, "text/plain": line}) for line in lines]


def enliven(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs of a cell, the still and the caption of a living picture made one."""
    lively, rest = [], iter(outputs)
    for output in rest:
        told = output.get("metadata", {}).get(NOTE)
        lively.append(_living(output, told, next(rest, None)) if told else _with_pages(output))
    return lively


def told_pictures(path: Path) -> list[dict]:
    """What a saved notebook notes of its living pictures, in their order: ``LivingPicture.told`` of each."""
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [output.metadata[NOTE] for output in outputs if NOTE in output.get("metadata", {})]


def _with_pages(output: NotebookNode) -> NotebookNode:
    """Links that a cell has printed lead to pages: Sphinx resolves those of a text, and not those of an output."""
    words = output.get("data", {})
    if "text/markdown" in words:
        words["text/markdown"] = words["text/markdown"].replace(".ipynb)", ".html)")
    return output


def _living(still: NotebookNode, told: dict, caption: NotebookNode | None) -> NotebookNode:
    words = caption.data["text/plain"] if caption else ""
    html = place(told["picture"], told["choice"], told["plays"], still.data["image/svg+xml"], " ".join(words.split()))
    return nbformat.v4.new_output("display_data", {"text/html": html, "text/plain": still.data["text/plain"]})


def place(picture: str, choice: dict, plays: bool, still: str, caption: str) -> str:
    """HTML for a living picture: its still, in which it comes to life when it is scrolled into view."""
    return (
        f'<figure class="living-picture" data-picture="{NAMES[picture]}" data-plays="{str(plays).lower()}" '
        f'data-choice="{escape(json.dumps(choice))}"><div class="still">{still}</div>'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def jupyter_anchor(title: str) -> str:
    """A heading's anchor as JupyterLab writes it, so that one link serves both."""
    return title.strip().replace(" ", "-")

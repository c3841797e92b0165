"""The glossary as a page: the table that ends lesson 00, a term an entry, and links to it from every page."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from address import REPO
from docutils import nodes
from sphinx.application import Sphinx

LESSON = REPO / "notebooks" / "00_start_here.ipynb"
ROW = re.compile(r"^\| (?!word |---)(.+?) \| (.+) \|$", re.MULTILINE)
PAGE = "glossary"
EVERYDAY = {"full"}  # of layers a term; of a garage, a pool or a page it is not
SKIP = (nodes.title, nodes.reference, nodes.literal, nodes.raw, nodes.caption, nodes.table)


def entries() -> dict[str, str]:
    """Each row of lesson 00's table: its word or words, and what they mean."""
    [table] = [cell.source for cell in nbformat.read(LESSON, as_version=4).cells if "## Glossary" in cell.source]
    return dict(ROW.findall(table.split("## Glossary")[1]))


def anchor(words: str) -> str:
    """The id of an entry."""
    return "term-" + re.sub(r"[\W_]+", "-", words.split(",")[0].strip("`* ").lower()).strip("-")


def write_glossary(source: Path) -> None:
    """The page, in the order of the table."""
    found = "\n\n".join(f"({anchor(words)})=\n**{words}**\n: {meaning}" for words, meaning in entries().items())
    page = source / f"{PAGE}.md"
    page.write_text(page.read_text("utf-8").replace("ENTRIES", found), "utf-8")


def link_terms(app: Sphinx, document: nodes.document, name: str) -> None:
    """The first time that a page says a term, the term leads to its entry."""
    if name == PAGE or app.builder.format != "html":
        return
    targets = {word.strip("`* "): anchor(words) for words in entries() for word in words.split(", ")}
    targets = {word: target for word, target in targets.items() if word not in EVERYDAY}
    pattern = re.compile(rf"\b({'|'.join(sorted(map(re.escape, targets), key=len, reverse=True))})s?\b")
    seen: set[str] = set()
    for paragraph in document.findall(nodes.paragraph):
        for text in list(paragraph.findall(nodes.Text)):
            if not any(isinstance(parent, SKIP) for parent in _parents(text)):
                _link(text, pattern, targets, seen, app.builder.get_relative_uri(name, PAGE))


def _link(text: nodes.Text, pattern: re.Pattern, targets: dict[str, str], seen: set[str], page: str) -> None:
    found = next((each for each in pattern.finditer(text) if targets[each[1]] not in seen), None)
    if found is None:
        return
    seen.add(targets[found[1]])
    link = nodes.reference("", found[0], refuri=f"{page}#{targets[found[1]]}", classes=["term"], internal=True)
    parts = [nodes.Text(text[: found.start()]), link, nodes.Text(text[found.end() :])]
    text.parent.replace(text, [part for part in parts if part.astext()])


def _parents(node: nodes.Node) -> list[nodes.Node]:
    return [node.parent, *_parents(node.parent)] if node.parent else []

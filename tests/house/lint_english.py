"""Rules on the English of a lesson and on its length: one small pure function each, as in ``lint_prose``.

What is judged is what a reader reads as sentences: paragraphs and list items, folds included; tables, code and headings
are not. Prose is cut at full stops, and a formula in backticks counts as one word.
"""

from __future__ import annotations

import re
from statistics import median

from bs4 import Tag

from tests.house.lint_prose import page
from tests.house.notebooks import Notebook, cells, source, tags

LONGEST_SENTENCE = 30
LONGEST_MEDIAN = 14
MOST_CELLS = 60
MOST_WORDS = 2_500
MOST_MINUTES = 45
MOST_PREDICTIONS = 7

MINUTES = re.compile(r"(\d+) minutes")
SENTENCE_END = re.compile(r"(?<=[.!?])[\"”’)]*\s+|(?<=[:;])\s+(?=[\"“‘(]*[A-Z0-9*])")
HEDGES = ["basically", "simply", "obviously", "clearly", "of course", "somewhat", "arguably", "in a sense"]
HEDGES += ["it should be noted", "needless to say", "kind of a", "sort of a", "in principle", "so to speak"]
# What stopped readers of the first edition, and what is nobody's English.
OLD_WORDS = ["by lot", "but for rounding", "for the last time", "for the next one", "in doubt stand", "as shall"]
OLD_WORDS += ["a training", "nobody passes", "that it speaks of", "whoever takes", "had together", "not had at once"]
OLD_WORDS += ["stays where he", "fewer times", "1 times", "1 heads", "1 blocks", "1 tokens"]
OLD_WORDS += ["hand of a clock", "guest book", "sixteen clocks"]


def sentences(notebook: Notebook) -> list[tuple[str, str]]:
    """Each sentence of the prose with the name of its cell."""
    found = []
    for part in page(notebook).find_all(["p", "li"]):
        if part.find_parent("table") or part.find("p"):
            continue
        name = str(part.find_parent("section")["data-cell"])
        found += [(name, text) for text in map(str.strip, SENTENCE_END.split(_plain(part))) if text]
    return found


def _plain(part: Tag) -> str:
    """The words of a paragraph; a formula or a name in code is one word, a line's end in the source is a space."""
    for code in part.find_all("code"):
        code.replace_with("`code`")
    return " ".join(part.get_text().split())


def _words(text: str) -> int:
    return sum(any(letter.isalnum() for letter in word) for word in text.split())


def sentences_are_short(notebook: Notebook) -> list[str]:
    """No sentence over 30 words, and 14 in the median."""
    counted = [(name, text, _words(text)) for name, text in sentences(notebook)]
    problems = [
        f'{name} has a sentence of {length} words, over {LONGEST_SENTENCE}: "{text[:60]}..."'
        for name, text, length in counted
        if length > LONGEST_SENTENCE
    ]
    middle = median([length for *_, length in counted] or [0])
    if middle > LONGEST_MEDIAN:
        problems.append(f"the median sentence has {middle:g} words, over {LONGEST_MEDIAN}")
    return problems


def no_hedges(notebook: Notebook) -> list[str]:
    """No word that only softens, and none of the phrases that stopped readers; in questions and code neither."""
    problems = []
    for kind in ("markdown", "code"):
        for name, cell in cells(notebook, kind):
            text = " ".join(source(cell).lower().split())
            for phrase in HEDGES + OLD_WORDS:
                if re.search(rf"(?<![\w,.]){re.escape(phrase)}\b", text):
                    problems.append(f"{name} says '{phrase}'")
    return problems


def lesson_is_short(notebook: Notebook) -> list[str]:
    """At most 60 cells, 2,500 words of Markdown (tables aside), 45 minutes and 7 predictions."""
    document = page(notebook)
    minutes = MINUTES.search(document.get_text())
    predictions = sum("prediction" in tags(cell) for cell in notebook["cells"])
    for table in document.find_all("table"):
        table.decompose()
    counts = {
        "cells": (len(notebook["cells"]), MOST_CELLS),
        "words": (_words(document.get_text(" ")), MOST_WORDS),
        "minutes": (int(minutes[1]) if minutes else 0, MOST_MINUTES),
        "predictions": (predictions, MOST_PREDICTIONS),
    }
    return [f"the lesson has {n:,} {what}, over {most:,}" for what, (n, most) in counts.items() if n > most]


def checks_are_folded(notebook: Notebook) -> list[str]:
    """A check or a claim's record stands in a folded cell; visible is an assert only where it is all nbval has."""
    problems = []
    for name, cell in cells(notebook, "code"):
        folded = cell["metadata"].get("jupyter", {}).get("source_hidden", False)
        if folded or "nbval-ignore-output" in tags(cell) or "exercise" in tags(cell):
            continue
        problems += [f"{name} asserts in the open: fold it" for _ in re.findall(r"^assert ", source(cell), re.M)[:1]]
        problems += [f"{name} records a claim in the open: fold it" for _ in re.findall(r"\brecord\(\"", source(cell))]
    return problems


def guesses_come_first(notebook: Notebook) -> list[str]:
    """A cell that reveals a result carries hide-input or hide-output: a page opens it once a guess is typed."""
    return [
        f"{name} reveals and carries neither hide-input nor hide-output"
        for name, cell in cells(notebook, "code")
        if ".reveal(" in source(cell) and not {"hide-input", "hide-output"} & set(tags(cell))
    ]


RULES = [sentences_are_short, no_hedges, lesson_is_short, checks_are_folded, guesses_come_first]

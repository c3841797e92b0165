"""Rules on prose: one small pure function each, from a parsed notebook to its problems in plain English.

Markdown is judged as the reader meets it, rendered to HTML by nbconvert: a '#' in a code block is then no heading, and
an image is an image whether it was written in Markdown or in HTML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, NavigableString, PageElement, Tag
from nbconvert.filters import markdown2html

from tests.house.notebooks import Notebook, cells, source, tags, where

MOST_WORDS = 120
FEWEST_EXERCISES = 2
GOALS = range(3, 6)
LONGEST_VERB = 3  # words: "work out", "tell apart"

HEADINGS = re.compile(r"h[1-6]")
FILE_NAME = re.compile(r"\S+\.(?:png|jpe?g|svg|gif|webp)", re.IGNORECASE)
LOCAL_LINK = re.compile(r"(?:^|//)(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?![\w.-])", re.IGNORECASE)
DIFFICULTY = re.compile(r"(easy|moderate|hard), \d+ minutes", re.IGNORECASE)
EXERCISE = re.compile(r"\bExercise\b")
PROMISE = "After this lesson you can"


# Reading the Markdown of a notebook


@cache
def render(markdown: str) -> str:
    """Markdown as HTML, by the renderer that Jupyter exports with."""
    return str(markdown2html(markdown))


def page(notebook: Notebook) -> BeautifulSoup:
    """All Markdown cells as one HTML document, each in a <section> that carries its cell's name."""
    document = BeautifulSoup("", "html.parser")
    for name, cell in cells(notebook, "markdown"):
        section = document.new_tag("section", attrs={"data-cell": name})
        section.append(_fragment(source(cell)))
        document.append(section)
    return document


def _fragment(markdown: str) -> BeautifulSoup:
    fragment = BeautifulSoup(render(markdown), "html.parser")
    for mark in fragment.select("a.anchor-link"):  # the renderer's own ¶ beside each heading
        mark.decompose()
    return fragment


def _cell_of(element: PageElement) -> str:
    return str(element.find_parent("section")["data-cell"])


def _level(heading: Tag) -> int:
    return int(heading.name[1])


# Rules


def one_title(notebook: Notebook) -> list[str]:
    """One H1: the first heading, in the first cell."""
    titles = page(notebook).find_all("h1")
    if len(titles) != 1:
        places = ", ".join(_cell_of(title) for title in titles) or "no cell"
        return [f"the notebook has {len(titles)} H1 headings, not 1: {places}"]
    [title], first = titles, where(notebook, 0)
    if _cell_of(title) == first and title.find_previous(HEADINGS) is None:
        return []
    return [f"{_cell_of(title)} has the H1, which belongs at the head of {first}"]


def no_skipped_heading(notebook: Notebook) -> list[str]:
    """A heading is at most one level below the heading before it."""
    problems, before = [], 1  # a missing title is another rule's matter
    for heading in page(notebook).find_all(HEADINGS):
        if _level(heading) > before + 1:
            problems.append(f"{_cell_of(heading)} skips a heading level: H{_level(heading)} after H{before}")
        before = _level(heading)
    return problems


def images_have_alt_text(notebook: Notebook) -> list[str]:
    """An image says in words what it shows; the name of its file, which JupyterLab fills in, says nothing."""
    problems = []
    for image in page(notebook).find_all("img"):
        alt = str(image.get("alt", "")).strip()
        if not alt or FILE_NAME.fullmatch(alt):
            problems.append(f"{_cell_of(image)} has an image without alt text: {image.get('src', '')}")
    return problems


def tables_have_headers(notebook: Notebook) -> list[str]:
    """Each table begins with a header row, and every header cell names its column."""
    problems = []
    for table in page(notebook).find_all("table"):
        row = table.find("tr")
        headers = row.find_all("th") if row else []
        if not headers or row.find("td"):
            problems.append(f"{_cell_of(table)} has a table without a header row")
        elif not all(header.get_text(strip=True) for header in headers):
            problems.append(f"{_cell_of(table)} has a table with an empty header cell")
    return problems


def markdown_cells_are_short(notebook: Notebook) -> list[str]:
    """At most 120 words a cell; folds, tables and code blocks are not counted."""
    problems = []
    for section in page(notebook).find_all("section"):
        text = " ".join(string for string in section.strings if not string.find_parent(["details", "table", "pre"]))
        words = [word for word in text.split() if any(letter.isalnum() for letter in word)]
        if len(words) > MOST_WORDS:
            problems.append(f"{section['data-cell']} has {len(words)} words, over {MOST_WORDS}")
    return problems


def no_links_to_this_machine(notebook: Notebook) -> list[str]:
    """No link leads to a server that ran on the author's machine; an address in `code` is no link."""
    problems = []
    for section in page(notebook).find_all("section"):
        targets = [str(tag.get("href") or tag.get("src")) for tag in section.find_all(["a", "img"])]
        bare = "".join(string for string in section.strings if not string.find_parent(["code", "pre"]))
        if any(LOCAL_LINK.search(text) for text in [*targets, bare]):
            problems.append(f"{section['data-cell']} has a link to localhost")
    return problems


def folds_work(notebook: Notebook) -> list[str]:
    """A fold is closed, has words to click on, and its Markdown is rendered."""
    problems = []
    for name, cell in cells(notebook, "markdown"):
        html = render(source(cell))
        if html.count("<details") != html.count("</details>"):
            problems.append(f"{name} has a <details> that is not closed, or closed twice")
        for fold in _fragment(source(cell)).find_all("details"):
            summary = fold.find("summary")
            if summary is None or not summary.get_text(strip=True):
                problems.append(f"{name} has a <details> without text in a <summary>")
            if any("```" in string and not string.find_parent("pre") for string in fold.strings):
                problems.append(f"{name} shows ``` in a fold: leave a blank line before the code block")
    return problems


def exercises_are_complete(notebook: Notebook) -> list[str]:
    """At least two exercises, each with its difficulty and minutes, a hint fold and a solution fold."""
    exercises = [heading for heading in page(notebook).find_all(HEADINGS) if EXERCISE.search(heading.get_text())]
    problems = [problem for heading in exercises for problem in _missing_parts(heading)]
    if len(exercises) < FEWEST_EXERCISES:
        problems.append(f"the notebook has {len(exercises)} exercises, fewer than {FEWEST_EXERCISES}")
    return problems


def _missing_parts(heading: Tag) -> list[str]:
    elements = list(_section_under(heading))
    text = "".join(element for element in elements if isinstance(element, NavigableString))
    titles = [element.get_text().strip() for element in elements if element.name == "summary"]
    parts = {
        "line such as 'easy, 5 minutes'": DIFFICULTY.search(text),
        "hint fold (summary 'Hint ...')": any(title.startswith("Hint") for title in titles),
        "solution fold (summary 'Solution ...')": any(title.startswith("Solution") for title in titles),
    }
    return [f"{_cell_of(heading)} is an exercise without a {part}" for part, found in parts.items() if not found]


def _section_under(heading: Tag) -> Iterator[PageElement]:
    """What stands under a heading, its own text included, up to the next exercise or heading of its rank."""
    for element in heading.next_elements:
        is_heading = HEADINGS.fullmatch(element.name or "")
        if is_heading and (_level(element) <= _level(heading) or EXERCISE.search(element.get_text())):
            return
        yield element


def opening_promises(notebook: Notebook) -> list[str]:
    """A cell before the first H2 says what the reader can do afterwards, how long it takes and what it needs."""
    sections = page(notebook).find_all("section")
    if not sections:
        return ["the notebook has no Markdown cell"]
    before = list(takewhile(lambda section: section.find("h2") is None, sections))
    opening = next((section for section in before if PROMISE in _words(section)), sections[0])
    name, text = opening["data-cell"], _words(opening)
    wanted = {f"'{PROMISE}'": PROMISE, "the minutes": r"\b\d+ minutes\b", "'needs'": r"(?i)\bneeds\b"}
    missing = [f"{name} does not say {part}" for part, pattern in wanted.items() if not re.search(pattern, text)]
    return missing + [f"{name} {problem}" for problem in _goal_problems(opening)]


def _words(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def _goal_problems(opening: Tag) -> list[str]:
    goals = _goals(opening)
    if len(goals) not in GOALS:
        return [f"has {len(goals)} goals under '{PROMISE}', not {GOALS[0]} to {GOALS[-1]}"]
    return [f"has a goal that starts with no bold verb: '{_words(goal)}'" for goal in goals if not _starts_bold(goal)]


def _goals(opening: Tag) -> list[Tag]:
    promise = next((tag for tag in opening.find_all(["p", HEADINGS]) if PROMISE in _words(tag)), None)
    bullets = promise.find_next("ul") if promise else None
    inside = bullets is not None and bullets.find_parent("section") is opening
    return list(bullets.find_all("li", recursive=False)) if inside else []


def _starts_bold(goal: Tag) -> bool:
    verb = _words(goal.find(["strong", "b"]) or Tag(name="strong"))
    return verb[:1].isalpha() and len(verb.split()) <= LONGEST_VERB and _words(goal).startswith(verb)


def has_the_shape(notebook: Notebook) -> list[str]:
    """A prediction to write down, a recap, and what to read next."""
    headings = [heading.get_text() for heading in page(notebook).find_all(HEADINGS)]
    problems = []
    if not any("prediction" in tags(cell) for cell in notebook["cells"]):
        problems.append("no cell is tagged prediction")
    if not any(re.search(r"\bRecap\b", heading) for heading in headings):
        problems.append("no heading says 'Recap'")
    if not any(re.search(r"\bWhat (to read )?next\b", heading) for heading in headings):
        problems.append("no heading says 'What next' or 'What to read next'")
    return problems


def links_resolve(notebook: Notebook, folder: Path = Path(".")) -> list[str]:
    """Each relative link leads to a file that exists, seen from the notebook's folder, and to a heading in it."""
    problems, own = [], page(notebook)
    for tag in own.find_all(["a", "img"]):
        target = str(tag.get("href") or tag.get("src") or "")
        if target and not urlsplit(target).scheme and not target.startswith("//"):
            problem = _broken(target, own, folder)
            problems += [f"{_cell_of(tag)} has a broken link, {target}: {problem}"] if problem else []
    return problems


def _broken(target: str, own: BeautifulSoup, folder: Path) -> str:
    path, fragment = unquote(urlsplit(target).path), unquote(urlsplit(target).fragment)
    if path.startswith("/"):
        return "it is absolute"
    if path and not (folder / path).exists():
        return "there is no such file"
    there = _anchors_in(folder / path, fragment) if path else anchors(own)
    return f"there is no heading or id '{fragment}'" if fragment and fragment not in there else ""


def _anchors_in(path: Path, fragment: str) -> set[str]:
    if path.suffix == ".ipynb":
        return anchors(page(json.loads(path.read_text(encoding="utf-8"))))
    if path.suffix != ".md":
        return {fragment}  # a line of code, say, which only a forge can resolve
    document = _fragment(path.read_text(encoding="utf-8"))
    # A Markdown file is read on a forge, which lowers and strips its headings; JupyterLab keeps them as they are.
    return anchors(document) | {_slug(heading.get_text()) for heading in document.find_all(HEADINGS)}


def anchors(document: BeautifulSoup) -> set[str]:
    """What a link may name after its #: the ids, and the headings as JupyterLab writes them, with hyphens."""
    ids = {unquote(str(tag[key])) for key in ("id", "name") for tag in document.find_all(attrs={key: True})}
    return ids | {heading.get_text().replace(" ", "-") for heading in document.find_all(HEADINGS)}


def _slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


# Links need the notebook's folder too, so links_resolve is not one of these.
RULES = [
    one_title,
    no_skipped_heading,
    images_have_alt_text,
    tables_have_headers,
    markdown_cells_are_short,
    no_links_to_this_machine,
    folds_work,
    exercises_are_complete,
    opening_promises,
    has_the_shape,
]

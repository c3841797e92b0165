"""Build the course as a site that needs no kernel: ``python site/build.py [FOLDER]``, which is what ``make site`` does.

Lessons and labs are taken as they were saved; nothing is executed, and neither the build nor the pages ask a network.
The pages' sources are written into a folder of their own, in the order of the project, so that links hold; then Sphinx
makes HTML of them, with every warning an error.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import notebook_pages
import planner_answers
from address import REPO, published
from glossary import write_glossary

from helpers.teaching.course_map import Lesson
from helpers.widgets.living import PICTURES
from helpers.widgets.living.garage import by_hand
from helpers.widgets.living.page import still_parts

HERE = Path(__file__).parent
KEEP = ("docs/engines.md", "docs/two_paged_engines.md", "labs/README.md", "labs/TEACHING.md", "labs/handout.md")
TABLE = re.compile(r"^\| lesson \|.*\n(?:\|.*\n)+", re.MULTILINE)  # of lessons, in the README
DATE = re.compile(r"<td>((?:<p>)?\d{4}-\d\d-\d\d(?:</p>)?</td>)")
MENDED = {
    'role="heading">': 'role="heading" aria-level="2">',
    '<aside class="sidebar-drawer"': '<aside aria-label="All pages" class="sidebar-drawer"',
    '<aside class="toc-drawer': '<aside aria-label="On this page" class="toc-drawer',
    '<div class="table-wrapper': '<div tabindex="0" class="table-wrapper',
    "<pre>": '<pre tabindex="0">',
}


def build(target: Path) -> Path:
    """Write the site into a folder, which is emptied first; returns the folder of its HTML."""
    shutil.rmtree(target, ignore_errors=True)
    source, html = target / "source", target / "html"
    shutil.copytree(HERE / "pages", source)
    static = source / "_static"
    shutil.copytree(HERE / "static", static)
    write_pages(source)
    write_front_page(source)
    write_glossary(source)
    write_pictures(static / "living")
    planner_answers.write(static / "planner")
    sphinx = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-j", "2", "-c", HERE]
    subprocess.run([*map(str, sphinx), str(source), str(html)], check=True)
    slim(html)
    mend(html)
    (html / "404.html").write_text(not_found(), encoding="utf-8")
    (html / ".nojekyll").touch()  # GitHub Pages would leave out folders that begin with an underscore
    return html


def write_pages(source: Path) -> None:
    """Every lesson, every lab and the texts beside them, each where it lies in the project."""
    lessons = sorted((REPO / "notebooks").glob("[0-9]*.ipynb"))
    labs = sorted((REPO / "labs").glob("lab_*.ipynb"))
    known = {path.relative_to(REPO) for path in [*lessons, *labs, *(REPO / name for name in KEEP)]}
    for path in known:
        page = source / path
        page.parent.mkdir(exist_ok=True)
        text = path.suffix == ".md"
        page.write_text((notebook_pages.text_page if text else notebook_pages.page)(REPO / path, known), "utf-8")
    for picture in (REPO / "notebooks").glob("*.png"):
        shutil.copy(picture, source / "notebooks")
    for folder, pages in (("lessons", lessons), ("labs", labs)):
        tree = "\n".join(_entry(page) for page in pages)
        index = source / "contents" / f"{folder}.md"
        index.write_text(index.read_text("utf-8").replace("PAGES", tree), "utf-8")


def _entry(path: Path) -> str:
    """A page's line in the list of all; a lesson's has its number, by which other pages call it."""
    target = f"../{path.relative_to(REPO).with_suffix('')}"
    if path.parent.name != "notebooks":
        return target
    lesson = Lesson.read(path)
    return f"{lesson.number} {lesson.title}{': ' * bool(lesson.subject)}{lesson.subject} <{target}>"


def write_front_page(source: Path) -> None:
    """The page that a stranger sees first: the garage, playing, and the README's table of lessons."""
    garage = PICTURES["garage"]()
    still = notebook_pages.place("Garage", garage.choice, True, garage.scene().svg(), garage.caption(garage.choice))
    [lessons] = TABLE.findall((REPO / "README.md").read_text("utf-8"))
    hero = f'```{{raw}} html\n<div class="front">{still}</div>\n```'
    words = {"HERO": hero, "LESSONS": lessons, "REPOSITORY": published().repository}
    page = source / "index.md"
    text = page.read_text("utf-8")
    for mark, said in words.items():
        text = text.replace(mark, said)
    page.write_text(text, "utf-8")


def write_pictures(folder: Path) -> None:
    """Of every living picture its module, and what it is drawn from; the parts that stand in for a kernel."""
    folder.mkdir()
    (folder / "parts.js").write_text(still_parts(), "utf-8")
    for name, make in PICTURES.items():
        picture = make()
        (folder / f"{name}.js").write_text(str(picture._esm), "utf-8")
        data = picture.data | ({"hands": hands()} if name == "garage" else {})
        if data["caption"] == picture.caption(picture.choice):
            del data["caption"]  # it is that of one choice: a figure of another has its own
        (folder / f"{name}.json").write_text(json.dumps(data, separators=(",", ":")), "utf-8")


def hands() -> list[dict[str, Any]]:
    """Frames of the garages that a lesson opens emptied by hand; no other eviction by hand is recorded."""
    lessons = sorted((REPO / "notebooks").glob("[0-9]*.ipynb"))
    choices = [told["choice"] for path in lessons for told in notebook_pages.told_pictures(path)]
    opened = {tuple(choice["gone"]) for choice in choices if choice.get("policy") == "by hand" and choice["gone"]}
    return [frame for gone in sorted(opened) for frame in by_hand(gone)]


def slim(html: Path) -> None:
    """Leave out what no page asks for: maps of minified files, icons of other builders, Sphinx's own list."""
    for name in ("**/*.map", "**/*.LICENSE.txt", "objects.inv", ".buildinfo", "_static/*.png.license"):
        for path in html.glob(name):
            path.unlink()
    for name in (".doctrees", "_sources"):
        shutil.rmtree(html / name, ignore_errors=True)


def mend(html: Path) -> None:
    """What Sphinx and the theme leave out for those who listen to a page, or walk through it by keys."""
    for page in html.rglob("*.html"):
        text = page.read_text("utf-8")
        for left, right in MENDED.items():
            text = text.replace(left, right)
        page.write_text(DATE.sub(r'<td class="date">\1', text), "utf-8")


def not_found() -> str:
    """The page for an address that leads nowhere: on its own, since it is shown in any folder."""
    home = published().path
    text = (HERE / "404.html").read_text("utf-8")
    return text.replace("HOME", home)


if __name__ == "__main__":
    print(build(Path(sys.argv[1]) if len(sys.argv) > 1 else REPO / "build" / "site"))

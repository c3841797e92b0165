"""What ``make lab`` serves: the whole course and a learner's copy, so that every link in them leads somewhere."""

import json
import posixpath
import re
import urllib.request
from urllib.error import HTTPError
from urllib.parse import quote, unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from labs.learners_copy import FOLDER, make_copy
from labs.workshop.handout import course_files
from tests.browser import jupyter
from tests.house.lint_prose import anchors, page, render
from tests.house.notebooks import LESSONS, REPO, flat, outputs

LABS = [*REPO.glob("labs/*.ipynb"), *REPO.glob("labs/masters/*.ipynb")]
GUIDES = [
    path for pattern in ("*.md", "labs/*.md", "labs/workshop/*.md", "helpers/**/*.md") for path in REPO.glob(pattern)
]
DOCUMENTS = [path.relative_to(REPO).as_posix() for path in sorted([*LESSONS, *LABS, *GUIDES])]

COPIES = [f"{FOLDER}/{name}" for name in course_files() if name.endswith((".ipynb", ".md"))]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on the course itself; it is only asked."""
    with jupyter.jupyterlab(REPO, tmp_path_factory.mktemp("server")) as lab:
        yield lab


@pytest.fixture(scope="module")
def learners_lab(tmp_path_factory):
    """JupyterLab on a folder in which nothing but a learner's copy lies."""
    scratch = tmp_path_factory.mktemp("learner")
    make_copy(scratch / "course" / FOLDER)
    with jupyter.jupyterlab(scratch / "course", scratch) as lab:
        yield lab


def as_page(path, content):
    """A notebook's or Markdown file's text as the reader meets it."""
    return page(content) if path.endswith(".ipynb") else BeautifulSoup(render(content), "html.parser")


def links(path, folder=REPO):
    """The relative links and pictures of a document, those in what a notebook's cells have said too."""
    text = (folder / path).read_text(encoding="utf-8")
    shown = [as_page(path, json.loads(text) if path.endswith(".ipynb") else text)]
    if path.endswith(".ipynb"):
        data = [output.get("data", {}) for _, _, output in outputs(json.loads(text))]
        shown += [
            BeautifulSoup(render(flat(each["text/markdown"])), "html.parser")
            for each in data
            if "text/markdown" in each
        ]
        shown += [BeautifulSoup(flat(each["text/html"]), "html.parser") for each in data if "text/html" in each]
    found = [str(tag.get("href") or tag.get("src") or "") for one in shown for tag in one.find_all(["a", "img"])]
    return [link for link in dict.fromkeys(found) if link and not urlsplit(link).scheme]


def problem(lab, path, link):
    """Why a link of a document leads nowhere, or an empty string."""
    there, anchor = unquote(urlsplit(link).path), unquote(urlsplit(link).fragment)
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), there)) if there else path
    try:
        served = lab.ask(f"api/contents/{quote(target)}")
    except HTTPError as error:
        return f"{link}: the server answers {error.code}"
    if anchor and anchor not in anchors(as_page(target, served["content"])):
        return f"{link}: no heading of {target} is #{anchor} in JupyterLab"
    return ""


@pytest.mark.parametrize("path", DOCUMENTS)
def test_every_link_leads_somewhere(lab, path):
    assert [said for link in links(path) if (said := problem(lab, path, link))] == []


@pytest.mark.parametrize("path", COPIES)
def test_every_link_of_a_learner_s_copy_leads_somewhere_within_it(learners_lab, path):
    found = links(path, learners_lab.folder)
    assert [said for link in found if (said := problem(learners_lab, path, link))] == []


def test_there_are_links_into_the_labs_and_to_headings():
    found = {link for path in DOCUMENTS for link in links(path)}
    assert {"../labs/lab_1_will_it_fit.ipynb", "00_start_here.ipynb#Glossary", "notebooks/memory_wall.png"} <= found


def test_a_dead_link_is_found(lab):
    path = "notebooks/00_start_here.ipynb"
    assert problem(lab, path, "../labs/README.md") == problem(lab, path, "#Glossary") == ""
    assert "404" in problem(lab, path, "../labs/lab_9.ipynb") and "404" in problem(lab, path, "labs/README.md")
    assert "no heading" in problem(lab, path, "../README.md#another-model")


def test_it_opens_the_learner_s_first_lesson_and_asks_nothing_about_news(learners_lab):
    lab, first = learners_lab, f"{FOLDER}/notebooks/00_start_here.ipynb"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor())
    with direct.open(lab.url("")) as answer:
        opened, text = answer.url, answer.read().decode()
    assert urlsplit(opened).path == f"/lab/tree/{first}" and lab.ask(f"api/contents/{first}")["type"] == "notebook"
    [settings] = re.findall(r'<script id="jupyter-config-data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert "@jupyterlab/apputils-extension:announcements" in json.loads(settings)["disabledExtensions"]

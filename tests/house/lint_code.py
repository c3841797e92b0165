"""Rules on code and on what a run has left: one small pure function each, from a notebook to its problems in English.

What ruff reports in a notebook (names, imports, syntax, long lines) is left to ruff.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Mapping
from itertools import takewhile
from statistics import median
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from tests.house.notebooks import REPO, WIDGET_VIEW, Notebook, cells, flat, output_text, outputs, source, tags, where

KNOWN_TAGS = {
    "colab",  # brings the course where it is not installed: stands before the setup, and on no page of the site
    "setup",
    "prediction",
    "figure",
    "control",
    "exercise",
    "solution",
    "stub",  # of a lab: the student's copy raises a sentence in the place of its solution
    "recap",
    "hide-input",
    "hide-output",  # a page without a kernel opens it once a guess is typed
    "nbval-ignore-output",
    "raises-exception",
}
CLAIM_TAG = re.compile(r"claim-[AB]\d+")
# nbval obeys these comments as it obeys tags, and ignores a misspelt one in silence.
COMMENT_MARKER = re.compile(r"^\s*#\s*(?:NBVAL_|PYTEST_VALIDATE_)\w*", re.MULTILINE)

LONGEST_CODE_CELL = 25
LONGEST_MEDIAN = 6
LONGEST_SETUP = 5

THIS_HOST = r"127\.0\.0\.1\b"
ADDRESS = re.compile(rf"\b(?:https?|ftp)://(?!{THIS_HOST})[^\s'\"]*|\b(?!{THIS_HOST})\d{{1,3}}(?:\.\d{{1,3}}){{3}}\b")
COURSE_ADDRESS = tomllib.loads((REPO / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
# Only an absolute path is one machine's own: after a host, '..' or '~' the same letters are not.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:root|home|work|tmp|Users)/")


def tags_are_known(notebook: Notebook) -> list[str]:
    """A misspelt tag is obeyed by nobody and reported by nobody, so the list of tags is closed."""
    problems = []
    for index, cell in enumerate(notebook["cells"]):
        unknown = [tag for tag in tags(cell) if tag not in KNOWN_TAGS and not CLAIM_TAG.fullmatch(tag)]
        problems += [f"{where(notebook, index)} has the unknown tag '{tag}'" for tag in unknown]
    return problems


def tags_are_not_comments(notebook: Notebook) -> list[str]:
    """A tag is linted; nbval's comment markers would be a second way that is not."""
    return [
        f"{name} steers nbval by the comment '{marker.strip()}'; use a tag"
        for name, cell in cells(notebook, "code")
        for marker in COMMENT_MARKER.findall(source(cell))
    ]


def code_cells_are_short(notebook: Notebook) -> list[str]:
    """One idea per cell: 25 lines at most, 6 in the median, 5 for the first, which sets up; Colab's is not counted."""
    counted = [(name, source(cell)) for name, cell in cells(notebook, "code") if "colab" not in tags(cell)]
    lengths = [(name, len(text.strip().splitlines())) for name, text in counted]
    if not lengths:
        return ["the notebook has no code cell"]
    long = [(name, lines) for name, lines in lengths if lines > LONGEST_CODE_CELL]
    problems = [f"{name} has {lines} lines, over {LONGEST_CODE_CELL}" for name, lines in long]
    middle = median(lines for _, lines in lengths)
    if middle > LONGEST_MEDIAN:
        problems.append(f"the median code cell has {middle:g} lines, over {LONGEST_MEDIAN}")
    name, lines = lengths[0]
    if lines > LONGEST_SETUP:
        problems.append(f"{name} is the setup and has {lines} lines, over {LONGEST_SETUP}")
    return problems


def figures_have_captions(notebook: Notebook) -> list[str]:
    """Each output picture is followed, in its cell and before the next picture, by "Figure ... ." in words."""
    problems = []
    for name, cell in cells(notebook, "code"):
        kinds = [_kind(output) for output in cell.get("outputs", [])]
        for index in [index for index, kind in enumerate(kinds) if kind == "picture"]:
            below = takewhile(lambda kind: kind != "picture", kinds[index + 1 :])
            if "caption" not in below:
                problems.append(f"{name} shows a picture without a caption below it: 'Figure ...', with a full stop")
    return problems


def _kind(output: Mapping[str, Any]) -> str:
    data = output.get("data", {})
    if any(kind.startswith("image/") for kind in data):
        return "picture"
    text = flat(output.get("text") or data.get("text/markdown") or data.get("text/plain", "")).strip(" \n*_")
    return "caption" if text.startswith("Figure") and text.endswith(".") else "other"


def metadata_is_portable(notebook: Notebook) -> list[str]:
    """The kernel is called python3 everywhere; saved widget state makes GitHub refuse the whole notebook."""
    metadata = notebook.get("metadata", {})
    problems = ["the notebook's metadata has 'widgets'; run tests.house.normalise"] if "widgets" in metadata else []
    kernel = metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        problems.append(f"the notebook's kernelspec is named {kernel!r}, not 'python3'")
    return problems


def executed_in_order(notebook: Notebook) -> list[str]:
    """Saved after one run from top to bottom on a fresh kernel; nbval compares nothing where the count is missing."""
    problems, saved = [], 0
    for number, (name, cell) in enumerate(cells(notebook, "code"), start=1):
        saved += len(cell.get("outputs", []))
        count = cell.get("execution_count")
        if count != number:
            problems.append(f"{name} has execution count {count}, not {number}")
    return problems if saved else [*problems, "the notebook was saved without outputs"]


def errors_are_announced(notebook: Notebook) -> list[str]:
    """A cell ends in an error if, and only if, it is tagged raises-exception."""
    problems = []
    for name, cell in cells(notebook, "code"):
        errors = [output["ename"] for output in cell.get("outputs", []) if output["output_type"] == "error"]
        announced = "raises-exception" in tags(cell)
        if errors and not announced:
            problems.append(f"{name} ended in an error: {errors[0]}")
        if announced and not errors:
            problems.append(f"{name} is tagged raises-exception and raised nothing")
    return problems


def no_widget_views(notebook: Notebook) -> list[str]:
    """A saved widget shows nothing where no kernel runs: the static frame is what is saved."""
    return [
        f"{name} has a widget in its outputs; run tests.house.normalise"
        for name, _, output in outputs(notebook)
        if WIDGET_VIEW in output.get("data", {})
    ]


def no_network(notebook: Notebook) -> list[str]:
    """No code reaches for anything outside this machine; Colab's cell fetches the course, and nothing else."""
    return [
        f"{name} has a network address in code: {address}"
        for name, cell in cells(notebook, "code")
        for address in ADDRESS.findall(source(cell))
        if not ("colab" in tags(cell) and address == COURSE_ADDRESS)
    ]


def ignored_output_is_asserted(notebook: Notebook) -> list[str]:
    """Where nbval is told not to compare, the cell itself asserts what matters."""
    return [
        f"{name} is tagged nbval-ignore-output and asserts nothing"
        for name, cell in cells(notebook, "code")
        if "nbval-ignore-output" in tags(cell) and not _asserts(source(cell))
    ]


def _asserts(code: str) -> bool:
    tree = ast.parse(TransformerManager().transform_cell(code))  # IPython's magics are not Python yet
    return any(_is_assertion(node) or _is_check(node) for node in ast.walk(tree))


def _is_assertion(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert) and not isinstance(node.test, ast.Constant)  # `assert True`


def _is_check(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    name = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
    return name.startswith("check")


def no_machine_paths(notebook: Notebook) -> list[str]:
    """No source and no output knows the folders of the machine that made it."""
    problems = []
    for index, cell in enumerate(notebook["cells"]):
        texts = {"source": source(cell)}
        texts["output"] = "\n".join(output_text(output) for output in cell.get("outputs", []))
        for part in [part for part, text in texts.items() if MACHINE_PATH.search(text)]:
            problems.append(f"{where(notebook, index)} has a path of one machine in its {part}")
    return problems


RULES = [
    tags_are_known,
    tags_are_not_comments,
    code_cells_are_short,
    figures_have_captions,
    metadata_is_portable,
    executed_in_order,
    errors_are_announced,
    no_widget_views,
    no_network,
    ignored_output_is_asserted,
    no_machine_paths,
]

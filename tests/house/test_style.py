"""How the code is written: ruff is content, functions and files are short, and each says what it takes and gives."""

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CODE = sorted((ROOT / "helpers").rglob("*.py"))


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("check", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff_has_nothing_to_say(check):
    done = run(sys.executable, "-m", "ruff", *check, "helpers", "tests")
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_is_told_to_ask_for_docstrings_and_annotations():
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert {"D", "ANN", "E", "F", "I", "B"} <= set(lint["select"])
    # Magic methods and __init__ may go without a docstring, and Any may be written; nothing else is excused.
    assert set(lint["ignore"]) <= {"D105", "D107", "ANN401"}
    assert [pattern for pattern in lint.get("per-file-ignores", {}) if not pattern.startswith("tests")] == []
    assert lint["pydocstyle"]["convention"] == "google"
    assert PROJECT["tool"]["ruff"]["line-length"] <= 120


@pytest.mark.parametrize(("source", "rule"), [("def f(x: int) -> int:\n    return x\n", "D"), ('"""M."""\n', None)])
def test_ruff_s_rules_bite(source, rule):
    """The configuration above is the one that a file in helpers is judged by."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--stdin-filename",
            "helpers/new.py",
            "--output-format",
            "concise",
            "-",
        ],
        cwd=ROOT,
        input=source,
        capture_output=True,
        text=True,
    )
    codes = re.findall(r":\d+:\d+: ([A-Z]+)\d+", done.stdout)
    assert (rule in codes) if rule else codes == []


def test_no_line_of_helpers_excuses_itself():
    excused = [
        line for path in CODE for line in path.read_text().splitlines() if re.search(r"#\s*(noqa|type: ignore)", line)
    ]
    assert excused == []


def functions(path):
    """Every function of a file by its place in the house, methods by their class too: no two have one name."""

    def walk(node, name):
        for child in ast.iter_child_nodes(node):
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            inner = f"{name}.{child.name}:{child.lineno}" if named else name
            if named and not isinstance(child, ast.ClassDef):
                yield inner, child
            yield from walk(child, inner)

    yield from walk(ast.parse(path.read_text()), str(path.relative_to(ROOT)))


def test_functions_are_short():
    """Counted from ``def`` to the last line, docstring included."""
    found = [(name, f.end_lineno - f.lineno + 1) for path in CODE for name, f in functions(path)]
    lengths = dict(found)
    assert len(lengths) == len(found) > 1000
    assert {name: length for name, length in lengths.items() if length > 40} == {}
    assert statistics.median(lengths.values()) <= 8


def test_two_functions_of_one_name_are_two(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "a.py").write_text(
        "class A:\n    def f(self): ...\nclass B:\n    def f(self): ...\n    def f(self): ...\n"
    )
    assert [name for name, _ in functions(tmp_path / "a.py")] == ["a.py.A:1.f:2", "a.py.B:3.f:4", "a.py.B:3.f:5"]


def test_files_are_short():
    """The catalog is data: a row per model, card and format."""
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in CODE}
    long = {name for name, length in lengths.items() if length > 400}
    assert long <= {"helpers/arithmetic/catalog.py"}


def test_every_function_says_what_it_takes_and_gives():
    """Ruff asks this of public functions; here all of helpers, the private ones too."""
    silent = [
        name
        for path in CODE
        for name, function in functions(path)
        if function.returns is None
        or any(
            a.annotation is None
            for a in [*function.args.args, *function.args.kwonlyargs]
            if a.arg not in ("self", "cls")
        )
    ]
    assert silent == []

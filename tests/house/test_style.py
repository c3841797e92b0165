"""How the code is written: ruff is content, functions and files are short, and each says what it takes and gives."""

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CODE = sorted((ROOT / "helpers").rglob("*.py"))


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("check", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff_has_nothing_to_say(check):
    done = run(sys.executable, "-m", "ruff", *check)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_is_told_to_ask_for_docstrings_and_annotations():
    lint = PROJECT["tool"]["ruff"]["lint"]
    assert {"D", "ANN", "E", "F", "I", "B"} <= set(lint["select"])
    # Magic methods and __init__ may go without a docstring, and Any may be written; nothing else is excused.
    assert set(lint["ignore"]) <= {"D105", "D107", "ANN401"}
    assert set(lint["per-file-ignores"]) == {"tests/*", "*.ipynb"}
    assert lint["pydocstyle"]["convention"] == "google"
    assert PROJECT["tool"]["ruff"]["line-length"] <= 120


def ruff_says(name, source):
    """The rules that a new file of this name would break."""
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise", f"--stdin-filename={name}", "-"]
    done = subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True)
    return re.findall(r":\d+:\d+: (\S+?):? ", done.stdout)


@pytest.mark.parametrize(
    ("source", "rules"),
    [("def f(x: int) -> int:\n    return x\n", ["D100", "D103"]), ('"""M."""\n', [])],
)
def test_ruff_s_rules_bite(source, rules):
    """The configuration above is the one that a file in helpers is judged by."""
    assert ruff_says("helpers/new.py", source) == rules


@pytest.mark.parametrize("folder", ["notebooks", "labs/masters"])
@pytest.mark.parametrize(
    ("code", "rules"),
    [
        ("import math", ["F401"]),
        ("count", ["F821"]),
        ("assert (1, 2)", ["F631"]),
        ("assert 1 = 1", ["invalid-syntax"]),
        (f"text = '{'x' * 120}'", ["E501"]),
        ("def double(x):\n    return 2 * x", []),
        (f"# solution: Say {'in one line ' * 10}.", []),
        ("%time x = 1", []),
    ],
)
def test_ruff_s_rules_bite_in_a_notebook(folder, code, rules):
    cells = [nbformat.v4.new_code_cell("n = 1"), nbformat.v4.new_code_cell(code)]
    assert ruff_says(f"{folder}/new.ipynb", nbformat.writes(nbformat.v4.new_notebook(cells=cells))) == rules


def test_ruff_leaves_students_copies_alone():
    """Of what a stub should define, later cells say that it is missing."""
    [*copies] = (ROOT / "labs").glob("*.ipynb")
    shown = run(sys.executable, "-m", "ruff", "check", "--show-files").stdout
    assert copies and not [path for path in copies if str(path) in shown]


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
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in CODE}
    assert {name for name, length in lengths.items() if length > 400} == set()


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

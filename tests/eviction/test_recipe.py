"""The recipe for a new policy in CONTRIBUTING.md, followed to the letter on a copy of the course."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROOF = """
import ipywidgets
from helpers import eviction
from helpers.experiments import sweep
from helpers.plots.compression import policy_looks
from helpers.widgets import compression

assert eviction.__file__.startswith({root!r}), eviction.__file__
assert {name!r} in eviction.POLICIES and {name!r} in eviction.SHOWN

sweep.BATCH, sweep.N_LINES, sweep.CALIBRATION = 1, 8, dict(count=2, n_lines=8, seed=11)
cells = [cell for cell, _ in sweep.cells(sweep.suited(sweep.subject([]))) if cell.policy == {name!r}]
assert len(cells) == 8  # all heads alike: four budgets, with and without compaction
result = sweep.run_cell(cells[0], 0)
assert result["compressions"] > 0 and len(result["right"]) == 1

compression.N_SHEETS, compression.N_LINES, shown = 1, 8, []
compression.control = lambda draw, button, **controls: shown.append((draw, controls))
compression.compression_control(sweep.calibrated())
[(draw, controls)] = shown
assert {name!r} in controls["policy"].options
assert {name!r} in draw({name!r}, 40, 16, "shared")[1]

looks = policy_looks(eviction.SHOWN)
assert len(set(looks.values())) == len(looks) == len(eviction.SHOWN)
"""


@pytest.fixture
def recipe():
    """The file's path and text, and the two lines of the register, as the recipe has them."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## Add an eviction policy\n")[1].split("\n## ")[0]
    [path] = re.findall(r"The file, here `(\S+)`", section)
    file, register = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    import_line, line = (each for each in register.splitlines() if each)
    return path, file, import_line, line


@pytest.fixture
def copy(recipe, tmp_path):
    """A copy of the course with the recipe's policy in it."""
    path, file, import_line, line = recipe
    shutil.copytree(ROOT / "helpers", tmp_path / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / path).write_text(file)
    init = tmp_path / "helpers" / "eviction" / "__init__.py"
    before, imports, after = re.split(r"((?:^from helpers\.\S+ import .*\n)+)", init.read_text(), flags=re.MULTILINE)
    imports = "".join(sorted([*imports.splitlines(keepends=True), f"{import_line}\n"]))
    entries = re.findall(r'^    ".+": \w+\.prepare\w*,\n', after, flags=re.MULTILINE)
    assert len(entries) > 6
    init.write_text(before + imports + after.replace(entries[-1], f"{entries[-1]}{line}\n"))
    return tmp_path


def test_a_policy_made_by_the_recipe_is_swept_drawn_and_offered(recipe, copy):
    [name] = re.findall(r'"(\w+)":', recipe[3])
    proof = PROOF.format(name=name, root=str(copy))
    done = subprocess.run(
        [sys.executable, "-c", proof], cwd=copy, env={"PYTHONPATH": str(copy)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_linter_has_nothing_to_say_about_it(copy):
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "helpers/eviction"], cwd=copy, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout

"""The JavaScript of pictures and site: Node's tests, the linter, and what joining files to one module asks of them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.widgets import living
from helpers.widgets.living.picture import join_modules
from tests.house.notebooks import REPO
from tests.widgets.living.node import run_node

FOLDER = Path(living.__file__).parent
SITE = REPO / "site" / "static"
TESTS = sorted([*Path(__file__).parent.glob("*.test.js"), *(REPO / "tests" / "site").glob("*.test.js")])
BIN = Path(sys.executable).parent
TOP_LEVEL = re.compile(r"^(?:export )?(?:async )?(?:function\*?|const|let|class) (\w+)", re.MULTILINE)
LONGEST = 600  # lines of a picture's module without the shared parts and its style sheet


def test_the_linter_finds_nothing():
    done = subprocess.run([BIN / "oxlint", "--deny-warnings", FOLDER, SITE, *TESTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.name)
def test_node_s_tests_pass(test):
    done = run_node("--test", test)
    assert done.returncode == 0, done.stdout[-4_000:]
    assert re.search(r"^(#|ℹ) pass [1-9]", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", living.PICTURES)
def test_a_picture_s_module_is_one_scope_without_imports(name):
    module = living.PICTURES[name]()._esm
    names = TOP_LEVEL.findall(module)
    assert sorted(set(names)) == sorted(names)
    assert "render" in names
    assert not re.findall(r"^import |^export (?!default)", module, re.MULTILINE)
    assert "innerHTML" not in module and "http:" not in module.replace("http://www.w3.org/2000/svg", "")
    looks = [path.name for path in FOLDER.glob("*_look.js") if path.name.startswith(name)]  # a style sheet
    others = join_modules("parts.js", *looks).splitlines()
    assert len(module.splitlines()) - len(others) <= LONGEST

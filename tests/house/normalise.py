"""Runs notebooks anew and saves them so that the next run makes a small diff: `python -m tests.house.normalise`.

Each notebook runs from top to bottom on a fresh kernel, in its own folder, with COURSE_STATIC=1: lessons then draw
their static frames and show no widgets. A notebook in which a cell raises is reported and left as it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from tests.house.notebooks import LESSONS, REPO, WIDGET_VIEW, read, where

TIMEOUT = 300  # seconds, per cell
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
# No version: it would differ between two machines that show the same lesson.
LANGUAGE = {
    "name": "python",
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "pygments_lexer": "ipython3",
}


class CellFailed(Exception):
    """A cell raised, timed out, or took its kernel with it; the message names the cell."""


def execute(notebook: NotebookNode, folder: Path, timeout: int = TIMEOUT) -> None:
    """Runs all cells in place, in order, on a fresh kernel that works in `folder`.

    Args:
        notebook: its old outputs are dropped first.
        folder: the working directory of the kernel.
        timeout: the longest that one cell may take, in seconds.

    Raises:
        CellFailed: a cell raised (and is not tagged raises-exception), timed out or killed its kernel.
    """
    _clear(notebook)
    reached = [0]
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        on_cell_execute=lambda cell, cell_index: reached.append(cell_index),
    )
    try:
        client.execute(env={**os.environ, "COURSE_STATIC": "1"})
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise CellFailed(f"{where(notebook, reached[-1])} {_reason(error)}") from error


def _clear(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def _reason(error: Exception) -> str:
    if isinstance(error, CellExecutionError):
        return f"raised {error.ename}: {error.evalue}"
    return "ran out of time" if isinstance(error, CellTimeoutError) else "lost its kernel"


def tidy(notebook: NotebookNode) -> None:
    """Takes out, in place, what differs between two equal runs, and what a page without a kernel cannot show."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = NotebookNode(KERNEL)
    notebook.metadata["language_info"] = NotebookNode(LANGUAGE)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times of its last run
        if cell.cell_type == "code":
            cell.outputs = _merge_streams(
                output for output in cell.outputs if WIDGET_VIEW not in output.get("data", {})
            )
            _localise(cell.outputs)


def _merge_streams(outputs: Any) -> list[NotebookNode]:
    merged: list[NotebookNode] = []
    for output in outputs:
        before = merged[-1] if merged else NotebookNode(output_type="none")
        if before.output_type == output.output_type == "stream" and before.name == output.name:
            before.text += output.text
        else:
            merged.append(output)
    return merged


def _localise(outputs: list[NotebookNode]) -> None:
    # A traceback names files by their place on this machine; a reader knows them by their place in the repository.
    for output in outputs:
        if output.output_type == "error":
            output.traceback = [line.replace(f"{REPO}{os.sep}", "") for line in output.traceback]


def to_text(notebook: NotebookNode) -> str:
    """The notebook as Jupyter writes it: indented by one, with a newline at the end."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def normalise(path: Path) -> bool:
    """Runs and saves one notebook; returns whether the file changed.

    Raises:
        CellFailed: as `execute` does; the file is then left as it was.
    """
    notebook = read(path)
    execute(notebook, path.parent)
    tidy(notebook)
    text = to_text(notebook)
    changed = text != path.read_text(encoding="utf-8")
    if changed:
        path.write_text(text, encoding="utf-8", newline="\n")
    return changed


def _report(path: Path) -> bool:
    start = time.perf_counter()
    try:
        ran, verdict = True, "changed" if normalise(path) else "unchanged"
    except CellFailed as error:
        ran, verdict = False, f"FAILED, {error}"
    print(f"{path.name}: {time.perf_counter() - start:.1f} s, {verdict}", flush=True)
    return ran


def main(arguments: list[str] | None = None) -> int:
    """Normalises the notebooks named, or all lessons; returns 1 if a cell failed in any of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.house.normalise", description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks; without any, all of notebooks/")
    paths = parser.parse_args(arguments).paths or LESSONS
    return 0 if all([_report(path) for path in paths]) else 1  # a list: one failure does not stop the others


if __name__ == "__main__":
    sys.exit(main())

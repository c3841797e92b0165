"""Makes the students' copies of the labs from their masters: ``python -m labs.student_copies``.

A master is a lab with its solution in place, saved as it ran. In its code cells a solution stands between two comments,

    # solution: The sentence that the student reads in its place.
    ...
    # end

and the student's copy has ``raise NotImplementedError("The sentence ...")`` there. Markdown cells tagged ``solution``
are left out, and so are all outputs. nbgrader does much the same and brings a database and a server with it; sixty
lines are enough here, and the sentence per stub is our own.
"""

from __future__ import annotations

import copy
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

LABS = Path(__file__).resolve().parent
MASTERS = LABS / "masters"
BEGIN = re.compile(r"^(\s*)# solution: (.+)$")
END = re.compile(r"^\s*# end$")
STUB_LINE = re.compile(r"^\s*raise NotImplementedError\(")


def stub(code: str) -> str:
    """The code of a student's cell: each marked solution replaced by a line that raises its sentence.

    Raises:
        ValueError: if a marker has no partner, or a solution is empty.
    """
    lines: list[str] = []
    begun, inside = "", 0
    for line in code.splitlines():
        if begin := BEGIN.match(line):
            _require(not begun, f"a solution begins inside another: {line.strip()}")
            begun, inside = line, 0
            lines.append(f"{begin[1]}raise NotImplementedError({_quoted(begin[2])})")
        elif END.match(line):
            _require(
                begun and inside, f"'# end' ends no solution, or an empty one{f': {begun.strip()}' if begun else ''}"
            )
            begun = ""
        elif begun:
            inside += 1
        else:
            lines.append(line)
    _require(not begun, f"a solution has no '# end': {begun.strip()}")
    return "\n".join(lines)


def student_copy(master: NotebookNode) -> NotebookNode:
    """The notebook that a student gets; the master is left as it is.

    Raises:
        ValueError: if a marker is wrong, or a stub would show a line that its solution does not have.
    """
    student = copy.deepcopy(master)
    student.cells = [cell for cell in student.cells if "solution" not in cell.metadata.get("tags", [])]
    for cell in student.cells:
        if cell.cell_type == "code":
            solved, cell.source = cell.source, stub(cell.source)
            _require_lines_of(cell.source, solved)
            cell.outputs, cell.execution_count = [], None
    return student


def stubs(notebook: NotebookNode) -> list[str]:
    """The sentences of the stubs of a master, in order."""
    lines = (line for cell in notebook.cells if cell.cell_type == "code" for line in cell.source.splitlines())
    return [found[2] for line in lines if (found := BEGIN.match(line))]


def to_text(notebook: NotebookNode) -> str:
    """The notebook as Jupyter writes it."""
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def masters() -> list[Path]:
    """All masters, in the order of their names."""
    return sorted(MASTERS.glob("lab_*.ipynb"))


def main() -> None:
    """Write the copy of each master beside the folder of the masters."""
    for path in masters():
        text = to_text(student_copy(nbformat.read(path, as_version=4)))
        target = LABS / path.name
        changed = not target.exists() or target.read_text(encoding="utf-8") != text
        if changed:
            target.write_text(text, encoding="utf-8", newline="\n")
        print(f"{target.name}: {'written' if changed else 'unchanged'}")


def _require_lines_of(stubbed: str, solved: str) -> None:
    """Every line that a student sees, but for those that raise, stands in the solution, in the same order."""
    remaining = iter(solved.splitlines())
    for line in stubbed.splitlines():
        _require(STUB_LINE.match(line) or line in remaining, f"the stub has a line that its solution has not: {line!r}")


def _quoted(sentence: str) -> str:
    return '"' + sentence.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _require(condition: object, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


if __name__ == "__main__":
    sys.exit(main())

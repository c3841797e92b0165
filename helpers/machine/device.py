"""The device that a measurement runs on: how to wait for it, how fast it copies, and what stands beside its figures.

A GPU works behind the program's back: a call returns before its work is done. Who takes the time without waiting for
the device measures how fast work is handed over, not how fast it is done.
"""

from __future__ import annotations

import gc
import timeit
from collections.abc import Callable
from typing import Any

import psutil
import torch

from helpers.measuring.costs import median_seconds

COPY_BYTES = {"cuda": 2**30, "cpu": 2**26}  # far more than any processor keeps close by
# PyTorch has a class for a GPU that is out of memory; for a CPU it has these words.
SAID_BY_CPU = "DefaultCPUAllocator: can't allocate memory"
MOST_PARTS = 8  # named of what a device was busy with
COPIES = 8  # in a row, so that waiting for them costs little


def is_cuda(device: str | torch.device) -> bool:
    """True for an NVIDIA GPU, by whatever number."""
    return torch.device(device).type == "cuda"


def synchronize(device: str | torch.device) -> None:
    """Wait until the device has done all it was asked to; a CPU always has."""
    if is_cuda(device):
        torch.cuda.synchronize(device)


def seconds_of(device: str | torch.device, run: Callable[[], Any]) -> float:
    """Seconds of one call, from an idle device to an idle device."""
    synchronize(device)
    return timeit.timeit(lambda: (run(), synchronize(device)), number=1)


def median_seconds_on(device: str | torch.device, run: Callable[[], Any], repeats: int = 5) -> float:
    """Median seconds of several calls that each end with an idle device; one more goes before, to warm up."""
    seconds_of(device, run)
    return median_seconds(lambda: (run(), synchronize(device)), repeats)


def copy_bandwidth(device: str | torch.device) -> float:
    """Bytes per second of a plain copy, each byte counted twice: read, and written. The ceiling of our figures."""
    size = COPY_BYTES[torch.device(device).type]
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copy() -> None:
        for _ in range(COPIES):
            target.copy_(source)

    return 2 * size * COPIES / median_seconds_on(device, copy)


def release(device: str | torch.device) -> None:
    """Give memory that nothing refers to any more back to the driver, so that the next candidate finds it free."""
    gc.collect()
    if is_cuda(device):
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """True for the error that PyTorch raises when the device has no memory for one more tensor."""
    return isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and SAID_BY_CPU in str(error))


def free_bytes(device: str | torch.device, limit: int | None) -> int:
    """Bytes that can still be had, after ``release``; never more than ``limit``, which plays a smaller card."""
    release(device)
    free = free_memory(torch.device(device).type)
    return free if limit is None else min(free, limit)


def busiest(device: str | torch.device, run: Callable[[], Any]) -> dict[str, Any]:
    """Where the time of one call goes: what the device was busy with, by PyTorch's profiler.

    Returns:
        ``seconds``, the device's busy time in all (what is missing to the call's own time, it waited); and ``parts``,
        ``[name, seconds]`` of the kernels on a GPU, of the operations on a CPU, the longest first.
    """
    kind, counted = ("CUDA", "self_device_time_total") if is_cuda(device) else ("CPU", "self_cpu_time_total")
    activities = {getattr(torch.profiler.ProfilerActivity, name) for name in ("CPU", kind)}
    with torch.profiler.profile(activities=activities) as profiler:
        run()
        synchronize(device)
    # An operation's entry repeats the time of the kernels that it started: on a GPU only kernels are counted.
    events = [event for event in profiler.key_averages() if event.device_type.name == kind]
    parts = [[event.key, getattr(event, counted) / 1e6] for event in events if not event.is_user_annotation]
    longest = sorted((part for part in parts if part[1] > 0), key=lambda part: -part[1])
    return {"seconds": sum(seconds for _, seconds in longest), "parts": longest[:MOST_PARTS]}


def pick_device() -> str:
    """``cuda``, ``mps`` or ``cpu``, the first that this machine has."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def pick_dtype(device: str) -> torch.dtype:
    """A dtype the device computes natively: bfloat16 from compute capability 8.0 on, else float16; float32 on a CPU."""
    if device == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability() >= (8, 0) else torch.float16
    return torch.float16 if device == "mps" else torch.float32


def free_memory(device: str) -> int:
    """Bytes that a program can still get on the device; on a CPU or Apple chip, of main memory."""
    return torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available


def held_memory(device: str | torch.device) -> int:
    """Bytes that this process holds: resident in main memory, and, where ``device`` is a GPU, in tensors there."""
    on_gpu = torch.cuda.memory_allocated(device) if is_cuda(device) else 0
    return psutil.Process().memory_info().rss + on_gpu

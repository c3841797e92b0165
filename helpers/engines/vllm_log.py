"""What vLLM says of itself: the lines of its start, the first complaint in them, its counters under ``/metrics``."""

from __future__ import annotations

import re

from helpers.arithmetic.catalog import MiB
from helpers.engines.engine import Figures, KVRoom

_SIZE = re.compile(r"KV cache size: ([\d,]+) tokens, Maximum concurrency for ([\d,]+) tokens per request: ([\d.]+)x")
_MEMORY = re.compile(r"Explicitly set \(([\d.]+)/[\d.]+\) GiB for KV cache")
_STAMP = re.compile(r"^\(\S+ pid=\d+\) [A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d \[[\w.]+:\d+\] ")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_SAMPLE = re.compile(r"^(vllm:\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
# Lines that tell how far a start has come, in their order; for a bar.
STAGES = (
    "version",
    "Resolved architecture",
    "Initializing a V1 LLM engine",
    "OpenMP thread binding info",
    "Loading weights took",
    "KV cache size",
    "init engine",
    "Starting vLLM server",
)


def plain(log: str) -> str:
    """A log without the colours that it has where it believes that somebody looks, as in a notebook."""
    return _COLOUR.sub("", log)


def read_size(log: str) -> tuple[int, int, float] | None:
    """Tokens, longest sequence and concurrency as the line of the start says them; None before it has come."""
    match = _SIZE.search(log)
    return (int(match[1].replace(",", "")), int(match[2].replace(",", "")), float(match[3])) if match else None


def read_log(log: str, kv_bytes: int) -> Figures | None:
    """The figures in the log of a start with ``kv_bytes`` for the cache; None before it says its size."""
    size = read_size(log)
    if size is None:
        return None
    words = (_STAMP.sub("", line) for line in log.splitlines() if _SIZE.search(line))
    return Figures(KVRoom(size[0], 1, round(kv_bytes / MiB, 2)), None, None, None, tuple(words))


def stages_done(log: str) -> int:
    """How many of ``STAGES`` a start has behind it."""
    return sum(stage in log for stage in STAGES)


def first_complaint(log: str) -> str | None:
    """The first error raised in a log, which is the cause of those after it, without the advice that follows it."""
    lines = (_STAMP.sub("", line) for line in log.splitlines())
    found = (re.match(r"(?:[\w.]*Error|[\w.]+: error): (.+)", line) for line in lines)
    return next((match[1].split(" Try increasing")[0].strip() for match in found if match), None)


def read_metrics(said: str) -> dict[str, float]:
    """Counters and gauges by name, without what a histogram's buckets hold; of several with one name, their sum."""
    found: dict[str, float] = {}
    for name, _, value in _SAMPLE.findall(said):
        if not name.endswith(("_bucket", "_created")):
            found[name] = found.get(name, 0) + float(value)
    return found


def read_settings(said: str) -> dict[str, str]:
    """What the line ``vllm:cache_config_info`` says of the cache: block_size, num_gpu_blocks and more."""
    return next(
        (dict(_LABEL.findall(labels)) for name, labels, _ in _SAMPLE.findall(said) if "config_info" in name), {}
    )

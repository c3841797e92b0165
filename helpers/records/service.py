"""What was left of the service that died: its log, its memory, its requests' traces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from helpers.arithmetic.catalog import MiB
from helpers.measuring.trace import Trace
from helpers.records.measured import Measured, read

POOL_BYTES, BLOCK_SIZE = 6 * MiB, 16  # of the service's pool
REQUESTS, EVERY = 16, 14  # how many came that evening, and the steps between two of them
TRACE_COLUMNS = ("tokens_seen", "tokens_alive", "blocks_held", "bytes_held")


@dataclass(frozen=True)
class Evidence(Measured):
    """What was left.

    Attributes:
        log: the log, line by line; the last line is the error.
        process_bytes: resident memory of the process at five moments: ``imports``, ``weights``, ``pool``, ``ready``
            and ``died``.
        weights_bytes: bytes of the model's parameters.
        pool_bytes: bytes of the pool, reserved from the start.
        arrived: per request, the step in which it came.
        traces: per request, its run; pass i of it was in step ``arrived + i``. No seconds were kept.
    """

    log: list[str]
    process_bytes: dict[str, int]
    weights_bytes: int
    pool_bytes: int
    arrived: list[int]
    traces: list[Trace]


@cache
def load_evidence() -> Evidence:
    """What the evening on which it died has left."""
    facts = read("service")
    requests = facts.pop("requests")
    names = ("log", "process_bytes", "weights_bytes", "pool_bytes")
    found = {name: facts.pop(name) for name in names}
    return Evidence(facts, **found, arrived=[each["arrived"] for each in requests], traces=list(map(_trace, requests)))


def _trace(request: dict[str, Any]) -> Trace:
    columns = {name: request[name] for name in TRACE_COLUMNS}
    return Trace(request["prompt_length"], [request["tokens"]], **columns)

"""What was left of the service that died, read back: log, memory, its requests' traces. No torch is needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from helpers.arithmetic.catalog import MiB
from helpers.measuring.trace import Trace
from helpers.records.measured import RECORDS

DATA = RECORDS / "service.json"  # written by ``python -m helpers.experiments.service``
POOL_BYTES, BLOCK_SIZE = 6 * MiB, 16  # of the service's pool
REQUESTS, EVERY = 16, 14  # how many came that evening, and the steps between two of them
TRACE_COLUMNS = ("tokens_seen", "tokens_alive", "blocks_held", "bytes_held")


@dataclass(frozen=True)
class Evidence:
    """What was left.

    Attributes:
        facts: how the run was made: command, date, machine, settings.
        log: the log, line by line; the last line is the error.
        process_bytes: resident memory of the process at five moments: ``imports``, ``weights``, ``pool``, ``ready``
            and ``died``.
        weights_bytes: bytes of the model's parameters.
        pool_bytes: bytes of the pool, reserved from the start.
        arrived: per request, the step in which it came.
        traces: per request, its run; pass i of it was in step ``arrived + i``. No seconds were kept.
    """

    facts: dict[str, Any]
    log: list[str]
    process_bytes: dict[str, int]
    weights_bytes: int
    pool_bytes: int
    arrived: list[int]
    traces: list[Trace]

    @property
    def made_on(self) -> str:
        """Machine, versions and date, for a caption."""
        machine = self.facts["machine"]
        return f"{machine['cpu']}, torch {machine['torch']}, {self.facts['date']}"


@cache
def load_evidence(path: Path = DATA) -> Evidence:
    """Read what ``python -m helpers.experiments.service`` saved."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    requests = facts.pop("requests")
    names = ("log", "process_bytes", "weights_bytes", "pool_bytes")
    found = {name: facts.pop(name) for name in names}
    return Evidence(facts, **found, arrived=[each["arrived"] for each in requests], traces=list(map(_trace, requests)))


def _trace(request: dict[str, Any]) -> Trace:
    columns = {name: request[name] for name in TRACE_COLUMNS}
    return Trace(request["prompt_length"], [request["tokens"]], **columns)

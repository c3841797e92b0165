"""transformers' own paged engine and the course's cache on the same requests: blocks taken, given back, and when."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from helpers.records.measured import Measured, read

RUNS = ("course", "transformers", "transformers_sharing")


@dataclass(frozen=True)
class TransformersPaged(Measured):
    """The saved runs.

    Attributes:
        requests: by name, tokens of the prompt and of the answer, in the order in which they were asked.
        runs: by ``RUNS`` and request: blocks after the prompt and at the end, the table then, and after the end how
            many blocks are free and how many are remembered.
    """

    requests: dict[str, dict[str, int]]
    runs: dict[str, dict[str, dict[str, Any]]]


@cache
def load_transformers_paged() -> TransformersPaged:
    """The saved runs of both."""
    facts = read("transformers_paged")
    requests = {each.pop("request"): each for each in facts.pop("requests")}
    runs = {name: {each.pop("request"): each for each in facts.pop(name)} for name in RUNS}
    return TransformersPaged(facts, requests, runs)

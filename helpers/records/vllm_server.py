"""What vLLM's server said of its cache, for lab 7 where there is no vLLM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from zlib import crc32

from helpers.records.measured import Measured, read

# Counters and gauges that are kept, without what the names begin with. No time and no token is.
COUNTERS = (
    "kv_cache_usage_perc",
    "num_requests_running",
    "num_requests_waiting",
    "num_preemptions_total",
    "prefix_cache_queries_total",
    "prefix_cache_hits_total",
    "kv_block_lifetime_seconds_count",
)
SETTINGS = ("block_size", "num_gpu_blocks", "kv_cache_size_tokens", "kv_cache_max_concurrency")


@dataclass(frozen=True)
class SavedRound:
    """Prompts that were answered at the same time.

    Attributes:
        key: ``key_of`` the prompts and ``max_tokens``.
        watched: the fields of ``helpers.engines.watched.Watched``; empty where the server refused.
        counted: by how much each of ``COUNTERS`` grew.
        refused: the server's words, where it refused.
    """

    key: str
    watched: dict[str, tuple[float, ...]]
    counted: dict[str, float]
    refused: str | None


@dataclass(frozen=True)
class SavedStart:
    """A start of the server.

    Attributes:
        kv_mib, block, longest: what it was started with, as for ``helpers.engines.VLLM``.
        tokens: that its own line says there is room for.
        words: its own lines on its cache; none where it did not say its size.
        settings: of ``SETTINGS``; empty where it did not run.
        refused: in its words why it did not start, where it did not.
        rounds: what it was asked, in order.
    """

    kv_mib: int
    block: int
    longest: int
    tokens: int | None
    words: tuple[str, ...]
    settings: dict[str, str]
    refused: str | None
    rounds: tuple[SavedRound, ...]


@dataclass(frozen=True)
class VLLMServer(Measured):
    """All starts, by MiB, block and longest sequence."""

    starts: dict[tuple[int, int, int], SavedStart]

    @property
    def version(self) -> str:
        """Of vLLM."""
        return self.facts["machine"]["vllm"]


@cache
def load_vllm_server() -> VLLMServer:
    """The saved starts."""
    facts = read("vllm_server")
    starts = [_start(each) for each in facts.pop("starts")]
    return VLLMServer(facts, {(each.kv_mib, each.block, each.longest): each for each in starts})


def key_of(prompts: Sequence[Sequence[int]], max_tokens: int) -> str:
    """A short name of prompts and the length of their answers."""
    return f"{crc32(repr([list(prompt) for prompt in prompts]).encode()):08x} {max_tokens}"


def _start(saved: dict[str, Any]) -> SavedStart:
    rounds = tuple(
        SavedRound(**each | {"watched": {name: tuple(of) for name, of in each["watched"].items()}})
        for each in saved["rounds"]
    )
    return SavedStart(**saved | {"rounds": rounds, "words": tuple(saved["words"])})

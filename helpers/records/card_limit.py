"""A thought that is watched until memory is out: a cache that grows, one of blocks, one that evicts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from helpers.arithmetic.footprint import KVShape, max_tokens
from helpers.records.measured import Measured, read

GROWING, BLOCKS, EVICTING = "full attention, a cache that grows", "full attention, blocks", "TriAttention, blocks"


@dataclass(frozen=True)
class Run:
    """One of the runs under the cap.

    Attributes:
        name: what kept the rows.
        error: what was said when memory was out; None if the thought was completed.
        tokens: seen when it ended.
        bytes_held: the most K and V that it held.
        blocks_freed: blocks that eviction gave back.
        curve: tokens seen and bytes of K and V held, pass by pass.
    """

    name: str
    error: str | None
    tokens: int
    bytes_held: int
    blocks_freed: int
    curve: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class CardLimit(Measured):
    """The runs under one cap, by name."""

    runs: dict[str, Run]

    @property
    def plan(self) -> dict[str, Any]:
        """What was watched: ``cap`` and ``weights`` in bytes, ``tokens``, ``budget``, ``interval``, ``stride``, ..."""
        return self.facts["plan"]

    @property
    def room(self) -> int:
        """Bytes that the cap leaves beside the weights."""
        return self.plan["cap"] - self.plan["weights"]

    @property
    def shape(self) -> KVShape:
        """The shape of the cache."""
        return KVShape.from_config(self.plan["config"])

    @property
    def predicted(self) -> int:
        """Tokens that fit, as lesson 01 works them out: nothing but weights and rows needs memory."""
        return int(max_tokens(self.room, self.shape))

    @property
    def limited(self) -> str:
        """Who had only so much memory, in words."""
        return "PyTorch's share of the GPU" if self.on_gpu else "the address space of the process"


def read_card_limit(report: dict[str, Any]) -> CardLimit:
    """The runs of a report of ``helpers.experiments.card_limit``."""
    facts = {name: value for name, value in report.items() if name != "lines"}
    return CardLimit(facts, {line["name"]: _run(line) for line in report["lines"]})


@cache
def load_card_limit() -> CardLimit:
    """The recorded runs."""
    return read_card_limit(read("card_limit"))


def _run(line: dict[str, Any]) -> Run:
    curve = tuple((seen, held) for seen, held in line["curve"])
    return Run(line["name"], line["error"], line["tokens"], line["bytes_held"], line["blocks_freed"], curve)

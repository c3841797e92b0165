"""Rows that KVPress's presses keep of a text, bytes of the tensors and loss after, once and while decoding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.measuring.press_run import PressRun
from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class KVPressRows(Measured):
    """The runs by name, as ``QUESTIONS`` of the experiment has them."""

    runs: dict[str, PressRun]


@cache
def load_kvpress_rows() -> KVPressRows:
    """The saved runs."""
    facts = read("kvpress_rows")
    return KVPressRows(facts, {run.pop("name"): PressRun.from_json(run) for run in facts.pop("runs")})

"""The saved answers of the reasoner in llama.cpp, by format of its KV cache, read back. No torch is needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from helpers.measuring.comparisons import Answers
from helpers.records.measured import RECORDS

LLAMA_CPP_DATA = RECORDS / "llama_cpp_formats.json"  # written by ``python -m helpers.experiments.llama_cpp_formats``


@dataclass(frozen=True)
class EnginePair(Answers):
    """llama.cpp's answers with K in one format and V in another, on the first worksheets of ``load_table``'s.

    Attributes:
        k, v: names of the two formats.
        right: per worksheet, whether every token of thought and answer was right, as in the table.
        answered: worksheets whose final answer was right.
        kv_mib: MiB of its cache, as llama.cpp printed them.
    """

    k: str
    v: str
    right: tuple[bool, ...]
    answered: int
    kv_mib: float


@cache
def load_llama_cpp_formats(path: Path = LLAMA_CPP_DATA) -> tuple[dict[str, Any], dict[tuple[str, str], EnginePair]]:
    """Read the saved answers: how they were made, and the pairs by format of K and of V."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    pairs = [EnginePair(**line | {"right": tuple(d == "1" for d in line["right"])}) for line in facts.pop("pairs")]
    return facts, {(pair.k, pair.v): pair for pair in pairs}

"""Lesson 11: the log of a lighthouse to ask about, a line with its numbers covered, and checks of the exercises."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from helpers.arithmetic.catalog import MiB
from helpers.arithmetic.footprint import KVShape
from helpers.cache.block_pool import blocks_for
from helpers.engines.engine import Figures
from helpers.teaching.attempts import need
from helpers.teaching.checks import Number, in_one_line

PAGE = (
    "It is {clock}. You keep the log of a lighthouse. At dawn the wind came from the west and the sea was calm. "
    "Two fishing boats left the harbour, one red and one blue. Before noon a seal lay on the rocks below the tower. "
    "The oil was low, so Mara rowed to the village and came back with three cans. In the afternoon fog rolled in, "
    "and the horn was sounded every two minutes. The blue boat came home late. The red one had lost its net. "
    "At dusk the lamp was lit, and the gulls were quiet. "
)
NEXT_PAGE = (
    "On the second day it rained. Mara painted the door green, and the post brought a letter from the harbour master. "
    "He asked for a list of all ships that had passed since spring. There were forty of them, and only one had not "
    "answered the signal. In the evening the red boat came back with a new net, and everybody had fish. "
)


def chat(text: str) -> list[dict[str, str]]:
    """A text as the first message of a conversation."""
    return [{"role": "user", "content": text}]


def cache_line(figures: Figures) -> str:
    """Of an engine's own lines, llama.cpp's on its KV cache."""
    return next(line for line in figures.words if "llama_kv_cache: size" in line)


def cover(figures: Figures) -> None:
    """Print that line with the numbers covered that are to be guessed."""
    print(re.sub(r"[\d.]+(?= MiB| cells)", lambda number: "▒" * len(number[0]), cache_line(figures)))


def few(readings: Sequence[Any], count: int = 8) -> list[Any]:
    """So many of the readings, spread evenly, the first and the last among them."""
    last = len(readings) - 1
    return [readings[place] for place in sorted({round(i * last / (count - 1)) for i in range(count)})]


# --- Exercises -------------------------------------------------------------------------------------------------------
_SMOLLM2 = KVShape(n_layers=30, n_kv_heads=3, head_dim=64)
_MIXED = ("q8_0", "q4_0")

# llama.cpp's line for a context of 5,000, K in q8_0 and V in q4_0: 5,120 cells.
check_line = Number(_SMOLLM2.bytes(5_120, kv_format=_MIXED) / MiB, "MiB") | {
    "that is for 5,000 cells; they come in steps of 256.": _SMOLLM2.bytes(5_000, kv_format=_MIXED) / MiB,
    "that is 16 bits for both, as in the first line.": _SMOLLM2.bytes(5_120) / MiB,
    "that is q8_0 for both; V is in q4_0.": _SMOLLM2.bytes(5_120, kv_format="q8_0") / MiB,
    "that is 8 and 4 bits; the scales take half a bit more.": _SMOLLM2.bytes(5_120) / MiB * 12 / 32,
}

# Chats of 1,500 tokens, the first 1,000 alike, in 728 blocks of 128: seven whole blocks are shared.
_EACH = blocks_for(1_500, 128)
_SHARED = 1_000 // 128
check_shared_chats = Number((728 - _SHARED) // (_EACH - _SHARED), "chats") | {
    "that is without sharing.": 728 // _EACH,
    "the eighth block is not full when the beginning ends, and only full blocks are shared.": (728 - 8) // (_EACH - 8),
    "that counts tokens; each chat holds whole blocks.": (728 * 128 - 1_000) // 500,
}

_SHORT = {"A": "blocks", "B": "places", "C": "nothing"}
_WHY = {
    "A": "all blocks are in use, and requests are sent away again and again.",
    "B": "four blocks in five are free, so it is not memory that keeps requests waiting.",
    "C": "nobody waits. A card that is full was filled at the start.",
}


@in_one_line
def check_servers(answer: Any) -> str:
    """Print whether what each server is short of is right.

    Args:
        answer: by "A", "B" and "C", one of "blocks", "places" and "nothing"; ``...`` while it is not written yet.
    """
    need(answer is not ..., "replace the three dots by a dict with 'A', 'B' and 'C'.")
    need(isinstance(answer, dict) and set(answer) == set(_SHORT), "the answer is a dict with 'A', 'B' and 'C'.")
    words = sorted(set(_SHORT.values()))
    for name, short in answer.items():
        need(short in words, f"of {name} you say {short!r}; it may be {', '.join(words)}.")
        need(short == _SHORT[name], f"look at {name} again: {_WHY[name]}")
    return "A is short of blocks, B of places, C of nothing."

"""A conversation of SmolLM2 as a picture needs it: its words, who attends to whom, which rows go, what comes back."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class Garage(Measured):
    """The recording.

    Attributes:
        tokens: the text of each token; the first ``prompt_length`` are the question's, in the chat template.
        n_layers, n_heads, n_kv_heads, head_dim, block_size: the model's sizes, and slots per block.
        events: ``(tokens read, "take", block)``, in the order of the run that told the story.
        ranks: by policy and selection mode, uint8 ``[n_layers, n_kv_heads, tokens]``, 1 in place of layers or heads
            that choose together. A row is kept if its rank is below the number of rows kept.
        links: by layer, uint8 ``[n_heads, tokens, 3, 2]``: of each token the three others that it attends to most,
            strongest first, and the shares of its attention in whole per cents. One of 0 per cent is none.
        shares: of rows evicted, at which frames were recorded.
        frames: by policy, mode and compaction, a frame per share: what ``Parking.after`` says, without its rows.
    """

    tokens: tuple[str, ...]
    prompt_length: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    block_size: int
    events: list[tuple[int, str, int]]
    ranks: dict[str, dict[str, np.ndarray]]
    links: dict[int, np.ndarray]
    shares: tuple[float, ...]
    frames: dict[tuple[str, str, bool], list[dict[str, Any]]]


def packed(numbers: np.ndarray) -> str:
    """Whole numbers from 0 to 255 as base64."""
    return base64.b64encode(np.ascontiguousarray(numbers, dtype=np.uint8).tobytes()).decode("ascii")


def unpacked(text: str, *shape: int) -> np.ndarray:
    """What ``packed`` made, in its shape; -1 for a size that follows from the others."""
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(shape)


@cache
def load_garage() -> Garage:
    """The recorded conversation."""
    facts = read("garage")
    sizes = {name: facts[name] for name in ("prompt_length", "n_layers", "n_heads", "n_kv_heads", "head_dim")}
    tokens, n_heads = tuple(facts.pop("tokens")), facts["n_heads"]
    ranks = {
        each["policy"]: {
            mode: unpacked(text, *facts["ranks_shape"][mode], len(tokens)) for mode, text in each["ranks"].items()
        }
        for each in facts.pop("policies")
    }
    links = {each["layer"]: unpacked(each["links"], n_heads, len(tokens), -1, 2) for each in facts.pop("attention")}
    stops = facts.pop("stops")
    return Garage(
        facts,
        tokens,
        **sizes,
        block_size=facts["block_size"],
        events=[tuple(event) for event in facts.pop("events")],
        ranks=ranks,
        links=links,
        shares=tuple(stop["share"] for stop in stops),
        frames=_frames(facts.pop("frames"), facts.pop("cells"), stops),
    )


def _frames(
    frames: list[dict[str, Any]], cells: list[dict[str, Any]], stops: list[dict[str, Any]]
) -> dict[tuple[str, str, bool], list[dict[str, Any]]]:
    """The frame of each cell and stop: what follows from the share alone, and which of the frames it is."""
    of_stop = [{name: value for name, value in stop.items() if name != "share"} for stop in stops]
    return {
        (cell["policy"], cell["mode"], cell["compact"]): [
            stop | frames[i] for stop, i in zip(of_stop, cell["frames"], strict=True)
        ]
        for cell in cells
    }

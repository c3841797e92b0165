"""The mean query of two heads, their keys, and TriAttention's scores of them at every distance ahead."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from helpers.records.measured import Measured, read

SHEET_LINES, SHEET_SEED = 8, 1  # the worksheet that the reasoner read


class Head(NamedTuple):
    """One head, and the keys of a short text. Complex numbers are pairs, tokens go from the first to the last.

    Attributes:
        name: whose head it is.
        layer, head: which it is.
        R: ``|E q| / E|q|`` of the two bands that are drawn.
        tokens: the text.
        position: of its last token.
        omega: radians per token, by band.
        q_mean: E[q] by band.
        q_abs_mean: E|q| by band.
        keys: as cached, ``[tokens][head_dim]``; band f is ``x[f]`` with ``x[f + bands]``.
        bands: the strongest quick band, and the strongest slow one.
        dots: real queries in those bands, turned back to position 0.
        scores: by distance and token, norm term included.
        mean_score: over all of TriAttention's distances.
        norm: the norm term by token.
    """

    name: str
    layer: int
    head: int
    R: list[float]
    tokens: list[str]
    position: int
    omega: list[float]
    q_mean: list[list[float]]
    q_abs_mean: list[float]
    keys: list[list[float]]
    bands: list[int]
    dots: list[list[list[float]]]
    scores: list[list[float]]
    mean_score: list[float]
    norm: list[float]


class Grid(NamedTuple):
    """The logits of one head over a text, ``[tokens][tokens]``, divided by sqrt(head_dim), without a mask."""

    layer: int
    head: int
    tokens: list[str]
    logits: list[list[float]]


@dataclass(frozen=True)
class Compass(Measured):
    """Distances ahead in tokens, the heads, and the grid of another head of the first model."""

    distances: tuple[int, ...]
    heads: tuple[Head, ...]
    grid: Grid


@cache
def load_compass() -> Compass:
    """The saved numbers."""
    facts = read("compass")
    distances, heads = tuple(facts.pop("distances")), tuple(Head(**head) for head in facts.pop("heads"))
    return Compass(facts, distances, heads, Grid(**facts.pop("grid")))

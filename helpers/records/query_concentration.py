"""R of SmolLM2's queries over five kinds of text, and how well their means predict logits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from helpers.records.measured import Measured, read

Heads = tuple[tuple[float, ...], ...]  # a figure per query head, by layer
OF_HEADS = ("two_bands", "all_bands", "own", "others", "single", "keys")


class Concentration(NamedTuple):
    """R of all heads of a model over a text: its mean, and the share of heads with more than 0.95."""

    mean: float
    above: float


class Cosine(NamedTuple):
    """How far the centres of queries point the same way in two texts: mean over heads, and 5% of heads are below."""

    mean: float
    low: float


@dataclass(frozen=True)
class Curves:
    """Logits over distance in one head, divided by sqrt(head_dim).

    Attributes:
        name: ``best``, ``median`` or ``worst``, by the correlation of ``measured`` and ``own``.
        layer, head: which it is.
        measured: the mean of real logits at each distance.
        own, others: the series of the means of the same text, and of three others.
    """

    name: str
    layer: int
    head: int
    measured: tuple[float, ...]
    own: tuple[float, ...]
    others: tuple[float, ...]


@dataclass(frozen=True)
class QueryConcentration(Measured):
    """All that was measured.

    Attributes:
        found: R by model (``smollm2``, ``reasoner``), text (``all`` is all five together), what makes a band strong
            (``q``: E|q|; ``qk``: E|q| E|k|, as the paper has it), and the number of strongest bands.
        cosines: by pair of texts, in the order of ``KINDS``.
        heads: per query head of SmolLM2 R of all five texts over two bands (by E|q|) and over all, and correlations of
            logits in English: of the mean logit over distance with the series of English's ``own`` means and of
            ``others``'; of ``single`` queries' logits with the own series; over ``keys``, of what the next 256 queries
            give a key with what the others' mean query says.
        distances: of the curves.
        curves: of three heads.
    """

    found: dict[tuple[str, str, str, int], Concentration]
    cosines: dict[tuple[str, str], Cosine]
    heads: dict[str, Heads]
    distances: tuple[int, ...]
    curves: tuple[Curves, ...]


@cache
def load_query_concentration() -> QueryConcentration:
    """The saved figures."""
    facts = read("query_concentration")
    found = {
        (line["model"], line["text"], line["by"], line["bands"]): Concentration(line["mean"], line["above"])
        for line in facts.pop("R")
    }
    cosines = {(line["one"], line["other"]): Cosine(line["mean"], line["low"]) for line in facts.pop("cosines")}
    heads = {name: tuple(map(tuple, facts.pop(name))) for name in OF_HEADS}
    distances = tuple(facts.pop("distances"))
    curves = [
        Curves(**{name: tuple(value) if isinstance(value, list) else value for name, value in line.items()})
        for line in facts.pop("series")
    ]
    return QueryConcentration(facts, found, cosines, heads, distances, tuple(curves))

"""Pictures of what heads ask, with their captions: two heads' queries, needles that turn, logits over distance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from helpers.models.worksheets import make_worksheets
from helpers.plots import needles, queries
from helpers.records.compass import SHEET_LINES, SHEET_SEED, Head, load_compass
from helpers.records.query_concentration import load_query_concentration
from helpers.widgets.page import Frame


def two_heads() -> Frame:
    """Queries of one head of SmolLM2 and of one of the reasoner, side by side, each in its strongest quick band."""
    record, alike = load_compass(), load_query_concentration()
    smollm2, reasoner = record.heads
    all_heads = alike.found["smollm2", "english", "q", 2].mean, alike.found["reasoner", "worksheets", "q", 2].mean
    panels = [
        needles.Cloud(
            _dots(smollm2),
            ["a question"] * len(smollm2.dots[0]),
            f"SmolLM2: this head asks the same each time\nR = {smollm2.R[0]:.3f}, mean of all heads {all_heads[0]:.3f}",
        ),
        needles.Cloud(
            _dots(reasoner),
            _kinds(len(reasoner.dots[0])),
            f"Reasoner: this head asks many things\nR = {reasoner.R[0]:.3f}, mean of all heads {all_heads[1]:.3f}",
        ),
    ]
    caption = (
        f"Figure: two round cards, two numbers of each question. Left, {len(smollm2.dots[0])} questions of SmolLM2 "
        f"(layer {smollm2.layer}, head {smollm2.head}) on English: all but the first token's sit in one heap, and the "
        f"needle of their mean ends in it. Right, {len(reasoner.dots[0])} of the reasoner (layer {reasoner.layer}, "
        f"head {reasoner.head}) on a worksheet: digits ask to one side, signs all round, and the needle is short. "
        f"{record.made_on}."
    )
    return needles.clouds(panels), caption


def turning(degrees: float, pairs: Sequence[tuple[int, int]]) -> Frame:
    """A key and a query that both began on the right, at pairs of positions, in a band of so many degrees a token."""
    turn = math.radians(degrees)
    drawn = [needles.Pair(turn * key, turn * query, f"key at {key}, query at {query}") for key, query in pairs]
    apart = pairs[0][1] - pairs[0][0]
    caption = (
        f"Figure: {len(pairs)} compasses, a band that turns {degrees:g}° a token. The red mark is the start. The key's "
        f"needle is orange with a square end, the query's blue with a round one, and an arc says how far each has come "
        f"(whole turns left out). They are {apart} tokens apart each time, and the angle between them is the same."
    )
    return needles.turned(drawn), caption


def logits(reasoner: Mapping[str, Any]) -> Frame:
    """Measured mean logits and the series over distance, in the median head of SmolLM2 and in that of the reasoner.

    Args:
        reasoner: as ``helpers.experiments.query_concentration.on_worksheets`` gives it.
    """
    record = load_query_concentration()
    [smollm2] = [curves for curves in record.curves if curves.name == "median"]
    [other] = [curves for curves in reasoner["series"] if curves["name"] == "median"]
    panels = [
        _panel("SmolLM2", smollm2.layer, smollm2.head, smollm2.measured, smollm2.others),
        _panel("Reasoner", other["layer"], other["head"], other["measured"], other["others"]),
    ]
    caption = (
        "Figure: two charts, the logit that a key gets on average, over its distance from the query (logarithmic). "
        "Dots are measured, the line is the series from mean queries and mean keys of other texts. Of all heads by "
        "how well the series fits, the one in the middle: in SmolLM2 the line runs with the dots, in the reasoner the "
        f"dots jump about it. SmolLM2 on English, saved on {record.made_on}; the reasoner on worksheets, now."
    )
    return queries.predicted_logits([record.distances, reasoner["distances"]], panels), caption


def _dots(head: Head) -> np.ndarray:
    return np.array([complex(*dot) for dot in head.dots[0]])


def _kinds(count: int) -> list[str]:
    """What the first tokens of the record's worksheet are, the sign that begins every text among them."""
    sheet = make_worksheets(1, SHEET_LINES, SHEET_SEED)[0]
    words = ["<bos>", *(sheet.prompt + sheet.thought).split()][:count]
    is_name = [word.isalpha() and len(word) == 1 for word in words]
    return [
        "of a digit" if word.isdigit() else "of a name" if name else "of a sign"
        for word, name in zip(words, is_name, strict=True)
    ]


def _panel(name: str, layer: int, head: int, measured: Sequence[float], series: Sequence[float]) -> queries.Prediction:
    r = float(np.corrcoef(measured, series)[0, 1])
    return queries.Prediction(measured, series, f"{name}, layer {layer}, head {head}: correlation {r:.2f}")

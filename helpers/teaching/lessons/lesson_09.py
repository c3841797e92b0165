"""Checks of the exercises of lesson 09: the right answer, and the mistakes that people make on the way."""

from __future__ import annotations

import math
from typing import Any

import torch

from helpers.cache.block_pool import blocks_for
from helpers.decoding.judged import Exam
from helpers.eviction import Compressor, KeyNorm, Policy
from helpers.models.loading import load_reasoner
from helpers.models.worksheets import make_worksheets
from helpers.teaching.attempts import Complaint, need
from helpers.teaching.checks import Number, in_one_line

N_SHEETS, N_LINES, SEED = 8, 40, 3

# A band of 45 degrees per token: arrows of length 2 at position 3 and 3 at position 7, both to the right.
check_turned_key = Number(2 * 3 * math.cos(math.radians(45 * (7 - 3))), "units") | {
    "that is the product before turning; at position 3 and position 7 the arrows point elsewhere.": 6,
    "the arrows are 2 and 3 long; the product has both lengths in it.": -1,
    "only the query is turned there; the key was turned at its own position.": 6 * math.cos(math.radians(45 * 7)),
    "only the key is turned there.": 6 * math.cos(math.radians(45 * 3)),
    "the angle between them is that of the difference of positions.": round(6 * math.cos(math.radians(45 * 10)), 9),
    "that is 5 times; lengths are multiplied, not added.": -5,
    "180 is the angle between them; the product is the lengths times its cosine.": 180,
}

# Floors of 16 right after a compression: prompt 100, budget 1,000, interval 128.
check_blocks_after = Number(blocks_for(1_100, 16), "floors") | {
    "the last floor is not full, and it is held all the same: round up.": 1_100 // 16,
    "the prompt is kept on top of the budget.": blocks_for(1_000, 16),
    "that is right before it.": blocks_for(1_228, 16),
    "those are rows; a floor has room for 16.": 1_100,
    "prompt and thought follow each other without a gap: round up once.": blocks_for(100, 16) + blocks_for(1_000, 16),
}


@in_one_line
def check_long_keys(answer: Any) -> str:
    """A policy that scores a row by the length of its key; if it does, it is judged on worksheets beside KeyNorm."""
    _require_long_keys(answer)
    own, mirrored = judge_policy(answer), judge_policy(KeyNorm())
    return (
        f"the longest key scores highest. At half the thought, one shared set, it gets {own} of {N_SHEETS} "
        f"worksheets right; KeyNorm, its mirror image, gets {mirrored}."
    )


def judge_policy(policy: Policy, share: float = 0.5, selection: str = "shared") -> int:
    """How many of ``N_SHEETS`` worksheets come out right, from the first token to the last, under a policy."""
    exam = Exam(load_reasoner(), make_worksheets(N_SHEETS, N_LINES, SEED))
    compressor = Compressor(policy, round(share * exam.decoded_length), interval=32, selection=selection)
    return sum(exam.judge(compressor).sheets_right)


def _require_long_keys(answer: Any) -> None:
    need(answer is not ..., "replace the three dots by your policy, such as LongKeys().")
    name = getattr(answer, "__name__", "")
    need(not isinstance(answer, type), f"{name} is the class; make one of it: {name}().")
    kind = type(answer).__name__
    need(isinstance(answer, Policy), f"that is a {kind}; a policy is a class that names Policy as its base.")
    keys = torch.randn(2, 4, 10, 32, generator=torch.manual_seed(0))
    try:
        scores = answer.score(0, keys, 9)
    except NotImplementedError:
        raise Complaint("it has no score yet: write def score(self, layer, keys, position).") from None
    _require_by_length(scores, keys.norm(dim=-1))


def _require_by_length(scores: Any, lengths: torch.Tensor) -> None:
    need(scores is not None, "score gives nothing back: is there a return?")
    shape = list(getattr(scores, "shape", []))
    need(
        isinstance(scores, torch.Tensor) and scores.shape == lengths.shape,
        f"score gives {shape}; one number per row is [batch, n_kv_heads, rows]: the length over the last dimension.",
    )
    shortest_first = torch.equal(scores.argsort(-1), lengths.argsort(-1, descending=True))
    need(
        not shortest_first,
        "the shortest key scores highest there: that is KeyNorm. Higher is better, so mind the sign.",
    )
    need(
        torch.equal(scores.argsort(-1), lengths.argsort(-1)),
        "a longer key does not always score higher there; the length is the root of the sum of squares.",
    )

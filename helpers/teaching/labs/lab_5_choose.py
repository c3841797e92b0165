"""Checks of lab 5, parts 4 and 5: rows chosen by hand and beside the course's, then the whole policy beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from helpers.eviction import Policy
from helpers.eviction.recorder import Recorder
from helpers.eviction.selection import SELECTIONS
from helpers.eviction.selection import group_scores as course_groups
from helpers.eviction.selection import select as course_select
from helpers.experiments.contest import Contest
from helpers.teaching.attempts import Complaint, attempt, need
from helpers.teaching.checks import check_stages, stage
from helpers.teaching.labs.lab_5_paper_score import as_tensor, complain_of, near
from helpers.teaching.labs.policy_checks import begin, require_policy, scores_of, some_keys

Function = Callable[..., Any]


# --- Part 4: choose --------------------------------------------------------------------------------------------------
TOY_GROUP = torch.tensor([[[0.0, 0, 4, 4], [10, 30, 10, 30]]])  # one sequence, two query heads, one KV head
TOY_LAYERS = torch.tensor([[6.0, 4, 3, 0], [0, 0, 5, 5.5]])[:, None, None]  # [n_layers, batch, n_kv_heads, rows]
TOY_HEADS = torch.cat([TOY_LAYERS, torch.tensor([[0.0, 0, 1, 2], [1, 8, 0, 2]])[:, None, None]], dim=2)
LESS = 3**0.5 / 2  # a z-score of 1, if the deviation is divided by rows - 1 = 3
WRONG_GROUPS = {
    "you took the maximum first: then the head with the larger numbers decides alone. First z-scores.": [-1, 1, -1, 1],
    "those are no z-scores: less the mean, over the standard deviation, head by head.": [10, 30, 10, 30],
    "you took the mean of the group; the largest counts.": [-1, 0, 0, 1],
    "the mean is off, but nothing has been divided: [0, 0, 4, 4] has the standard deviation 2.": [-2, 10, 2, 10],
    "torch's std divides by rows - 1 unless it is told correction=0; divide by rows.": [-LESS, LESS, LESS, LESS],
    "a z-score is over the rows of one head, not over the heads of one row: dim=-1.": [1, 1, 1, 1],
    "mean and deviation are of all heads together; each has its own.": [
        (x - TOY_GROUP.mean().item()) / TOY_GROUP.std(correction=0).item() for x in (10, 30, 10, 30)
    ],
}


def check_group_scores(group_scores: Function) -> None:
    """``group_scores(scores, n_kv_heads)``: z-scores per query head, then the largest of each group."""
    check_stages(
        stage("two query heads by hand", _group_by_hand, group_scores),
        stage("two KV heads", _two_groups, group_scores),
        stage("a head that scores all rows alike", _alike_group, group_scores),
        stage("random scores beside the course's", _groups_at_random, group_scores),
    )


def _group_by_hand(group_scores: Function) -> None:
    found = as_tensor(attempt("group_scores(scores, 1)", group_scores, TOY_GROUP.clone(), 1))
    size = list(found.shape)
    need(size != [1, 2, 4], "that is one line per query head; a KV head takes the largest of its group.")
    need(size == [1, 1, 4], f"scores [1, 2, 4] of one KV head become [1, 1, 4]; yours are {size}.")
    complain_of(found.flatten(), {message: torch.tensor(wrong) for message, wrong in WRONG_GROUPS.items()})
    need(
        near(found.flatten(), torch.tensor([-1.0, 1, 1, 1])),
        f"by hand it is [-1, 1, 1, 1]; yours is {_numbers(found)}.",
    )


def _two_groups(group_scores: Function) -> None:
    scores = torch.tensor([[[0.0, 0, 4, 4], [0, 4, 0, 4], [4, 0, 0, 4], [4, 0, 0, 4]]])
    found = as_tensor(attempt("group_scores(scores, 2)", group_scores, scores, 2))
    need(found.shape == (1, 2, 4), f"scores [1, 4, 4] of two KV heads become [1, 2, 4]; yours are {list(found.shape)}.")
    every_other = "you grouped heads 0 and 2, and 1 and 3; neighbours share a KV head: 0 and 1, 2 and 3."
    complain_of(found[0], {every_other: torch.tensor([[1.0, -1, 1, 1], [1, 1, -1, 1]])})
    right = torch.tensor([[-1.0, 1, 1, 1], [1, -1, -1, 1]])
    need(near(found[0], right), f"heads 0 and 1 are one group, 2 and 3 the other; yours is {_numbers(found)}.")


def _alike_group(group_scores: Function) -> None:
    found = attempt("group_scores of equal scores", group_scores, torch.full((1, 2, 4), 2.0), 1)
    hint = "divide by a tiny number at least, as clamp_min makes it."
    need(not found.isnan().any(), f"0 / 0 is NaN: rows that all score alike have the deviation 0; {hint}")
    need(near(found, torch.zeros(1, 1, 4)), "rows that score alike have the z-score 0.")


def _groups_at_random(group_scores: Function) -> None:
    for seed in range(3):
        scores = some_keys(8, seed)[..., 0].repeat(1, 1, 3) * torch.tensor([1, 10, 0.1, 3])[:, None] + 5
        found = attempt("group_scores(scores, 2)", group_scores, scores.clone(), 2)
        hint = "Does each head have its own mean and deviation?"
        need(near(found, course_groups(scores, 2)), f"random scores come out differently. {hint}")


def check_choose(choose: Function) -> None:
    """``choose(scores, count, mode)``: the best rows in ``per_head`` and ``union``, ascending, ties to the earlier."""
    check_stages(
        stage("per_head, two layers by hand", _choose_by_hand, choose),
        stage("per_head, rows that score alike", _choose_ties, choose),
        stage("per_head, random scores beside the course's", _choose_at_random, choose),
        stage("union, two heads of two layers by hand", _union_by_hand, choose),
        stage("union, random scores beside the course's", _union_at_random, choose),
    )


def _choose_by_hand(choose: Function) -> None:
    found = as_tensor(attempt('choose(scores, 2, "per_head")', choose, TOY_LAYERS.clone(), 2, "per_head"))
    size = list(found.shape)
    need(size != [2, 1, 1, 2], "every layer chooses for itself there; the mean over layers comes first.")
    need(size == [1, 1, 2], f"scores [2, 1, 1, 4] of two layers give places [1, 1, 2]; yours are {size}.")
    places = tuple(found.flatten().tolist())
    mistakes = {
        (2, 0): "they come best first; survivors keep their order, so sort the places.",
        (0, 1): "that is layer 0 alone; the mean over layers decides.",
        (2, 3): "that is layer 1 alone; the mean over layers decides.",
        (0, 3): "that is the maximum over layers; the mode per_head takes their mean.",
        (1, 3): "those score lowest; higher is better.",
        (4, 3): "those are the scores; their places are wanted.",
        (3, 4): "those are the scores; their places are wanted.",
    }
    otherwise = f"the means are 3, 2, 4 and 2.75, so places 0 and 2 stay, not {list(places)}."
    need(places == (0, 2), mistakes.get(places, otherwise))


def _choose_ties(choose: Function) -> None:
    for rows, count in ((4, 2), (600, 300)):
        scores = torch.ones(2, 1, 1, rows)
        scores[..., ::3] = 0
        found = attempt("choose of equal scores", choose, scores, count, "per_head")
        case = f"of {rows} rows that score 0, 1, 1, 0, 1, 1, ... the first {count} with a 1 stay"
        hint = "topk promises nothing about ties, sort(stable=True, descending=True) does."
        need(
            torch.equal(found, course_select(scores, count, "per_head")[0]),
            f"{case}: ties go to the earlier row. {hint}",
        )


def _choose_at_random(choose: Function) -> None:
    for seed in range(3):
        scores = some_keys(40, seed).permute(3, 0, 1, 2)[:3]  # [3, 2, 4, 40]
        found = attempt('choose(scores, 17, "per_head")', choose, scores.clone(), 17, "per_head")
        right = course_select(scores, 17, "per_head")[0]
        need(found.shape == right.shape, f"scores [3, 2, 4, 40] give places [2, 4, 17]; yours are {list(found.shape)}.")
        if not torch.equal(found, right):
            in_order = torch.equal(found.sort(dim=-1).values, right)
            raise Complaint(
                "the right places, but not in order: sort them."
                if in_order
                else "other places than the course's. Does each sequence and head choose by its own mean over layers?"
            )


def _union_by_hand(choose: Function) -> None:
    found = as_tensor(attempt('choose(scores, 2, "union")', choose, TOY_HEADS.clone(), 2, "union"))
    size = list(found.shape)
    need(
        size not in ([1, 2], [1, 1, 2], [2, 1, 2, 2]),
        f"the set is one, and each of the 2 KV heads is given it: [1, 2, 2], as expand makes it; yours are {size}.",
    )
    need(size == [1, 2, 2], f"scores [2, 1, 2, 4] of two heads in two layers give places [1, 2, 2]; yours are {size}.")
    places = found[0].tolist()
    mistakes = {
        ((0, 2), (1, 3)): "that is what per_head keeps: look at the mode.",
        ((0, 3), (1, 3)): "each head has a set of its own: the maximum is over the heads, too.",
        ((1, 2), (1, 2)): "that has a mean over layers in it; union takes the largest score of all layers and heads.",
        ((1, 3), (1, 3)): "that is the mean of all; union takes the largest.",
        ((1, 0), (1, 0)): "they come best first; survivors keep their order, so sort the places.",
    }
    otherwise = f"the largest scores are 6, 8, 5 and 5.5, so both heads keep places 0 and 1, not {places}."
    need(places == [[0, 1], [0, 1]], mistakes.get(tuple(map(tuple, places)), otherwise))


def _union_at_random(choose: Function) -> None:
    for seed in range(3):
        scores = some_keys(40, seed).permute(3, 0, 1, 2)[:3].round(decimals=1)  # [3, 2, 4, 40]; some score alike
        found = attempt('choose(scores, 17, "union")', choose, scores.clone(), 17, "union")
        right = course_select(scores, 17, "union")[0]
        need(found.shape == right.shape, f"scores [3, 2, 4, 40] give places [2, 4, 17]; yours are {list(found.shape)}.")
        hint = "Does each sequence have a set of its own, and do ties go to the earlier row?"
        need(torch.equal(found, right), f"other places than the course's. {hint}")


def check_places(places: Any, recorder: Recorder, position: int) -> None:
    """Places that a compression by hand keeps, beside those that the compressor kept.

    Args:
        places: the reader's, ``[1, n_kv_heads, n_keep]``.
        recorder: what the compressor left, when no row had gone before.
        position: of the last token read.
    """
    check_stages(stage("the rows that the compressor keeps", _places, places, recorder.left[position][0]))


def _places(places: Any, right: torch.Tensor) -> None:
    found = as_tensor(places)
    need(found.shape == right.shape, f"the places have the shape {list(right.shape)}; yours have {list(found.shape)}.")
    need((found.diff(dim=-1) > 0).all(), "places must ascend: the prompt, then the chosen, then the last rows.")
    if not torch.equal(found, right):
        head = int((found != right).any(-1)[0].nonzero()[0])
        n_other = len(set(found[0, head].tolist()) - set(right[0, head].tolist()))
        raise Complaint(
            f"KV head {head}: {n_other} of {right.shape[-1]} rows are others than the compressor's. z-scores are over "
            "the candidates alone: cut the prompt and the last rows off before group_scores, and add the prompt's "
            "length to the places afterwards."
        )


# --- Part 5: the whole thing -----------------------------------------------------------------------------------------
def check_policy(policy: Any, course: Policy, contest: Contest, budget: int) -> None:
    """A policy keeps the very rows that the course's keeps, at every compression, in every mode."""
    check_stages(
        stage("a policy", require_policy, policy),
        stage("a score per query head and row", _require_sound, policy),
        *(stage(f"the same rows, {mode}", _same_rows, policy, course, contest, budget, mode) for mode in SELECTIONS),
    )


def _require_sound(policy: Policy) -> None:
    begin(policy)
    per_kv_head = "that is a score per KV head; the compressor takes the largest of a group itself, after z-scores."
    for layer in range(4):
        need(scores_of(policy, layer, some_keys(), 99).shape[1] == 8, per_kv_head)


def _same_rows(policy: Policy, course: Policy, contest: Contest, budget: int, mode: str) -> None:
    mine, theirs = (_recorded(each, contest, budget, mode) for each in (policy, course))
    for position, layer, sheet, head in _sets(theirs):
        ours, right = (set(each.left[position][layer][sheet, head].tolist()) for each in (mine, theirs))
        if ours != right:
            token = min(ours ^ right)
            keeper = "yours" if token in ours else "the course's"
            raise Complaint(
                f"after token {position}, sheet {sheet}, layer {layer}, KV head {head}: of the two only {keeper} keeps "
                f"token {token}. Are the statistics those of layer {layer}, and is position the last token's?"
            )


def _recorded(policy: Policy, contest: Contest, budget: int, mode: str) -> Recorder:
    recorder = Recorder(policy)
    attempt("the run", contest.judge, recorder, budget, mode)
    return recorder


def _sets(recorder: Recorder) -> Iterator[tuple[int, int, int, int]]:
    """Every set of rows kept: position of the last token read, layer, sequence and KV head."""
    for position, by_layer in recorder.left.items():
        for layer, tokens in by_layer.items():
            for sheet in range(tokens.shape[0]):
                yield from ((position, layer, sheet, head) for head in range(tokens.shape[1]))


def _numbers(found: torch.Tensor) -> str:
    return str([round(x, 3) for x in found.flatten().tolist()])

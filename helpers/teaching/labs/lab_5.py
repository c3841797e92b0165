"""Checks of lab 5: TriAttention step by step, each step held to its definition, the whole to the course's own."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from helpers.eviction import Policy
from helpers.eviction.recorder import Recorder
from helpers.eviction.selection import SELECTIONS
from helpers.eviction.selection import group_scores as course_groups
from helpers.eviction.selection import select as course_select
from helpers.eviction.triattention import score as course_score
from helpers.experiments.contest import Contest
from helpers.teaching.attempts import Complaint, attempt, need
from helpers.teaching.checks import check_stages, stage
from helpers.teaching.labs.lab_5_paper_score import (
    NEAR,
    QUARTER,
    SLIPS,
    arrows_of,
    arrows_of_neighbours,
    as_tensor,
    case_by_hand,
    frequencies,
    near,
    random_case,
    slipped,
    turned_on,
    which_slip,
)
from helpers.teaching.labs.policy_checks import begin, require_policy, scores_of, some_keys

Function = Callable[..., Any]
FAR_POSITION, FAR = 131_072, 1e-5  # float32 phases pass near the beginning, and fail there, with this error allowed
FLOAT32 = (
    "right near the beginning and wrong far from it: a float32 has 24 bits, and a phase of 131,072 radians leaves few "
    "of them for the angle. Multiply omega in float64, and keep to complex128."
)


# --- Part 1: arrows, turned back -------------------------------------------------------------------------------------
def check_arrows_by_hand(arrows: Any) -> None:
    """The arrows of the row (1, 2, 3, 4)."""
    check_stages(stage("the row (1, 2, 3, 4)", _arrows_by_hand, arrows))


def _arrows_by_hand(arrows: Any) -> None:
    need(
        isinstance(arrows, list | tuple),
        f"the answer is a list of two arrows, such as [5 + 6j, 7 + 8j], not {arrows!r}.",
    )
    mistakes = {
        (1 + 2j, 3 + 4j): "those are neighbours; here the first half goes right and the second up, x[f] with x[f + 2].",
        (3 + 1j, 4 + 2j): "right and up changed places: the first half is how far right.",
        (1 - 3j, 2 - 4j): "those are mirrored: the second half goes up, +3j and +4j.",
        (1, 2): "that is only how far right; the second half of the row says how far up.",
        (1 + 4j, 2 + 3j): "the second half is taken from its end; band 0 is x[0] with x[2].",
    }
    need(len(arrows) == 2, f"four numbers make two arrows, not {len(arrows)}.")
    otherwise = f"{list(arrows)} is not it: x[0] with x[2], x[1] with x[3]."
    need(list(arrows) == [1 + 3j, 2 + 4j], mistakes.get(tuple(arrows), otherwise))


def check_to_arrows(to_arrows: Function) -> None:
    """``to_arrows(rows)``: ``[..., head_dim]`` to complex ``[..., head_dim / 2]``."""
    check_stages(
        stage("kind and shape", _require_complex, to_arrows),
        stage("random rows", _arrows_of_rows, to_arrows),
    )


def _require_complex(to_arrows: Function) -> None:
    found = as_tensor(attempt("to_arrows(rows)", to_arrows, some_keys()))
    kind, size = str(found.dtype).removeprefix("torch."), list(found.shape)
    need(found.is_complex(), f"an arrow is one complex number; yours are {kind}. See torch.complex.")
    need(size == [2, 4, 24, 16], f"rows [2, 4, 24, 32] have the arrows [2, 4, 24, 16]; yours are {size}.")


def _arrows_of_rows(to_arrows: Function) -> None:
    rows = some_keys()
    found, right = to_arrows(rows.clone()), arrows_of(rows)
    mistakes = {
        "those are neighbours, x[2f] with x[2f + 1]; band f is x[f] with x[f + head_dim / 2].": arrows_of_neighbours(
            rows
        ),
        "the arrows are mirrored: the second half goes up, with a plus.": right.conj(),
        "the halves changed places: the first goes right, the second up.": torch.complex(right.imag, right.real),
    }
    _complain_of(found, mistakes)
    need(near(found, right), "the halves do not meet as they should: band f is x[f] with x[f + head_dim / 2].")


def check_turn_back(turn_back: Function) -> None:
    """``turn_back(rotated, omega, positions)``: arrows as they were before RoPE."""
    check_stages(
        stage("one arrow by hand", _one_arrow_back, turn_back),
        stage("a text that RoPE has turned", _back, turn_back, torch.arange(7, 31), NEAR),
        stage(f"the same at position {FAR_POSITION:,}", _back, turn_back, FAR_POSITION + torch.arange(24), FAR),
    )


def _one_arrow_back(turn_back: Function) -> None:
    case = "turn_back of the arrow that points down at position 3, 90 degrees per token,"
    found = as_tensor(attempt(case, turn_back, torch.tensor([[0.0, -1.0]]), QUARTER, torch.tensor([3])))
    need(found.shape == (1, 1), f"one token, one band: the shape is [1, 1]; yours is {list(found.shape)}.")
    mistakes = {
        "it points left there: you turned it on, by 270 degrees more. Back is the minus.": torch.tensor([[-1 + 0j]]),
        "it still points down: it has not been turned at all.": torch.tensor([[-1j]]),
    }
    _complain_of(found, mistakes)
    need(near(found, torch.tensor([[1 + 0j]])), f"it should point right again, at 1; yours is at {found.item():.2f}.")


def _back(turn_back: Function, positions: torch.Tensor, error: float) -> None:
    rows, omega = some_keys(), frequencies(16)
    rotated, case = turned_on(rows, omega, positions), "turn_back(rotated, omega, positions)"
    found, right = as_tensor(attempt(case, turn_back, rotated.clone(), omega, positions)), arrows_of(rows)
    need(found.shape == right.shape, f"the arrows have the shape {list(right.shape)}; yours have {list(found.shape)}.")
    turned = {
        "you turned them on instead of back: the phase needs a minus.": 2 * positions,
        "they are as they were: nothing has been turned.": positions,
        "you turned the text back as if it began at position 0; its positions are given.": positions - torch.arange(24),
    }
    _complain_of(found, {message: arrows_of(turned_on(rows, omega, at)) for message, at in turned.items()}, error)
    need(error == NEAR or not near(found, right, 0.05) or near(found, right, error), FLOAT32)
    need(near(found, right, error), "these are other arrows. Is each token turned back by its own position?")


# --- Part 2: the mean query ------------------------------------------------------------------------------------------
def check_concentration(value: Any) -> None:
    """R of two arrows, 3 to the right and 4 up."""
    mistakes = {
        1: "you took lengths first. Take the mean arrow, (1.5, 2), and then its length.",
        3.5 / 2.5: "the wrong way round: the length of the mean stands above.",
        2.5: "that is the length of the mean arrow; divide it by the mean length.",
        3.5: "that is the mean length; the length of the mean arrow stands above it.",
        5 / 3.5: "that is with the length of the sum; the mean of two arrows is half their sum.",
    }
    check_stages(stage("R of two arrows", _number, value, 2.5 / 3.5, mistakes))


def check_means(means: Function) -> None:
    """``means(arrows)``: E[q] and E|q| of ``[sheets, n_heads, tokens, bands]``."""
    check_stages(
        stage("two tensors, [n_heads, bands]", _require_two, means),
        stage("E[q], the mean arrow", _mean_arrow, means),
        stage("E|q|, the mean length", _mean_length, means),
    )


def _require_two(means: Function) -> None:
    found = attempt("means(arrows)", means, _queries())
    need(
        isinstance(found, tuple | list) and len(found) == 2, "means gives back two tensors: return q_mean, q_abs_mean."
    )
    mistakes = {
        (3, 5): "sheets and tokens are left, heads and bands are gone; it should be the other way round.",
        (3, 6, 4): "that is a mean per sheet; the mean is over sheets and tokens, dimensions 0 and 2.",
        (6, 5, 4): "that is a mean per token; the mean is over sheets and tokens, dimensions 0 and 2.",
        (6,): "the bands are gone; each has a mean of its own.",
    }
    for name, tensor in zip(("q_mean", "q_abs_mean"), found, strict=True):
        size = tuple(as_tensor(tensor).shape)
        hint = mistakes.get(size, "one number per head and band.")
        need(size == (6, 4), f"of arrows [3, 6, 5, 4] {name} has the shape [6, 4]; yours has {list(size)}: {hint}")
    need(not found[1].is_complex(), "q_abs_mean is complex; the second is a mean of lengths.")


def _mean_arrow(means: Function) -> None:
    arrows, (found, _) = _queries(), means(_queries())
    right = arrows.sum((0, 2)) / 15
    mistakes = {
        "that is the mean of the lengths; q_mean is the mean of the arrows, which have directions.": arrows.abs().mean(
            (0, 2)
        ),
        "you took the length of the mean arrow; its direction is needed, too.": right.abs(),
    }
    _complain_of(found, mistakes)
    need(near(found, right), "E[q] is the sum of a head's arrows in a band over their number, 15 here.")


def _mean_length(means: Function) -> None:
    arrows, (_, found) = _queries(), means(_queries())
    of_mean = "that is the length of the mean; E|q| is the mean of the lengths. R would be 1 everywhere."
    _complain_of(found, {of_mean: arrows.mean((0, 2)).abs()})
    need(
        near(found, arrows.abs().sum((0, 2)) / 15), "E|q| is the sum of the arrows' lengths over their number, 15 here."
    )


# --- Part 3: the score -----------------------------------------------------------------------------------------------
def check_score_by_hand(value: Any) -> None:
    """The score of an arrow 2 up, with mean query 3 to the right, E|q| 4, newest position 4, offset 1."""
    case = case_by_hand()
    mistakes = {slipped(case, **slip).item(): message for message, slip in SLIPS.items() if "norm" in slip}
    mistakes |= {
        2: "the query stands at position + offset, 5, and points up there; at position 4 it points right.",
        -4: "both arrows point up, so their product is plus 6: angles are subtracted, not added.",
    }
    check_stages(stage("one key", _number, value, case.right.item(), mistakes))


def check_score(score: Function) -> None:
    """A score of every key for every query head, by any means."""
    check_stages(*_stages_of_score(score))


def check_score_at_once(score: Function) -> None:
    """The same, with one product per key however many offsets there are."""
    check_stages(*_stages_of_score(score), stage("64 offsets cost hardly more than one", _cost, score))


def _stages_of_score(score: Function) -> Iterator[tuple[str, Callable[[], str | None]]]:
    yield stage("one key by hand", _score_of_one, score)
    yield stage("the shape", _shape_of_scores, score)
    yield stage("random keys, as the paper defines it", _score_at_random, score)
    yield stage(f"position {FAR_POSITION:,}", _score_far, score)


def _score_of_one(score: Function) -> None:
    for offsets in ([1], [1, 2]):
        case = case_by_hand(offsets)
        found, right = case.ask(score), case.right.item()
        need(not found.is_complex(), "the score is complex; of the product the real part counts.")
        need(found.numel() == 1, f"one key and one query head have one score; yours has the shape {list(found.shape)}.")
        otherwise = f"with offsets {offsets} it is {right:g}, not {found.item():.4g}."
        need(near(found, case.right), which_slip(found, case, otherwise))


def _shape_of_scores(score: Function) -> None:
    case = random_case(0)
    found = list(case.ask(score).shape)
    need(found != [2, 5], "that is a score per KV head; each query head has a mean query, and so scores, of its own.")
    need(found == [4, 5], f"keys [2, 5, 8] and 4 query heads have scores [4, 5]; yours are {found}.")
    inputs = case.keys.expand(3, -1, -1, -1), case.q_mean, case.q_abs_mean, case.omega, 9, [1, 2]
    batch = list(as_tensor(attempt("the score of a batch of 3", score, *inputs)).shape)
    need(batch == [3, 4, 5], f"a batch [3, 2, 5, 8] has scores [3, 4, 5], not {batch}: count dimensions from the end.")


def _score_at_random(score: Function) -> None:
    otherwise = "it is not what the paper defines, nor a mistake that we know. Go back to the one key by hand."
    for seed in range(3):
        case = random_case(seed)
        found = case.ask(score)
        need(near(found, case.right), which_slip(found, case, otherwise))


def _score_far(score: Function) -> None:
    case = random_case(4, FAR_POSITION, bands=16)
    need(near(case.ask(score), case.right, FAR), FLOAT32)


def _cost(score: Function) -> None:
    case = random_case(0)
    keys = torch.randn(2, 6_000, 8, generator=torch.Generator().manual_seed(0))

    def seconds(n_offsets: int) -> float:
        started = time.process_time()
        score(keys, case.q_mean, case.q_abs_mean, case.omega, 7_000, list(range(n_offsets)))
        return time.process_time() - started

    one, many = (min(seconds(n) for _ in range(4)) for n in (1, 64))
    hint = "average the queries before they meet the keys."
    need(many < 8 * one, f"64 offsets take {many / one:.0f} times as long as one: {hint}")


# --- Part 4: choose --------------------------------------------------------------------------------------------------
TOY_GROUP = torch.tensor([[[0.0, 0, 4, 4], [10, 30, 10, 30]]])  # one sequence, two query heads, one KV head
TOY_LAYERS = torch.tensor([[6.0, 4, 3, 0], [0, 0, 5, 5.5]])[:, None, None]  # [n_layers, batch, n_kv_heads, rows]
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
    _complain_of(found.flatten(), {message: torch.tensor(wrong) for message, wrong in WRONG_GROUPS.items()})
    need(
        near(found.flatten(), torch.tensor([-1.0, 1, 1, 1])),
        f"by hand it is [-1, 1, 1, 1]; yours is {_numbers(found)}.",
    )


def _two_groups(group_scores: Function) -> None:
    scores = torch.tensor([[[0.0, 0, 4, 4], [0, 4, 0, 4], [4, 0, 0, 4], [4, 0, 0, 4]]])
    found = as_tensor(attempt("group_scores(scores, 2)", group_scores, scores, 2))
    need(found.shape == (1, 2, 4), f"scores [1, 4, 4] of two KV heads become [1, 2, 4]; yours are {list(found.shape)}.")
    every_other = "you grouped heads 0 and 2, and 1 and 3; neighbours share a KV head: 0 and 1, 2 and 3."
    _complain_of(found[0], {every_other: torch.tensor([[1.0, -1, 1, 1], [1, 1, -1, 1]])})
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
    """``choose(scores, count)``: the best rows by the mean over layers, ascending, ties to the earlier."""
    check_stages(
        stage("two layers by hand", _choose_by_hand, choose),
        stage("rows that score alike", _choose_ties, choose),
        stage("random scores beside the course's", _choose_at_random, choose),
    )


def _choose_by_hand(choose: Function) -> None:
    found = as_tensor(attempt("choose(scores, 2)", choose, TOY_LAYERS.clone(), 2))
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
        found = attempt("choose of equal scores", choose, scores, count)
        case = f"of {rows} rows that score 0, 1, 1, 0, 1, 1, ... the first {count} with a 1 stay"
        hint = "topk promises nothing about ties, sort(stable=True, descending=True) does."
        need(
            torch.equal(found, course_select(scores, count, "per_head")[0]),
            f"{case}: ties go to the earlier row. {hint}",
        )


def _choose_at_random(choose: Function) -> None:
    for seed in range(3):
        scores = some_keys(40, seed).permute(3, 0, 1, 2)[:3]  # [3, 2, 4, 40]
        found = attempt("choose(scores, 17)", choose, scores.clone(), 17)
        right = course_select(scores, 17, "per_head")[0]
        need(found.shape == right.shape, f"scores [3, 2, 4, 40] give places [2, 4, 17]; yours are {list(found.shape)}.")
        if not torch.equal(found, right):
            in_order = torch.equal(found.sort(dim=-1).values, right)
            raise Complaint(
                "the right places, but not in order: sort them."
                if in_order
                else "other places than the course's. Does each sequence and head choose by its own mean over layers?"
            )


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


# --- Stretch ---------------------------------------------------------------------------------------------------------
def check_score_by_max(score: Function) -> None:
    """The score with the largest product over the offsets in the place of their mean."""
    check_stages(stage("random keys beside the course's", _score_by_max, score))


def _score_by_max(score: Function) -> None:
    case = random_case(5)
    found = case.ask(score)
    statistics = case.q_mean, case.q_abs_mean, case.omega, case.position, case.offsets
    need(not near(found, case.right), "that is still the mean over the offsets; take the largest.")
    otherwise = "it is not the largest product over the offsets, with the norm term added once."
    need(near(found, course_score(case.keys, *statistics, "max").double()), which_slip(found, case, otherwise))


# --- What all parts stand on -----------------------------------------------------------------------------------------
def _complain_of(found: torch.Tensor, mistakes: dict[str, torch.Tensor], error: float = NEAR) -> None:
    for message, wrong in mistakes.items():
        need(not near(found, wrong, error), message)


def _number(value: Any, right: float, mistakes: dict[float, str]) -> None:
    need(isinstance(value, int | float) and math.isfinite(value), f"the answer is one number, not {value!r}.")
    for wrong, message in mistakes.items():
        need(math.isclose(right, wrong) or not math.isclose(value, wrong, rel_tol=1e-3), message)
    need(math.isclose(value, right, rel_tol=1e-2), f"{value:.4g} is not it; go step by step.")


def _queries() -> torch.Tensor:
    """Arrows ``[3 sheets, 6 heads, 5 tokens, 4 bands]`` that lean to one side."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 6, 5, 4, dtype=torch.complex128, generator=generator) + 1


def _numbers(found: torch.Tensor) -> str:
    return str([round(x, 3) for x in found.flatten().tolist()])

"""Checks of lab 5, parts 1 to 3 and the stretch: arrows, means and the score, each step held to its definition."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from helpers.eviction.triattention import score as course_score
from helpers.teaching.attempts import attempt, need
from helpers.teaching.checks import check_stages, stage
from helpers.teaching.labs.lab_5_paper_score import (
    NEAR,
    QUARTER,
    SLIPS,
    arrows_of,
    arrows_of_neighbours,
    as_tensor,
    case_by_hand,
    complain_of,
    frequencies,
    near,
    random_case,
    slipped,
    turned_on,
    which_slip,
)
from helpers.teaching.labs.policy_checks import some_keys

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
    complain_of(found, mistakes)
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
    complain_of(found, mistakes)
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
    complain_of(found, {message: arrows_of(turned_on(rows, omega, at)) for message, at in turned.items()}, error)
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
    complain_of(found, mistakes)
    need(near(found, right), "E[q] is the sum of a head's arrows in a band over their number, 15 here.")


def _mean_length(means: Function) -> None:
    arrows, (_, found) = _queries(), means(_queries())
    of_mean = "that is the length of the mean; E|q| is the mean of the lengths. R would be 1 everywhere."
    complain_of(found, {of_mean: arrows.mean((0, 2)).abs()})
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
def _number(value: Any, right: float, mistakes: dict[float, str]) -> None:
    need(isinstance(value, int | float) and math.isfinite(value), f"the answer is one number, not {value!r}.")
    for wrong, message in mistakes.items():
        need(math.isclose(right, wrong) or not math.isclose(value, wrong, rel_tol=1e-3), message)
    need(math.isclose(value, right, rel_tol=1e-2), f"{value:.4g} is not it; go step by step.")


def _queries() -> torch.Tensor:
    """Arrows ``[3 sheets, 6 heads, 5 tokens, 4 bands]`` that lean to one side."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 6, 5, 4, dtype=torch.complex128, generator=generator) + 1

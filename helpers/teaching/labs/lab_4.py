"""Checks of lab 4: scores by hand, two policies to warm up, and whatever policy the reader writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from helpers.eviction import Policy
from helpers.experiments.contest import Contest
from helpers.teaching.attempts import Complaint, attempt, need
from helpers.teaching.checks import check_stages, stage
from helpers.teaching.labs.policy_checks import (
    LATE,
    N_PROMPT,
    ROWS,
    SHAPE,
    begin,
    require_policy,
    require_right_way_up,
    require_scores_of_rows,
    require_sound_run,
    scores_of,
    some_keys,
)

Function = Callable[..., Any]
TOY_SCORES, TOY_KEPT = (4, 9, 2, 9, 4, 7), [0, 1, 3, 5]
TOY_ROWS = torch.tensor([[0.0, 0.0], [6.0, 8.0], [0.0, 0.0], [9.0, 12.0]])
CLOSE = 0.01  # cdist may err by as much on rows that are nearly alike


# --- Part 1: by hand -------------------------------------------------------------------------------------------------
def check_kept(places: Any) -> None:
    """Which four of six rows stay, by their scores."""
    check_stages(stage("four places in order", _require_four_places, places), stage("the best four", _best, places))


def _require_four_places(places: Any) -> None:
    need(isinstance(places, list | tuple), f"the answer is a list of places, such as [2, 4], not {places!r}.")
    need(
        list(places) != [9, 9, 7, 4] and sorted(places) != [4, 7, 9, 9],
        "those are the scores; say the places they stand at.",
    )
    need(len(set(places)) == 4, f"four different rows may stay; you keep {len(set(places))}.")
    need(max(places) <= 5, "rows are counted from 0, so the last is row 5.")
    need(list(places) == sorted(places), "survivors keep their order, so places ascend; the best does not come first.")


def _best(places: Sequence[int]) -> None:
    mistakes = {
        (1, 3, 4, 5): "of rows that score alike the earlier one is kept: row 0 before row 4.",
        (0, 2, 4, 5): "those score lowest; higher is better.",
        (2, 3, 4, 5): "those are the latest; go by the scores.",
        (0, 1, 2, 3): "those are the earliest; go by the scores.",
    }
    need(tuple(places) == tuple(TOY_KEPT), mistakes.get(tuple(places), "rank the scores: 9, 9, 7, then the earlier 4."))


def check_token_of_row(token: Any) -> None:
    """Which token row 4 holds when rows 0, 1, 3 and 5 stayed and two tokens came."""
    check_stages(stage("row 4", _token_of_row, token))


def _token_of_row(token: Any) -> None:
    mistakes = {
        4: "token 4 has left; those behind it moved up, and row i is no longer token i.",
        5: "that is row 3: rows are counted from 0.",
        7: "that is the last row, number 5.",
    }
    right = (TOY_KEPT + [6, 7])[4]
    need(
        token == right,
        mistakes.get(token, f"write down the six rows that are left, {TOY_KEPT} first; {token!r} is not in place 4."),
    )


# --- Part 2: keep the latest -----------------------------------------------------------------------------------------
def check_keep_latest(policy: Any) -> None:
    """A policy that scores a later row higher, whatever the keys."""
    check_stages(
        stage("a policy", require_policy, policy),
        stage(f"{ROWS} rows, none evicted yet", _require_later_higher, policy, ROWS, ROWS - 1),
        stage(f"8 rows left, the last token at position {LATE}", _require_later_higher, policy, 8, LATE),
    )


def _require_later_higher(policy: Policy, rows: int, position: int) -> None:
    begin(policy)
    for layer in range(SHAPE.n_layers):
        scores = scores_of(policy, layer, some_keys(rows), position)
        steps = scores.diff(dim=-1)
        need((scores != scores[..., :1]).any(), f"all {rows} rows score alike; ties would keep the earliest.")
        need(not (steps < 0).all(), "the earliest row scores highest there: higher is better, so mind the sign.")
        need(
            (steps != 0).all(),
            "some rows score alike; of these the earlier would stay. Each later row needs a higher score.",
        )
        need(
            (steps > 0).all(), "a later row does not always score higher; its place among the rows says how late it is."
        )


# --- Part 4: spare copies --------------------------------------------------------------------------------------------
def check_nearest_by_hand(distances: Any) -> None:
    """Distances of the first three toy rows to the nearest row after each."""
    check_stages(stage("three distances", _require_three, distances), stage("by hand", _nearest_by_hand, distances))


def _require_three(distances: Any) -> None:
    need(isinstance(distances, list | tuple), f"the answer is a list of three numbers, not {distances!r}.")
    need(len(distances) == 3, f"rows 0, 1 and 2 have rows after them; you have {len(distances)} numbers, not 3.")


def _nearest_by_hand(distances: Sequence[float]) -> None:
    mistakes = {
        (0, 5, 0): "row 2 has its copy before it; only rows after it count, and (9, 12) is 15 away.",
        (0, 0, 0): "each row is at distance 0 from itself; it does not count.",
        (15, 10, 15): "those are the farthest; ask for the nearest.",
        (10, 10, 15): "those are the next rows; the nearest of all that come after may be another.",
        (0, 25, 225): "those are squares: the distance of (3, 4) from (0, 0) is 5.",
        (0, 7, 21): "along the streets it is 7, straight ahead 5: the root of the sum of squares.",
    }
    right = [0, 5, 15]
    close = all(isinstance(x, int | float) and abs(x - y) < CLOSE for x, y in zip(distances, right, strict=True))
    need(close, mistakes.get(tuple(distances), f"{list(distances)} is not it; take rows 0, 1 and 2 in turn."))


def check_nearest_later(nearest_later: Function) -> None:
    """``nearest_later(rows)``: how far each row is from the nearest row after it."""
    check_stages(
        stage("a number per row", _require_number_per_row, nearest_later),
        stage("the four rows by hand", _nearest_of_toy, nearest_later),
        stage("random rows, pair by pair", _nearest_at_random, nearest_later),
    )


def _require_number_per_row(nearest_later: Function) -> None:
    rows = some_keys(6)
    found = attempt("nearest_later(rows)", nearest_later, rows.clone())
    need(
        isinstance(found, torch.Tensor),
        f"nearest_later gives back a tensor, not {'nothing' if found is None else type(found).__name__}.",
    )
    size, right = list(found.shape), list(rows.shape[:-1])
    need(
        size != right + [6],
        f"that is a distance per pair, {size}; take the least of each row: amin over the last dimension.",
    )
    need(size == right, f"rows {list(rows.shape)} have the distances {right}; yours are {size}.")
    need(not found.isnan().any(), "some distances are NaN, and nothing compares with NaN.")
    need(
        found.isfinite().all(),
        "the last row has none after it and gets inf. One inf makes all z-scores of the head NaN; take a large number.",
    )


def _nearest_of_toy(nearest_later: Function) -> None:
    found = attempt("nearest_later(the four rows)", nearest_later, TOY_ROWS.clone())[:3]
    mistakes = {
        "each row is its own nearest, at distance 0: leave the diagonal out, as triu(1) does.": [0, 0, 0],
        "that is the nearest of all others, before or after: then both copies of a value look spare, and both go.": [
            0,
            5,
            0,
        ],
        "that is the nearest row before it: the newest copy would go, and the oldest stay.": [None, 10, 0],
        "that is the farthest later row; take amin.": [15, 10, 15],
        "those are squares; the order is the same, but not the z-scores. Take the root.": [0, 25, 225],
        "near copies get the higher number: a distance grows with how far they are apart.": [0, -5, -15],
    }
    for message, wrong in mistakes.items():
        need(not all(w is None or abs(f - w) < CLOSE for f, w in zip(found.tolist(), wrong, strict=True)), message)
    need(
        _are_close(found, torch.tensor([0.0, 5, 15])),
        f"rows 0, 1 and 2 are 0, 5 and 15 from the nearest later row, not {_numbers(found)}.",
    )


def _nearest_at_random(nearest_later: Function) -> None:
    for seed, n in ((0, 2), (1, 7), (2, 40)):
        rows = some_keys(n, seed)
        found = attempt(f"nearest_later of {n} rows", nearest_later, rows.clone())[..., :-1]
        right = _nearest(rows)
        if not _are_close(found, right):
            at = tuple(((found - right).abs() > CLOSE).nonzero()[0].tolist())
            raise Complaint(
                f"{n} rows, sequence {at[0]}, head {at[1]}, row {at[2]}: {found[at]:.3f}, not {right[at]:.3f}."
            )


def check_spare_copies(policy: Any) -> None:
    """A policy that scores a row of the thought by the distance to the nearest row after it."""
    check_stages(
        stage("a policy", require_policy, policy),
        stage("a score per row", _require_scores, policy),
        stage("rows of the thought", _require_spare_copies, policy),
    )


def _require_scores(policy: Policy) -> None:
    begin(policy)
    mistake = f"the {N_PROMPT} rows of the prompt need scores too, zeros in front: pad(scores, (self.first, 0))."
    found = attempt("score(layer 0)", policy.score, 0, some_keys(), ROWS - 1)
    need(getattr(found, "shape", None) != some_keys()[:, :, N_PROMPT:, 0].shape, mistake)
    for layer in range(SHAPE.n_layers):
        scores_of(policy, layer, some_keys(), ROWS - 1)


def _require_spare_copies(policy: Policy) -> None:
    for rows, position in ((ROWS, ROWS - 1), (9, LATE)):
        keys = some_keys(rows)
        found, right = policy.score(0, keys.clone(), position), _nearest(keys[:, :, N_PROMPT:])
        of_thought = found[..., N_PROMPT:-1]
        need(
            not _are_close(of_thought, -right),
            "the nearer its copy, the higher a row scores: spares would stay. Mind the sign.",
        )
        need(
            not _are_close(found[..., : right.shape[-1]], right),
            "the zeros are behind; the prompt stands in front: pad(scores, (self.first, 0)).",
        )
        need(
            _are_close(of_thought, right),
            f"after the {N_PROMPT} rows of the prompt each row gets its distance to the nearest row after it. For row "
            f"{N_PROMPT} that is {right[0, 0, 0]:.3f}, not {of_thought[0, 0, 0]:.3f}.",
        )


def _nearest(rows: torch.Tensor) -> torch.Tensor:
    """The definition, row by row: least distance to a later row, of all rows but the last."""
    later = [
        (rows[..., i + 1 :, :] - rows[..., i : i + 1, :]).square().sum(-1).sqrt() for i in range(rows.shape[-2] - 1)
    ]
    return torch.stack([distances.amin(-1) for distances in later], dim=-1)


def _are_close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.float(), other, atol=CLOSE)


def _numbers(found: torch.Tensor) -> str:
    return ", ".join(f"{x:g}" for x in found.tolist())


# --- Part 5: any policy ----------------------------------------------------------------------------------------------
def check_policy(policy: Any, contest: Contest, budget: int, selection: str) -> None:
    """Any policy: sound in a whole run, its scores its rows' own, and not upside down.

    Args:
        policy: the reader's.
        contest: worksheets to practise on.
        budget: rows of the thought that it wants to keep.
        selection: the mode that it wants.
    """
    verdicts = []

    def run() -> None:
        verdicts.append(require_sound_run(policy, contest, budget, selection))

    check_stages(
        stage("a policy", require_policy, policy),
        stage("a run of practice", run),
        stage("every score its row's own", require_scores_of_rows, policy),
        stage("higher is better", lambda: require_right_way_up(policy, verdicts[0], contest)),
    )

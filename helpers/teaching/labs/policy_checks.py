"""What can be wrong with the scores of a policy, whatever it scores by; labs 4 and 5 ask this of the reader's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from helpers.arithmetic.footprint import KVShape
from helpers.eviction import Policy
from helpers.eviction.behind import Behind
from helpers.experiments.contest import Contest, Verdict
from helpers.teaching.attempts import Complaint, attempt, need

SHAPE, N_HEADS, BATCH = KVShape(n_layers=4, n_kv_heads=4, head_dim=32), 8, 2
N_PROMPT, ROWS = 5, 24
LATE = 99  # position of the last token in a cache of ROWS rows out of which others have gone
ENOUGH = 0.02  # of the look-ups: a difference that is no accident
LATER = "Before the first eviction it went well; since then there are fewer rows than tokens, and row i is not token i."


def some_keys(rows: int = ROWS, seed: int = 0) -> torch.Tensor:
    """Keys ``[batch, n_kv_heads, rows, head_dim]``, all their sizes different."""
    return torch.randn(BATCH, SHAPE.n_kv_heads, rows, SHAPE.head_dim, generator=torch.Generator().manual_seed(seed))


def begin(policy: Policy) -> None:
    """Tell a policy that a run begins, with a prompt of ``N_PROMPT`` tokens."""
    nothing = torch.empty(BATCH, SHAPE.n_kv_heads, 0, dtype=torch.long)
    attempt("begin(shape, prompt_length, token_index)", policy.begin, SHAPE, N_PROMPT, lambda layer: nothing)


def require_policy(answer: Any) -> None:
    """Complain unless it is a policy, ready to run."""
    name = getattr(answer, "__name__", "")
    need(not isinstance(answer, type), f"{name} is the class; make one of it: {name}().")
    need(
        isinstance(answer, Policy),
        f"that is a {type(answer).__name__}; a policy is a class that has Policy as its base.",
    )


def scores_of(policy: Policy, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
    """The policy's scores of one layer, which are sound, or a complaint."""
    untouched, rows = keys.clone(), keys.shape[2]
    case = f"score(layer {layer}, keys of {rows} rows, position {position})"
    scores = attempt(case, policy.score, layer, keys, position)
    need(
        torch.equal(keys, untouched),
        "score changed the keys that it was given, as keys[...] = ..., keys += ... and names that end in _ do. "
        "A policy only looks: work on keys.clone().",
    )
    need(scores is not None, "score gives nothing back: is there a return?")
    need(isinstance(scores, torch.Tensor), f"score gives back a tensor, not a {type(scores).__name__}.")
    _require_shape(tuple(scores.shape), tuple(keys.shape), position)
    _require_finite(scores)
    return scores


def require_sound_run(policy: Policy, contest: Contest, budget: int, selection: str) -> Verdict:
    """A whole run with every score looked at; what came of it."""
    examined = Examined(policy)
    verdict = attempt("the run", contest.judge, examined, budget, selection, passes=Complaint)
    varied = list(examined.varied.values())  # one entry per compression, in order
    need(any(varied), "every row of every head gets the same score, so nothing is chosen: ties keep the earliest rows.")
    need(
        all(varied),
        "it chooses at the first compression, and later all rows score alike. From then on there are fewer rows than "
        "tokens: row i is no longer token i, and position is no row's number. Count rows with keys.shape[2].",
    )
    return verdict


def require_scores_of_rows(policy: Policy) -> None:
    """Complain if numbers come back that belong to no row: places in the order of sorting, or scores sorted."""
    if policy.needs_queries or policy.needs_weights:
        return  # it would have to look on first; the run has shown its scores to be sound
    begin(policy)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(1))
    for layer in range(SHAPE.n_layers):
        keys, others = some_keys(), some_keys(seed=2)
        case, looked_at = f"score(layer {layer})", (keys, keys[:, :, order], others)
        here, there, of_others = (attempt(case, policy.score, layer, k, ROWS - 1) for k in looked_at)
        need(
            not (_are_places(here) and torch.equal(there.argsort(-1), here.argsort(-1)[..., order])),
            "these are places, as argsort gives them: number 0 says which row is the least, not how good row 0 is. "
            "Give back the scores themselves; the compressor sorts.",
        )
        need(
            not torch.equal(here, there) or torch.equal(here, of_others) or _alike(here),
            "the same keys in another order get the same numbers in the same order: your scores are sorted, and no "
            "longer belong to their rows. Leave the sorting to the compressor.",
        )


def require_right_way_up(policy: Policy, verdict: Verdict, contest: Contest) -> None:
    """Complain if the policy's mirror image does clearly better."""
    mirrored = contest.judge(Mirrored(policy), verdict.budget, verdict.selection)
    need(
        mirrored.lookups_right - verdict.lookups_right <= ENOUGH * verdict.lookups,
        f"with every score times -1 it gets {mirrored.lookups_right:,} look-ups right instead of "
        f"{verdict.lookups_right:,} (of {verdict.lookups:,}): higher is "
        "better, so the sign seems to be the wrong way round.",
    )


class Examined(Behind):
    """Lets another policy decide, and complains at the first score that is not sound.

    Attributes:
        varied: per compression, by the position of the last token read, whether any head's rows differed in score.
    """

    def begin(self, shape: KVShape, prompt_length: int, token_index: Callable[[int], torch.Tensor]) -> None:
        """See ``Policy.begin``."""
        super().begin(shape, prompt_length, token_index)
        self.varied: dict[int, bool] = {}
        self.first = prompt_length  # rows before it are protected, whatever they score

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``."""
        try:
            scores = scores_of(self.policy, layer, keys, position)
        except Complaint as complaint:
            if set(self.varied) <= {position} or "raised" not in str(complaint):
                raise
            raise Complaint(f"{complaint}. {LATER}") from complaint
        self.varied[position] = self.varied.get(position, False) or not _alike(scores[..., self.first :])
        return scores


class Mirrored(Behind):
    """Another policy with every score times -1."""

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``."""
        return -super().score(layer, keys, position)


def _require_shape(found: tuple[int, ...], keys: tuple[int, ...], position: int) -> None:
    batch, n_kv_heads, rows, head_dim = keys
    right = [(batch, heads, rows) for heads in (n_kv_heads, N_HEADS)]
    mistakes = {
        keys: "one number per row, not per number of a row: reduce the last dimension, as in keys.norm(dim=-1).",
        (batch, n_kv_heads, head_dim): "the rows are gone; reduce the last dimension (dim=-1), not the rows.",
        (batch, rows, n_kv_heads): "heads come before rows.",
        (batch, n_kv_heads): "that is one number per head; each of its rows needs one.",
        (n_kv_heads, rows): "the batch is missing in front.",
        (batch, rows): "the heads are missing in the middle: every head scores its own rows.",
        (rows,): "every sequence and head needs scores: expand them, as in scores.expand(keys.shape[:-1]).",
    }
    if found[-1:] == (position + 1,) != (rows,):
        hint = f"there is one number per token ever read; only {rows} rows are left. Count rows with keys.shape[2]."
    else:
        hint = mistakes.get(found, "one number per row, [batch, n_kv_heads, rows].")
    need(found in right, f"scores of keys {list(keys)} have the shape {list(right[0])}; yours is {list(found)}: {hint}")


def _require_finite(scores: torch.Tensor) -> None:
    need(
        not scores.isnan().any(),
        "some scores are NaN (0 / 0, or the root of a negative number), and nothing compares with NaN.",
    )
    need(
        scores.isfinite().all(),
        "some scores are infinite. The z-scores of such a head are NaN, all of them: use a large number, not inf.",
    )


def _alike(scores: torch.Tensor) -> bool:
    """Whether no head tells one row from another."""
    return bool((scores == scores[..., :1]).all())


def _are_places(scores: torch.Tensor) -> bool:
    """Whether every head's scores are 0, 1, 2, ..., in any order."""
    return bool((scores.sort(dim=-1).values == torch.arange(scores.shape[-1])).all())

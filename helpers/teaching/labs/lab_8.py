"""Checks of lab 8: a ratio, rows in common, a group's mean, bytes held, and TriAttention written as a press."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch

from helpers.eviction import SnapKV
from helpers.eviction.selection import group_scores
from helpers.teaching.attempts import attempt, is_number, need
from helpers.teaching.checks import Number, check_stages, stage
from helpers.teaching.labs.lab_5_paper_score import Case, arrows_of, as_tensor, near, random_case, which_slip
from helpers.teaching.labs.lab_8_presses import ScorerPress
from helpers.teaching.labs.policy_checks import require_policy, scores_of

Function = Callable[..., Any]
OFFSETS = [2**i for i in range(17)]
FAR_POSITION, FAR = 131_072, 1e-5  # float32 phases fail there, with this error allowed
LAST = 4  # position of the last of five rows, before any went
FUTURE = "the average query of the future"


# --- Part 1: a ratio -------------------------------------------------------------------------------------------------
def check_ratio_for(ratio_for: Function) -> None:
    """``ratio_for(kept, tokens)``: a ratio at which KVPress leaves exactly so many rows."""
    check_stages(
        stage("a ratio", _require_ratio, ratio_for),
        stage("60 rows of 600", _require_exact, ratio_for, [(60, 600)]),
        stage("every number of rows, of texts of 5 to 300 tokens", _require_exact, ratio_for, _every()),
    )


def _require_ratio(ratio_for: Function) -> None:
    found = attempt("ratio_for(150, 600)", ratio_for, 150, 600)
    need(is_number(found), f"a ratio is a number, not {'nothing: is there a return?' if found is None else found!r}")
    need(not 0.2 < found < 0.3, "that is the share that stays; the ratio is the share that goes.")
    need(0 <= found < 1, f"KVPress takes a ratio from 0 up to, not including, 1; yours is {found:g}.")


def _require_exact(ratio_for: Function, cases: list[tuple[int, int]]) -> None:
    for kept, tokens in cases:
        found = attempt(f"ratio_for({kept}, {tokens})", ratio_for, kept, tokens)
        left = int(tokens * (1 - found)) if 0 <= found < 1 else None
        need(left is not None, f"ratio_for({kept}, {tokens}) is {found:g}; KVPress takes 0 up to, not including, 1.")
        short = "the product falls a hair below the whole number, and int cuts off. Ask for half a row more."
        need(left != kept - 1, f"ratio_for({kept}, {tokens}) leaves {left} rows: {short}")
        need(left == kept, f"ratio_for({kept}, {tokens}) leaves {left} rows, not {kept}.")


def _every() -> list[tuple[int, int]]:
    return [(kept, tokens) for tokens in (5, 64, 100, 300) for kept in range(1, tokens)]


# --- Part 2: the same rows -------------------------------------------------------------------------------------------
SOME_ROWS = [[[0, 1, 2], [0, 5, 6]], [[3, 4, 5], [1, 2, 3]]]
OTHER_ROWS = [[[0, 2, 3], [1, 2, 3]], [[3, 4, 5], [1, 7, 8]]]


def check_in_common(in_common: Function) -> None:
    """``in_common(one, other)``: rows that both keep, all heads of all layers together."""
    check_stages(
        stage("two layers of two heads", _require_common, in_common, OTHER_ROWS, 6),
        stage("with itself", _require_common, in_common, SOME_ROWS, 12),
        stage("rows in another order", _require_common, in_common, [[h[::-1] for h in x] for x in SOME_ROWS], 12),
    )


def _require_common(in_common: Function, other: Any, right: int) -> None:
    found = attempt("in_common(one, other)", in_common, SOME_ROWS, other)
    need(is_number(found), f"it gives a number, not {'nothing: is there a return?' if found is None else found!r}")
    places = sum(a == b for x, y in zip(SOME_ROWS, other, strict=True) for h, g in zip(x, y, strict=True)
                 for a, b in zip(h, g, strict=True))  # fmt: skip
    equal = sum(h == g for x, y in zip(SOME_ROWS, other, strict=True) for h, g in zip(x, y, strict=True))
    layers = sum(len(set().union(*x) & set().union(*y)) for x, y in zip(SOME_ROWS, other, strict=True))
    need(found == right or found != equal, "that counts the heads that agree whole; count the rows.")
    need(found == right or found != places, "that compares place by place; a row counts wherever it stands: use sets.")
    need(found == right or found != layers, "heads were thrown together: a row of head 0 is not head 1's.")
    need(found == right, f"both keep {right} rows, not {found}.")


def check_unrounded(policy: Any) -> None:
    """Key norms as they are, the shorter the better."""
    check_stages(
        stage("a policy", require_policy, policy),
        stage("a score per row", _require_order, policy, 6, ""),
        stage("rows of nearly one length", _require_order, policy, 12, " They differ in the fourteenth bit."),
    )


def _require_order(policy: Any, bits: int, end: str) -> None:
    """Rows in a mixed order of lengths that differ by ``2 ** -bits`` and more."""
    lengths = 1 + torch.tensor([3, 0, 2, 1, 4]) / 2**bits / 4
    keys = (torch.ones(1, 2, 5, 8) / 8**0.5) * lengths[:, None]
    found = scores_of(policy, 0, keys, 4)[0, 0]
    best_first = found.argsort(descending=True, stable=True).tolist()
    need(best_first != [4, 0, 2, 3, 1], "long keys score higher there: the shorter the better, so mind the sign.")
    need(len(set(found.tolist())) == 5, f"rows of different lengths score alike: some rounding is still there.{end}")
    need(best_first == [1, 3, 2, 0, 4], "short keys should come first; they do not.")


def check_group_mean(policy: Any) -> None:
    """SnapKV with the mean over a group of query heads."""
    check_stages(stage("a score per KV head", _require_kv_heads, policy), stage("their mean", _require_mean, policy))


def _scores_of_group(policy: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The reader's scores, and SnapKV's own of 6 query heads over 2 KV heads."""
    draw = torch.Generator().manual_seed(8)
    queries, keys = torch.randn(1, 6, 16, 8, generator=draw), torch.randn(1, 2, 40, 8, generator=draw)
    scores = []
    for each in (policy, SnapKV()):
        need(isinstance(each, SnapKV), "make one of it, with SnapKV as its base: GroupMean().")
        each.begin(None, 0, lambda layer: None)
        each.see_queries(0, queries, 0.35)
        scores.append(as_tensor(attempt("score(layer 0, keys of 40 rows)", each.score, 0, keys.clone(), 39)))
    return scores[0], scores[1]


def _require_kv_heads(policy: Any) -> None:
    found, _ = _scores_of_group(policy)
    size = list(found.shape)
    need(size != [1, 6, 40], "that is still a score per query head; KV head 0 gets one, from query heads 0, 1 and 2.")
    need(size == [1, 2, 40], f"6 query heads over 2 KV heads make scores [1, 2, 40]; yours are {size}.")


def _require_mean(policy: Any) -> None:
    found, of_heads = _scores_of_group(policy)
    grouped = of_heads.unflatten(1, (2, 3))
    tiled = "query heads 0, 1 and 2 share KV head 0: unflatten into (KV heads, group), and take the mean over the last."
    need(not near(found, grouped.amax(2)), "that is the maximum, as the course has it; KVPress takes the mean.")
    need(not near(found, of_heads.unflatten(1, (3, 2)).mean(1)), tiled)
    same = near(found, grouped.mean(2)) or near(found, grouped.sum(2))
    need(same, "it is not the mean of the scores of the three query heads that share a KV head.")


# --- Part 3: bytes ---------------------------------------------------------------------------------------------------
check_bytes_held = Number(7 * 16 * 46_080, "bytes") | {
    "those are the 100 rows alone; a block is held whole, and 100 rows lie in seven.": 100 * 46_080,
    "100 rows need seven blocks of 16; six hold 96.": 96 * 46_080,
    "the rows are in float32 here, 4 bytes a number.": 7 * 16 * 23_040,
    "that is one block; how many do 100 rows take?": 16 * 46_080,
    "K and V: each row is there twice.": 7 * 16 * 23_040 // 2,
    "that is what all 400 rows would take.": 400 * 46_080,
}


# --- Part 4: TriAttention as a press ---------------------------------------------------------------------------------
def check_of_query_heads(press: Any) -> None:
    """The scores of query heads, against the paper's definition."""
    check_stages(
        stage("a press", _require_press, press),
        stage("the shape", _require_shape, press),
        stage("random keys, as the paper defines it", _require_scores, press),
        stage(f"position {FAR_POSITION:,}", _require_far, press),
    )


def check_press(press: Any) -> None:
    """The whole press, as KVPress calls it: against the course's scores, grouped as the course groups them."""
    check_stages(
        stage("a press", _require_press, press),
        stage("a score per KV head", _require_grouped_shape, press),
        stage("z-scores, and the best of each group", _require_grouped, press),
        stage("layer 1, with layer 1's statistics", _require_layer, press),
        stage("while decoding, when rows have gone", _require_position, press),
    )


def _require_press(press: Any) -> None:
    need(
        isinstance(press, type), "give the class itself, TriAttentionPress, without brackets: KVPress makes one of it."
    )
    need(issubclass(press, ScorerPress), f"{press.__name__} needs the base ScorerPress.")


def _case(seed: int, position: int = 9, bands: int = 4) -> Case:
    """A random case with the offsets of the press, 1 to 65,536."""
    case = random_case(seed, position, bands)
    return Case(case.keys, case.q_mean, case.q_abs_mean, case.omega, position, OFFSETS)


def _ready(press: type, *cases: Case) -> Any:
    """A press that finds the statistics of each case's layer on itself."""
    made = attempt(f"{press.__name__}()", press)
    made.q_mean = torch.stack([case.q_mean for case in cases])
    made.q_abs_mean = torch.stack([case.q_abs_mean for case in cases])
    made.omega = cases[0].omega
    return made


def _of_heads(press: type, case: Case) -> torch.Tensor:
    call = f"of_query_heads(layer 0, keys {[1, *case.keys.shape]}, position {case.position})"
    return as_tensor(attempt(call, _ready(press, case).of_query_heads, 0, case.keys[None].clone(), case.position))


def _require_shape(press: type) -> None:
    found = list(_of_heads(press, _case(0)).shape)
    need(found != [1, 2, 5], f"that is a score per KV head; each query head has {FUTURE}, and so scores, of its own.")
    need(found == [1, 4, 5], f"keys [1, 2, 5, 8] and 4 query heads have scores [1, 4, 5]; yours are {found}.")


def _require_scores(press: type) -> None:
    otherwise = "it is not what the paper defines, nor a mistake that we know. Part 3 of lab 5 goes step by step."
    for seed in range(3):
        case = _case(seed)
        found = _of_heads(press, case)[0]
        need(not found.is_complex(), "the score is complex; of the product the real part counts.")
        for message, offsets in _other_offsets():
            other = Case(case.keys, case.q_mean, case.q_abs_mean, case.omega, case.position, offsets)
            need(not near(found, other.right), message)
        need(not near(found, _by_lengths(case)), "those are lengths; of conj(k) q the real part counts.")
        need(near(found, case.right), which_slip(found, case, otherwise))


def _by_lengths(case: Case) -> torch.Tensor:
    """The score with the length of each product with the average query, in the place of its real part."""
    keys = arrows_of(case.keys.double()).repeat_interleave(2, 0)
    turn = torch.exp(1j * case.omega * (case.position + torch.tensor(case.offsets))[:, None]).mean(0)
    products = (keys.conj() * (case.q_mean * turn)[:, None]).abs().sum(-1)
    return products + (keys.abs() * (case.q_abs_mean - case.q_mean.abs())[:, None]).sum(-1)


def _other_offsets() -> Iterator[tuple[str, list[int]]]:
    yield "those are offsets 1 to 17; they double: 1, 2, 4 and so on to 65,536.", list(range(1, 18))
    yield "those are offsets 0 to 16; they are powers of two: 2 ** torch.arange(17).", list(range(17))
    yield "those are 16 offsets; the last is 65,536, the seventeenth.", OFFSETS[:-1]
    yield "the offsets begin at 1, not at 2.", [2 * offset for offset in OFFSETS]


def _require_far(press: type) -> None:
    case = _case(4, FAR_POSITION, bands=16)
    lost = "right near the beginning and wrong far from it: a float32 phase loses its angle there. omega is float64: "
    need(near(_of_heads(press, case)[0], case.right, FAR), lost + "do not turn the phases into float32.")


def _score(press: type, layer: int, position: int, *cases: Case) -> torch.Tensor:
    """As KVPress calls it; of a cache out of which rows have gone, where the position is not the last row's place."""
    keys = cases[layer].keys[None].clone()
    places = torch.tensor([[position]])
    kwargs = {"position_ids": places, "cache_position": torch.tensor([keys.shape[2] - 1])}
    call = f"score(layer {layer}, keys of {keys.shape[2]} rows, position {position})"
    made = _ready(press, *cases)
    found = as_tensor(attempt(call, made.score, SimpleNamespace(layer_idx=layer), None, keys, keys, None, kwargs))
    need(bool(found.isfinite().all()), "some scores are not finite.")
    return found


def _grouped(case: Case) -> torch.Tensor:
    return group_scores(case.right[None], 2)


def _require_grouped_shape(press: type) -> None:
    found = list(_score(press, 0, LAST, _case(0, LAST)).shape)
    need(found != [1, 4, 5], "that is a score per query head; KVPress keeps rows per KV head, so [1, 2, 5].")
    need(found == [1, 2, 5], f"keys [1, 2, 5, 8] have scores [1, 2, 5]; yours are {found}.")


def _require_grouped(press: type) -> None:
    for seed in range(3):
        case = _case(seed, LAST)
        found, raw = _score(press, 0, LAST, case), case.right[None]
        z_scores = group_scores(raw, 4)  # each query head for itself
        mistakes = {
            "the scores are not z-scored: a head with large scores speaks for its whole group.": raw.unflatten(
                1, (2, 2)
            ).amax(2),
            "that is the mean over the group, as KVPress's SnapKV has it; here the best of the group counts.": (
                z_scores.unflatten(1, (2, 2)).mean(2)
            ),
            "that is the mean of raw scores; z-scores first, then the best of each group.": raw.unflatten(
                1, (2, 2)
            ).mean(2),
            "query heads 0 and 1 share KV head 0: unflatten into (KV heads, group), and take the best of the last.": (
                z_scores.unflatten(1, (2, 2)).amax(1)
            ),
            "lower is better there; KVPress keeps the highest.": -_grouped(case),
            "the z-scores are taken over heads and not over rows: mean and deviation over the last dimension.": (
                ((raw - raw.mean(1, keepdim=True)) / raw.std(1, keepdim=True, correction=0))
                .unflatten(1, (2, 2))
                .amax(2)
            ),
        }
        for message, wrong in mistakes.items():
            need(not _same_scores(found, wrong), message)
        too_late = "that is one token too late: the last token read has position 4 of 5, and the offsets begin at 1."
        need(not _same_scores(found, _grouped(_case(seed, LAST + 1))), too_late)
        need(
            _same_scores(found, _grouped(case)),
            "it is not the largest z-score of the query heads that share the KV head.",
        )


def _require_layer(press: type) -> None:
    first, second = _case(0, LAST), _case(1, LAST)
    found = _score(press, 1, LAST, first, second)
    other = Case(second.keys, first.q_mean, first.q_abs_mean, first.omega, LAST, OFFSETS)
    message = "that is scored with layer 0's statistics; module.layer_idx says which layer it is."
    need(not _same_scores(found, _grouped(other)), message)
    need(_same_scores(found, _grouped(second)), "it is scored with other statistics than layer 1's.")


def _require_position(press: type) -> None:
    late = _case(2, 299)
    found = _score(press, 0, 299, late)
    early = "five rows are left of 300 tokens, so neither keys.shape[2] nor cache_position says how late it is: "
    for position in (LAST, LAST + 1):
        wrong = Case(late.keys, late.q_mean, late.q_abs_mean, late.omega, position, OFFSETS)
        need(not _same_scores(found, _grouped(wrong)), early + 'take the last of kwargs["position_ids"].')
    need(_same_scores(found, _grouped(late)), 'the position is the last of kwargs["position_ids"].')


def _same_scores(found: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether the scores agree, whichever standard deviation made them z-scores: it is one factor for all."""
    rows = right.shape[-1]
    return near(found, right) or near(found * (rows / (rows - 1)) ** 0.5, right)

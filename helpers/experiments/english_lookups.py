"""TriAttention with the mean query of look-ups alone, in a head: ``python -m helpers.experiments.english_lookups``.

The English reasoner looks values up by one KV head, and the mean query of that head is the mean of two jobs. Here the
head scores by the mean and the spread of its look-ups alone, where each head of each layer chooses and half of the
thought is kept; for comparison another head of its layer does, and every head. All else is ``english_sweep``'s. The
result is saved as data, with the machine and the versions, for the lessons to show.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product
from typing import Any

import torch
from tqdm import tqdm

from helpers.eviction import TriAttention
from helpers.eviction.recorder import Recorder
from helpers.eviction.triattention import look_at_queries, means_of
from helpers.experiments import english_sweep as english
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.sweep import Cell, judge_cell
from helpers.models import make_worksheets
from helpers.models.loading import gold_and_length
from helpers.models.worksheets_in_words import in_words
from helpers.records.english_lookups import ALL, NONE, OTHER, THE_ONE
from helpers.records.smollm2_sweep import EVERY_HEAD

Head = tuple[int, int]  # layer and KV head


@cache
def of_lookups() -> TriAttention:
    """TriAttention with E[q] and E|q| over the tokens that look a value up alone, of the same worksheets as ever."""
    whole, sheets = english.calibrated(), make_worksheets(**english.CALIBRATION, held_out=False)
    token_ids, start = gold_and_length(english.reasoner(), [in_words(sheet) for sheet in sheets])
    places = torch.arange(start, token_ids.shape[1])
    asks = torch.isin((places - start) % english.IN_WORDS.line, torch.tensor(english.IN_WORDS.asks))
    there = places[asks]
    means = look_at_queries(
        english.reasoner().model, token_ids, whole.omega, lambda queries: means_of(queries[:, :, there])
    )
    q_mean, q_abs_mean = (torch.stack(of_layers) for of_layers in zip(*means.values(), strict=True))
    return whole.with_other(q_mean=q_mean, q_abs_mean=q_abs_mean)


def with_lookups_in(heads: Collection[Head]) -> TriAttention:
    """TriAttention as calibrated, but in some KV heads E[q] and E|q| of look-ups alone, for all query heads there."""
    whole, asking = english.calibrated(), of_lookups()
    q_mean, q_abs_mean = whole.q_mean.clone(), whole.q_abs_mean.clone()
    group = q_mean.shape[1] // english.reasoner().shape.n_kv_heads
    for layer, kv_head in heads:
        members = slice(kv_head * group, (kv_head + 1) * group)
        q_mean[layer, members] = asking.q_mean[layer, members]
        q_abs_mean[layer, members] = asking.q_abs_mean[layer, members]
    return whole.with_other(q_mean=q_mean, q_abs_mean=q_abs_mean)


@cache
def heads() -> dict[str, list[Head]]:
    """Which KV heads score by the mean of their look-ups: the one that looks up, another, all."""
    shape, (layer, looks_up) = english.reasoner().shape, (english.head()["layer"], english.head()["kv_head"])
    every = list(product(range(shape.n_layers), range(shape.n_kv_heads)))
    other = layer, (looks_up + 1) % shape.n_kv_heads
    return {NONE: [], THE_ONE: [(layer, looks_up)], OTHER: [other], ALL: every}


def run(name: str, index: int) -> dict[str, Any]:
    """Replay one batch with the mean of look-ups in the heads of that name."""
    exam, recorder = english.prepare(index), Recorder(with_lookups_in(heads()[name]))
    judged = judge_cell(Cell("TriAttention", english.SHARE, EVERY_HEAD), exam, recorder)
    return english.result_with_copies(exam, english.in_signs(index), recorder, judged)


def agreement(layer: int, query_head: int) -> dict[str, dict[str, float]]:
    """How alike a head's mean query of look-ups and that of all it does are, and R of each, by bands.

    The strongest two bands, by E|q| of all it does, are those of the published R.
    """
    whole, asking = english.calibrated(), of_lookups()
    strongest = torch.zeros(whole.q_mean.shape[-1], dtype=torch.bool)
    strongest[whole.q_abs_mean[layer, query_head].topk(2).indices] = True
    found = {}
    for name, bands in (("two strongest", strongest), ("others", ~strongest)):
        one, other = (policy.q_mean[layer, query_head, bands] for policy in (whole, asking))
        product = (one.conj() * other).sum().real / (one.abs().square().sum() * other.abs().square().sum()).sqrt()
        R = {part: policy.concentration[layer, query_head, bands].mean() for part, policy in _parts().items()}
        found[name] = {"cosine of the means": product.item()} | {f"R {part}": mean.item() for part, mean in R.items()}
    return {name: {part: round(value, 3) for part, value in each.items()} for name, each in found.items()}


def _parts() -> dict[str, TriAttention]:
    return {"of all it does": english.calibrated(), "of its look-ups": of_lookups()}


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("english_lookups", __doc__)
    parser.add_argument("--worksheets", type=int, default=96)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    work = list(product(heads(), range(options.worksheets // english.BATCH)))
    with ProcessPoolExecutor(options.processes) as pool:
        results = list(tqdm(pool.map(run, *zip(*work, strict=True)), total=len(work), unit="run"))
    measured = {
        "worksheets": {"count": options.worksheets, "n_lines": english.N_LINES, "seed": english.SEED},
        "lookup_head": english.head(),
        "by_bands": agreement(english.head()["layer"], english.head()["query_head"]),
        "heads": [
            {"heads": name}
            | english.join_with_copies([r for (n, _), r in zip(work, results, strict=True) if n == name])
            for name in heads()
        ],
    }
    finish(new_report(command_of(parser, options)) | measured, options)


if __name__ == "__main__":
    main()

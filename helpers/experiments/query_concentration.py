"""How alike a real model's queries are, whatever the text, and what that lets one predict: the premise of TriAttention.

``python -m helpers.experiments.query_concentration`` reads five kinds of text with SmolLM2, turns queries and keys back
by their positions, and takes their means. R of a band is ``|E q| / E|q|``. Then the logits that the means predict over
distance, ``sum_f |E q_f| |E k_f| cos(omega_f distance + phi_f)``, are held against the mean of the real ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from helpers.eviction.triattention import LEAST_TOKENS, TriAttention, turn_back
from helpers.experiments.fidelity import Heard, listen
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.sweep import N_LINES, calibrated
from helpers.experiments.windows import RANDOM, windows
from helpers.models.loading import Loaded, gold_ids, load_reasoner, load_smollm2
from helpers.models.worksheets import make_worksheets
from helpers.records.texts import TEXTS

KINDS = (*TEXTS, RANDOM)
PREDICTED = "english"  # the text whose logits are predicted, from its own means and from those of the others
COUNT, LENGTH = 4, 1024
BANDS = (2, 4, 8)  # how many of the strongest R is averaged over, beside all
SINKS = 4  # a text's first tokens, which all others attend to in their own way
SHEETS = ((3, True), (11, False))  # of the reasoner, seed and whether held out of its training: read, and the others
NEXT = 256  # the last queries of a window, whose logits are measured: to every distance equally many


@dataclass(frozen=True)
class Means:
    """Means over the tokens of a text, before RoPE: bands are complex numbers.

    Attributes:
        q, q_size: E[q] and E|q|, ``[n_layers, n_heads, bands]``.
        k, k_size: E[k] and E|k| of the KV head behind each query head, likewise.
    """

    q: torch.Tensor
    q_size: torch.Tensor
    k: torch.Tensor
    k_size: torch.Tensor

    def concentration(self, n_bands: int, by_product: bool = False) -> torch.Tensor:
        """R per head, ``[n_layers, n_heads]``, over its strongest bands: by E|q|, or as the paper has it by E|q| E|k|.

        By E|q| it is ``TriAttention.head_concentration``.
        """
        strength = self.q_size * self.k_size if by_product else self.q_size
        return (self.q.abs() / self.q_size).gather(-1, strength.topk(n_bands, dim=-1).indices).mean(-1)

    def series(self, layer: int, omega: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
        """The logits that the means predict, before division: ``[n_heads, distances]``."""
        products = self.q[layer] * self.k[layer].conj()
        turns = torch.polar(torch.ones(1).double(), omega[:, None] * distances.double())  # [bands, distances]
        return (products @ turns).real


def pool(of_texts: Sequence[Means]) -> Means:
    """The means over several texts of one length."""
    parts = zip(*((each.q, each.q_size, each.k, each.k_size) for each in of_texts), strict=True)
    return Means(*(torch.stack(part).mean(0) for part in parts))


def take_means(heard: Sequence[Heard], omega: torch.Tensor) -> Means:
    """E[q], E|q|, E[k] and E|k| of what attention was given, turned back."""
    found: list[tuple[torch.Tensor, ...]] = []
    for layer in heard:
        positions = torch.arange(layer.queries.shape[2])
        q, k = (turn_back(rows, omega, positions) for rows in (layer.queries, layer.keys))
        k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
        found.append(tuple(mean for rows in (q, k) for mean in (rows.mean((0, 2)), rows.abs().mean((0, 2)))))
    return Means(*(torch.stack(part) for part in zip(*found, strict=True)))


def logits_over_distance(layer: Heard, distances: torch.Tensor) -> torch.Tensor:
    """Logits that the last queries of each window give over distance, ``[n_heads, queries, distances]``, undivided."""
    queries, keys = layer.queries[:, :, -NEXT:], layer.keys
    grouped = queries.unflatten(1, (keys.shape[1], -1))
    logits = (grouped @ keys[:, :, None].transpose(-1, -2)).flatten(1, 2)  # [windows, n_heads, NEXT, tokens]
    own = torch.arange(keys.shape[2] - NEXT, keys.shape[2])
    places = own[:, None] - distances  # of the keys that stand so far before each query
    return logits.gather(-1, places.expand(*logits.shape[:2], -1, -1)).transpose(0, 1).flatten(1, 2).double()


def heard_by_keys(layer: Heard, means: Means, omega: torch.Tensor, index: int) -> torch.Tensor:
    """Correlation over keys, ``[n_heads]``, of what the next queries give a key and what the mean query says they will.

    Per window, then the mean over windows. It is what an eviction lives on: which of the keys will be heard.
    """
    keys = layer.keys[:, :, SINKS:-NEXT].double().repeat_interleave(len(means.q[index]) // layer.keys.shape[1], dim=1)
    positions = torch.arange(layer.keys.shape[2] - NEXT, layer.keys.shape[2])
    turns = torch.polar(torch.ones(1).double(), omega * positions.double()[:, None]).mean(0)
    expected = means.q[index] * turns
    expected = torch.cat([expected.real, expected.imag], dim=-1)[:, :, None]  # [n_heads, head_dim, 1]
    real = layer.queries[:, :, -NEXT:].double().mean(2)[..., None]
    return correlate((keys @ real)[..., 0], (keys @ expected)[..., 0]).mean(0)


def correlate(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Pearson's correlation over the last dimension."""
    one, other = (x - x.mean(-1, keepdim=True) for x in (one, other))
    return (one * other).sum(-1) / (one.norm(dim=-1) * other.norm(dim=-1))


def log_distances(furthest: int, count: int = 48) -> torch.Tensor:
    """Whole distances from 1 to ``furthest``, evenly spread on a logarithmic axis."""
    return torch.logspace(0, math.log10(furthest), count).round().long().unique()


def cosines(of_texts: dict[str, Means]) -> list[dict[str, Any]]:
    """How far the centres of queries point the same way in two texts: cosine per head, its mean and its lowest 5%."""
    names, found = list(of_texts), []
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            a, b = (torch.view_as_real(of_texts[name].q).flatten(-2) for name in (one, other))
            cosine = torch.cosine_similarity(a, b, dim=-1).flatten()
            found.append(
                {"one": one, "other": other, "mean": _short(cosine.mean()), "low": _short(cosine.quantile(0.05))}
            )
    return found


def summarize(model: str, text: str, means: Means) -> list[dict[str, Any]]:
    """R of a model over a text, by the number of strongest bands and by what makes a band strong."""
    lines = []
    for by_product in (False, True):
        for n_bands in (*BANDS, means.q.shape[-1]):
            of_heads = means.concentration(n_bands, by_product)
            above = (of_heads > 0.95).double().mean()
            line = {"model": model, "text": text, "by": "qk" if by_product else "q", "bands": n_bands}
            lines.append(line | {"mean": _short(of_heads.mean()), "above": _short(above)})
    return lines


def examine(heard: Sequence[Heard], own: Means, others: Means, omega: torch.Tensor) -> dict[str, Any]:
    """How well means predict the logits of a text, per head.

    Returns:
        Arrays ``[n_layers, n_heads]`` of correlations: over distance of the mean logit with the series of the text's
        ``own`` means, and of the ``others``'; of each query's logits by itself with the own series, the mean over
        queries (``single``); over ``keys``, by the others' means. And ``series``: the curves of the head that is best
        by its own means, of the median one and of the worst.
    """
    distances = log_distances(heard[0].keys.shape[2] - NEXT - SINKS)
    by_own, by_others = (
        torch.stack([means.series(i, omega, distances) for i in range(len(heard))]) for means in (own, others)
    )
    measured, single, keys = [], [], []
    for i, layer in enumerate(heard):
        of_queries = logits_over_distance(layer, distances)
        measured.append(of_queries.mean(1))
        single.append(correlate(of_queries, by_own[i][:, None]).mean(1))
        keys.append(heard_by_keys(layer, others, omega, i))
    curves = {"measured": torch.stack(measured), "own": by_own, "others": by_others}
    r = {name: correlate(curves["measured"], curves[name]) for name in ("own", "others")}
    arrays = r | {"single": torch.stack(single), "keys": torch.stack(keys)}
    series = choose(r["own"], {name: curve * heard[0].scaling for name, curve in curves.items()})
    return {"distances": distances.tolist(), "series": series} | {k: _rounded(array) for k, array in arrays.items()}


def choose(r: torch.Tensor, curves: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
    """The curves of the head with the highest correlation, of the median one and of the lowest."""
    order, chosen = r.flatten().argsort(descending=True).tolist(), []
    for name, place in (("best", order[0]), ("median", order[len(order) // 2]), ("worst", order[-1])):
        layer, head = divmod(place, r.shape[1])
        of_head = {key: _rounded(curve[layer, head]) for key, curve in curves.items()}
        chosen.append({"name": name, "layer": layer, "head": head, **of_head})
    return chosen


def measure(loaded: Loaded, count: int, length: int) -> dict[str, Any]:
    """All of it for one model: R by text and pooled, cosines of centres, and predicted logits."""
    probe = windows(loaded, PREDICTED, 1, LEAST_TOKENS)
    omega = TriAttention.calibrate(loaded.model, probe).omega.cpu()  # refuses what does not turn as RoPE does
    means: dict[str, Means] = {}
    for text in tqdm(KINDS, desc="texts read"):
        heard = listen(loaded.model, windows(loaded, text, count, length))
        means[text] = take_means(heard, omega)
        if text == PREDICTED:
            kept = heard
    pooled = pool(list(means.values()))
    lines = [line for text, each in (means | {"all": pooled}).items() for line in summarize(loaded.name, text, each)]
    others = pool([means[text] for text in TEXTS if text != PREDICTED])
    arrays = {"two_bands": _rounded(pooled.concentration(2)), "all_bands": _rounded(pooled.concentration(len(omega)))}
    return {"R": lines, "cosines": cosines(means)} | arrays | examine(kept, means[PREDICTED], others, omega)


def of_reasoner() -> list[dict[str, Any]]:
    """R of the reasoner over worksheets, by E|q| alone."""
    policy = calibrated()
    k_size = torch.ones_like(policy.q_abs_mean)
    means = Means(policy.q_mean, policy.q_abs_mean, k_size, k_size)
    return [line for line in summarize("reasoner", "worksheets", means) if line["by"] == "q"]


def on_worksheets(count: int = 4) -> dict[str, Any]:
    """As ``examine``, of the reasoner on worksheets; the others' means are of as many worksheets of its training."""
    reasoner = load_reasoner()
    own, others = (gold_ids(reasoner, make_worksheets(count, N_LINES, seed, held_out)) for seed, held_out in SHEETS)
    omega = TriAttention.calibrate(reasoner.model, others).omega
    heard = listen(reasoner.model, own)
    return examine(heard, take_means(heard, omega), take_means(listen(reasoner.model, others), omega), omega)


def _short(number: torch.Tensor) -> float:
    return round(number.item(), 3)


def _rounded(array: torch.Tensor) -> list:
    return [_rounded(part) for part in array] if array.ndim else _short(array)


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("query_concentration", __doc__)
    options = parser.parse_args()
    reasoner = of_reasoner()
    found = measure(load_smollm2(), COUNT, LENGTH)
    found["R"] += reasoner
    finish(new_report(command_of(parser, options)) | {"windows": COUNT, "tokens": LENGTH} | found, options)


if __name__ == "__main__":
    main()

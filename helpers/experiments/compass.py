"""What TriAttention multiplies, of two heads: ``python -m helpers.experiments.compass`` writes it down to be drawn.

Each head is calibrated on one text and scores the keys of another. Its mean query, its keys as cached, and the scores
that ``helpers.eviction.score`` gives them at every distance ahead are saved, with a few real queries around the mean.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch

from helpers.eviction.triattention import TriAttention, score, turn_back
from helpers.experiments.fidelity import listen
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.sweep import calibrated
from helpers.experiments.windows import windows
from helpers.models.loading import Loaded, load_reasoner, load_smollm2
from helpers.models.worksheets import make_worksheets
from helpers.records.compass import SHEET_LINES, SHEET_SEED

SENTENCE = "The keeper lit the lamp every night, and one night a whale came and sang"
CALIBRATION = "english", 1, 1024  # text, windows, tokens of each
DISTANCES = (0, 1, *sorted([2**i for i in range(1, 14)] + [3 * 2**i for i in range(12)]))  # ahead; SmolLM2 reads 8,192
QUICK = math.radians(1)  # a band that turns by more per token is called quick here
DOTS = 96  # real queries drawn around the mean
DIGITS = 3
SHEET_TOKENS = 16  # of the reasoner's worksheet whose keys are scored
GRID_LAYER, GRID_HEAD, GRID_TOKENS = 10, 0, 12  # whose logits the tiles of the second wall run over


class Subject(NamedTuple):
    """A model, its policy, the tokens whose keys are scored, and those whose queries are shown as dots."""

    loaded: Loaded
    policy: TriAttention
    tokens: torch.Tensor
    others: torch.Tensor


def of_smollm2() -> Subject:
    """SmolLM2, which reads a sentence."""
    loaded = load_smollm2()
    text = windows(loaded, *CALIBRATION)
    tokens = loaded.tokenizer(SENTENCE, return_tensors="pt").input_ids
    return Subject(loaded, TriAttention.calibrate(loaded.model, text), tokens, text)


def of_reasoner() -> Subject:
    """The reasoner, which reads the beginning of a worksheet, calibrated on those of its training set."""
    loaded = load_reasoner()
    sheet = make_worksheets(1, SHEET_LINES, SHEET_SEED)[0]
    tokens = loaded.tokenizer(sheet.prompt, return_tensors="pt").input_ids
    others = loaded.tokenizer(sheet.prompt + sheet.thought, return_tensors="pt").input_ids
    return Subject(loaded, calibrated(), tokens[:, :SHEET_TOKENS], others)


def head_of(name: str, subject: Subject, layer: int, head: int) -> dict[str, Any]:
    """All that a compass of one head is drawn from, as ``helpers.records.compass.Head`` has it."""
    policy, position = subject.policy, subject.tokens.shape[1] - 1
    heard = listen(subject.loaded.model, subject.tokens)[layer]
    kv_head = head // (heard.queries.shape[1] // heard.keys.shape[1])
    keys = _round(heard.keys[:, kv_head])  # rounded first: the scores are of the numbers that are saved
    q_mean = torch.view_as_complex(_round(torch.view_as_real(policy.q_mean[layer, head].to(torch.complex128))))
    q_abs_mean, omega = _round(policy.q_abs_mean[layer, head]), policy.omega.cpu().double()
    statistics = q_mean[None], q_abs_mean[None], omega, position
    ahead = [score(keys, *statistics, [distance])[0] for distance in DISTANCES]
    still = score(keys, torch.zeros_like(q_mean)[None], (q_abs_mean - q_mean.abs())[None], omega, position, [0])[0]
    bands = strongest(q_abs_mean, keys[0], omega)
    return {
        "name": name,
        "layer": layer,
        "head": head,
        "R": _list(policy.concentration[layer, head][bands].double()),
        "tokens": [subject.loaded.tokenizer.decode([token]) for token in subject.tokens[0].tolist()],
        "position": position,
        "omega": [float(f"{value:.9g}") for value in omega.tolist()],
        "q_mean": _list(torch.view_as_real(q_mean)),
        "q_abs_mean": _list(q_abs_mean),
        "keys": _list(keys[0]),
        "bands": bands,
        "dots": [_dots(subject, layer, head, band) for band in bands],
        "scores": _list(torch.stack(ahead)),
        "mean_score": _list(score(keys, *statistics, policy.offsets)[0]),
        "norm": _list(still),
    }


def strongest(q_abs_mean: torch.Tensor, keys: torch.Tensor, omega: torch.Tensor) -> list[int]:
    """Of the quick bands and of the slow ones the strongest each, by E|q| E|k| over the keys but the first."""
    first, second = keys[1:].chunk(2, dim=-1)
    strength = q_abs_mean * torch.complex(first, second).abs().mean(0)
    return [int((strength * kind).argmax()) for kind in (omega > QUICK, omega <= QUICK)]


def _dots(subject: Subject, layer: int, head: int, band: int) -> list[list[float]]:
    queries = listen(subject.loaded.model, subject.others)[layer].queries[:1, head]
    turned = turn_back(queries, subject.policy.omega, torch.arange(queries.shape[1]))[0, :, band]
    some = turned[:: max(1, len(turned) // DOTS)][:DOTS]
    return [[round(part, 2) for part in dot] for dot in torch.view_as_real(some).tolist()]


def grid_of(subject: Subject) -> dict[str, Any]:
    """The logits of one head over a sentence, divided by sqrt(head_dim), ``[tokens, tokens]``; no mask."""
    heard = listen(subject.loaded.model, subject.tokens)[GRID_LAYER]
    kv_head = GRID_HEAD // (heard.queries.shape[1] // heard.keys.shape[1])
    logits = heard.queries[0, GRID_HEAD] @ heard.keys[0, kv_head].T * heard.scaling
    tokens = [subject.loaded.tokenizer.decode([token]) for token in subject.tokens[0].tolist()]
    return {
        "layer": GRID_LAYER,
        "head": GRID_HEAD,
        "tokens": tokens[:GRID_TOKENS],
        "logits": _list(logits[:GRID_TOKENS, :GRID_TOKENS].double()),
    }


def _round(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.double().round(decimals=DIGITS)


def _list(numbers: torch.Tensor) -> list[Any]:
    return [_list(part) if part.ndim else round(part.item(), DIGITS) for part in numbers]


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("compass", __doc__)
    options = parser.parse_args()
    smollm2 = of_smollm2()
    # Of SmolLM2 a head whose quick band weighs enough to be seen: most of its heads live on slow bands alone.
    heads = [
        head_of("SmolLM2", smollm2, 16, 0),
        head_of("the reasoner", of_reasoner(), 3, 2),
    ]
    found = {"distances": DISTANCES, "heads": heads, "grid": grid_of(smollm2)}
    finish(new_report(command_of(parser, options)) | found, options)


if __name__ == "__main__":
    main()

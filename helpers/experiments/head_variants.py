"""Reasoners that grew up with other numbers of KV heads: ``python -m helpers.experiments.head_variants``.

The same model, text, order and rates as the reasoner's, but shorter worksheets and a third of the tokens; the number of
KV heads alone differs, and the start: each is trained from several. Each is then examined, and its concentration R is
noted on the way: does it grow with training?

Resumable: what stands in the data already is not trained again.
"""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from helpers.arithmetic.footprint import KVShape
from helpers.decoding.answers import complete
from helpers.eviction import TriAttention
from helpers.experiments.report import command_of, new_parser, new_report, save
from helpers.experiments.train_reasoner import make_model, train
from helpers.experiments.worksheet_training import Schedule
from helpers.machine.device import pick_device
from helpers.models.tokenizer import make_tokenizer
from helpers.models.worksheets import grade, make_worksheets

KV_HEADS, SEEDS = (8, 4, 2, 1), 2
TOKENS, LINES, BATCH_TOKENS = 4_500_000, 12, 4_000
MARKS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)  # shares of the training after which R is taken
EXAM = {"count": 200, "seed": 0}
TEXT = {"count": 32, "seed": 11, "held_out": False}  # what R is measured on


class Concentrations:
    """Watches a training and notes R of every query head, over its two strongest bands, when a mark is passed."""

    def __init__(self, token_ids: torch.Tensor, tokens: int) -> None:
        self.token_ids, self.marks = token_ids, [int(mark * tokens) for mark in MARKS]
        self.noted: list[dict[str, Any]] = []

    def note(self, model: Any, progress: Any) -> None:
        """Called after every step; ``R`` is ``[n_layers][n_heads]``."""
        if len(self.noted) < len(self.marks) and progress.tokens >= self.marks[len(self.noted)]:
            self.noted.append({"tokens": progress.tokens, "R": concentration(model, self.token_ids)})


def concentration(model: Any, token_ids: torch.Tensor) -> list[list[float]]:
    """R per layer and query head over a text ``[sheets, tokens]``, rounded: the mean of the two strongest bands."""
    strongest = TriAttention.calibrate(model, token_ids.to(model.device)).head_concentration()
    return [[round(value, 4) for value in layer] for layer in strongest.tolist()]


def text_ids(tokenizer: Any, n_lines: int) -> torch.Tensor:
    """Whole worksheets of the training set, ``[sheets, tokens]``."""
    sheets = make_worksheets(n_lines=n_lines, **TEXT)
    return tokenizer([f"{s.prompt} {s.thought} {s.answer}" for s in sheets], return_tensors="pt").input_ids


def grow(n_kv_heads: int, seed: int, tokens: int, n_lines: int, device: str) -> dict[str, Any]:
    """Train one variant and examine it: one line of the data."""
    torch.set_num_threads(1)  # two trainings of one thread each are done sooner than two of two, one after the other
    tokenizer = make_tokenizer()
    watcher = Concentrations(text_ids(tokenizer, n_lines), tokens)
    torch.manual_seed(seed)
    untrained = concentration(make_model(len(tokenizer), n_kv_heads).to(device), watcher.token_ids)
    watcher.noted.append({"tokens": 0, "R": untrained})
    with tempfile.TemporaryDirectory() as folder:
        schedule = Schedule(tokens, 0, n_lines, BATCH_TOKENS)
        model, _, progress = train(Path(folder), schedule, device, n_kv_heads, seed, watcher.note)
    sheets = make_worksheets(n_lines=n_lines, **EXAM)
    texts = [text for i in range(0, len(sheets), 25) for text in complete(model, tokenizer, sheets[i : i + 25])]
    return {
        "n_kv_heads": n_kv_heads,
        "seed": seed,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes_per_token_fp16": KVShape.from_config(model.config).bytes_per_token("fp16"),
        "tokens": progress.tokens,
        "minutes": round(progress.seconds / 60, 1),
        "longest_worksheet_lines": progress.longest,
        "right": "".join(str(int(right)) for right in map(grade, sheets, texts)),
        "history_tokens_lines_loss": progress.history,
        "concentration": watcher.noted,
    }


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("head_variants", __doc__)
    parser.add_argument("--tokens", type=float, default=TOKENS)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="trainings per number of KV heads")
    parser.add_argument("--device", default=pick_device())
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    sizes = {"tokens": int(options.tokens), "n_lines": options.lines, "device": options.device}
    path = options.out or options.record
    report = new_report(command_of(parser, options), options.device) | {
        "lines": options.lines,
        "exam": EXAM,
        "text": TEXT,
        "variants": [],
    }
    if path.exists():
        report["variants"] = json.loads(path.read_text())["variants"]
    done = {(variant["n_kv_heads"], variant["seed"]) for variant in report["variants"]}
    todo = [pair for seed in range(options.seeds) for pair in ((heads, seed) for heads in KV_HEADS) if pair not in done]
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        for job in as_completed([pool.submit(grow, *pair, **sizes) for pair in todo]):
            report["variants"].append(job.result())
            report["variants"].sort(key=lambda variant: (-variant["n_kv_heads"], variant["seed"]))
            save(report, path)


if __name__ == "__main__":
    main()

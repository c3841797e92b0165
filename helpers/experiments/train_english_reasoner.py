"""Teach SmolLM2 worksheets in words: ``python -m helpers.experiments.train_english_reasoner``.

Rounds, order and resuming are ``worksheet_training``'s; a low-rank adapter learns, and SmolLM2 stays as it was. At the
end it is examined, and what was done and reached is written beside the adapter. On a processor with matrix units for
bfloat16 the whole takes an hour; on another one, or on a GPU, nobody has timed it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers.decoding.judged import Exam
from helpers.eviction import TriAttention
from helpers.experiments.report import command_of, new_report, save
from helpers.experiments.worksheet_training import Pupil, Schedule, train
from helpers.machine.device import pick_device
from helpers.models import smollm2
from helpers.models.adapter import adapt, save_adapter
from helpers.models.loading import ADAPTER, Loaded, gold_ids, load_english_reasoner, load_smollm2
from helpers.models.worksheets import make_worksheets
from helpers.models.worksheets_in_words import END, in_words

CARD = """# The English reasoner

What SmolLM2-135M-Instruct learned of worksheets in words (`helpers/models/worksheets_in_words.py`): a low-rank adapter
for the linear layers of its 30 layers, in bfloat16. `load_english_reasoner` adds it to SmolLM2's weights. It was
trained for this course by `python -m helpers.experiments.train_english_reasoner`.

- Training: {tokens:,} tokens, {steps:,} steps, {minutes} minutes, the longest worksheets of {longest_worksheet_lines}
  lines; in the second round random rows of the thought were hidden.
- Machine: {machine[cpu]}, {machine[cores]} cores, GPU: {machine[gpu]}.
- Right, word for word, with all rows kept: {exam[right]} of {exam[worksheets]} worksheets of {exam[lines]} lines that
  training never saw.
- R on such worksheets, mean over all heads: of the two strongest bands {R[before][two_bands]} before,
  {R[after][two_bands]} after; of all bands {R[before][all_bands]} and {R[after][all_bands]}.

All figures, and the loss on the way, are in `training.json`.
"""
RANK, RATE = 8, 3e-3
OTHERS = 512  # tokens of SmolLM2's vocabulary that a loss looks at beside those of the worksheets
N_LINES = 24  # a thought of 461 tokens
BATCH = 25  # worksheets examined together


def make_pupil(model: Any, tokenizer: Any, rank: int = RANK) -> Pupil:
    """A model of SmolLM2's kind with an adapter that learns."""
    learned = adapt(model.train(), rank)
    optimizer = torch.optim.AdamW(learned.values(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    return Pupil(model, tokenizer, [optimizer], in_words, END, OTHERS)


def examine(loaded: Loaded, count: int, n_lines: int = N_LINES) -> int:
    """How many of ``count`` worksheets that training never saw it would write word for word, with all rows kept."""
    sheets, right = [in_words(sheet) for sheet in make_worksheets(count, n_lines, seed=0)], 0
    for start in range(0, count, BATCH):
        right += sum(Exam(loaded, sheets[start : start + BATCH]).judge().sheets_right)
    return right


def concentration(loaded: Loaded, n_lines: int = N_LINES) -> dict[str, float]:
    """R on worksheets in words of its training, the mean over all heads: of the two strongest bands, and of all."""
    sheets = [in_words(sheet) for sheet in make_worksheets(16, n_lines, seed=11, held_out=False)]
    policy = TriAttention.calibrate(loaded.model, gold_ids(loaded, sheets))
    found = {"two_bands": policy.head_concentration(), "all_bands": policy.concentration}
    return {name: round(R.mean().item(), 3) for name, R in found.items()}


def main() -> None:
    """Train from the command line."""
    name = "python -m helpers.experiments.train_english_reasoner"
    parser = argparse.ArgumentParser(name, description="Teach SmolLM2 worksheets in words.")
    parser.add_argument("--out", type=Path, default=ADAPTER.parent)
    parser.add_argument("--tokens", type=float, default=1e6, help="of the first round")
    parser.add_argument("--hiding-tokens", type=float, default=6e5, help="of the second round")
    parser.add_argument("--lines", type=int, default=N_LINES)
    parser.add_argument("--batch-tokens", type=int, default=2_000)
    parser.add_argument("--worksheets", type=int, default=200, help="to be examined on")
    parser.add_argument("--device", default=pick_device())
    options = parser.parse_args()
    torch.manual_seed(0)
    folder = smollm2.convert()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(options.device)
    pupil = make_pupil(model, AutoTokenizer.from_pretrained(folder))
    schedule = Schedule(int(options.tokens), int(options.hiding_tokens), options.lines, options.batch_tokens)
    progress = train(pupil, schedule, options.out / "checkpoint.pt")
    save_adapter(pupil.learned, options.out / ADAPTER.name)
    report(options, command_of(parser, options), progress)


def report(options: argparse.Namespace, command: str, progress: Any) -> None:
    """Examine what was saved, and write ``training.json`` and the model card beside it."""
    before, after = load_smollm2(), load_english_reasoner(options.out / ADAPTER.name)
    right = examine(after, options.worksheets, options.lines)
    print(f"{right} of {options.worksheets} worksheets right, word for word")
    measured = new_report(command, options.device) | {
        "tokens": progress.tokens,
        "steps": progress.step,
        "minutes": round(progress.seconds / 60, 1),
        "longest_worksheet_lines": progress.longest,
        "exam": {"worksheets": options.worksheets, "lines": options.lines, "right": right},
        "R": {"before": concentration(before, options.lines), "after": concentration(after, options.lines)},
        "history_tokens_lines_loss": progress.history,
    }
    save(measured, options.out / "training.json")
    (options.out / "README.md").write_text(CARD.format(**measured), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Train the reasoner, from nothing: ``python -m helpers.experiments.train_reasoner``.

Rounds, order and resuming are ``worksheet_training``'s. At the end the model is examined, and what was done and reached
is written beside the weights. Muon for the matrices learns about three times sooner than AdamW alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import DynamicCache, Qwen3Config, Qwen3ForCausalLM

from helpers.decoding.answers import share_right
from helpers.decoding.loop import generate
from helpers.experiments import worksheet_training
from helpers.experiments.report import command_of, new_report, save
from helpers.experiments.worksheet_training import Progress, Pupil, Schedule
from helpers.machine.device import pick_device
from helpers.models.tokenizer import make_tokenizer
from helpers.models.worksheets import WEIGHTS, make_worksheets

N_KV_HEADS = 4

CARD = """# The reasoner

A Qwen3 of {parameters:,} parameters that solves worksheets: it works the formulas one by one, restating the value
of each operand, and then answers. It was trained from nothing for this course, on worksheets made by
`helpers/models/worksheets.py`, by `python -m helpers.experiments.train_reasoner`; it knows no language and no other
task.

- Training: {tokens:,} tokens, {steps:,} steps, {minutes} minutes; in the last {hiding_tokens:,} tokens random rows of
  the thought were hidden, so that it hangs on no row whose value it does not need.
- Machine: {machine[cpu]}, {machine[cores]} cores, GPU: {machine[gpu]}.
- Exact final answers, greedy, on {exam[worksheets]} worksheets that training never saw: {exact}.
- With all but the last 32 tokens of its thought hidden, at 40 lines: {blind}. It needs its memory.
- Worksheets of up to {longest_worksheet_lines} lines; longer ones are outside what it has seen.

All figures, and the loss on the way, are in `training.json`.
"""


def make_model(vocab_size: int, n_kv_heads: int = N_KV_HEADS) -> Qwen3ForCausalLM:
    """A Qwen3 of about one million parameters: 4 layers, 8 query heads over 4 KV heads or so, head_dim 32."""
    config = Qwen3Config(
        vocab_size=vocab_size,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=n_kv_heads,
        head_dim=32,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return Qwen3ForCausalLM(config)


def make_optimizers(model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the embedding and the norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def train(
    out: Path,
    schedule: Schedule,
    device: str,
    n_kv_heads: int = N_KV_HEADS,
    seed: int = 0,
    on_step: Callable[[Any, Progress], None] = lambda model, progress: None,
) -> tuple[Any, Any, Progress]:
    """Train and save; returns model, tokenizer and what was done. ``on_step`` sees every step.

    It resumes from ``out/checkpoint.pt`` where that exists.
    """
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer), n_kv_heads).to(device).train()
    pupil = Pupil(model, tokenizer, make_optimizers(model), tell=lambda sheet: sheet, end=" <eos>")
    progress = worksheet_training.train(pupil, schedule, out / "checkpoint.pt", on_step)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return model, tokenizer, progress


def examine(model: Any, tokenizer: Any, count: int = 200) -> dict[str, Any]:
    """Exactness on ``count`` held-out worksheets per length, with and without memory, and the speed of one sequence."""
    exam = {str(n): make_worksheets(count, n, seed=0) for n in (16, 40)}
    prompt = tokenizer(exam["40"][0].prompt, return_tensors="pt").input_ids.to(model.device)
    trace = generate(model, prompt, DynamicCache(config=model.config), max_new_tokens=400)
    return {
        "worksheets": count,
        "exact_by_lines": {n: share_right(model, tokenizer, sheets) for n, sheets in exam.items()},
        "exact_40_lines_last_32_tokens_visible": share_right(model, tokenizer, exam["40"], visible=32),
        "tokens_per_second_one_sequence": round(trace.tokens_per_second),
    }


def write_report(
    out: Path, command: str, model: Any, progress: Progress, exam: dict[str, Any], hiding_tokens: int
) -> None:
    """Write ``training.json`` and the model card beside the weights."""
    report = new_report(command, model.device) | {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": progress.tokens,
        "hiding_tokens": hiding_tokens,
        "steps": progress.step,
        "minutes": round(progress.seconds / 60, 1),
        "longest_worksheet_lines": progress.longest,
        "exam": exam,
        "history_tokens_lines_loss": progress.history,
    }
    save(report, out / "training.json")
    exact = ", ".join(f"{share:.1%} at {n} lines" for n, share in exam["exact_by_lines"].items())
    blind = exam["exact_40_lines_last_32_tokens_visible"]
    (out / "README.md").write_text(CARD.format(exact=exact, blind=f"{blind:.1%}", **report))


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser("python -m helpers.experiments.train_reasoner", description="Train the reasoner.")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--tokens", type=float, default=9e6, help="of the first round")
    parser.add_argument("--hiding-tokens", type=float, default=4e6, help="of the second round")
    parser.add_argument("--lines", type=int, default=42)
    parser.add_argument("--batch-tokens", type=int, default=4_000)
    parser.add_argument("--device", default=pick_device())
    options = parser.parse_args()
    schedule = Schedule(int(options.tokens), int(options.hiding_tokens), options.lines, options.batch_tokens)
    model, tokenizer, progress = train(options.out, schedule, options.device)
    command, exam = command_of(parser, options), examine(model, tokenizer)
    write_report(options.out, command, model, progress, exam, progress.tokens - schedule.tokens)


if __name__ == "__main__":
    main()

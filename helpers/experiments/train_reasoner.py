"""Train the reasoner: ``python -m helpers.experiments.train_reasoner``.

Resumable: state is saved beside the weights every two minutes, and the same command goes on from there. Worksheets are
made on the fly from the step number, so nothing is read from disk and no worksheet held out for tests is ever seen. At
the end the model is examined, and what was done and reached is written beside the weights.

What was learned by trying: short worksheets first, longer ones as soon as the loss allows; Muon for the matrices learns
about three times sooner than AdamW alone; the loss counts the chain of thought and the answer only, since nobody can
predict the random formulas of the prompt.

There are two rounds. After the first the model is right on every worksheet, but hangs on each of its own words: with
all values kept that it would need and half of the rest evicted, it lost its place in the sheet, so that nothing could
be learned from what a policy kept. The second round hides random rows of the thought from later tokens, needed or not.
It then finds its place by the prompt and the last words, and needs of the rest the values alone. It draws all lengths
evenly, or short worksheets are forgotten (93.5% at 16 lines, where 3 million tokens had been drawn as in round one).
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import DynamicCache, Qwen3Config, Qwen3ForCausalLM

from helpers.decoding.answers import share_right
from helpers.decoding.loop import generate
from helpers.experiments.report import command_of, new_report, save
from helpers.machine.device import pick_device
from helpers.models.tokenizer import make_tokenizer
from helpers.models.worksheets import WEIGHTS, make_worksheets

START_LINES = 4  # the first worksheets; the longest grows by an eighth whenever the loss is low
LOW_LOSS = 0.08  # nats per token of thought
SAVE_EVERY_S = 120
# The second round.
HIDING_SHARE = 0.6  # of the batches; the others show everything
HIDING_RATE = 0.5  # of the first round's full learning rate
N_KV_HEADS = 4
NEAR = 16  # tokens back that are never hidden; the compressor's protect_recent


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


@dataclass
class Progress:
    """What a run has done so far; saved with the checkpoint and, at the end, beside the weights."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    longest: int = START_LINES
    loss: float = 5.0
    history: list[tuple[int, int, float]] = field(default_factory=list)  # (tokens, longest, loss), every 50 steps

    def note(self, loss: float, tokens: int, seconds: float, longest_goal: int) -> None:
        """Count one step; let the worksheets grow if the loss is low."""
        self.loss = 0.9 * self.loss + 0.1 * loss
        self.step, self.tokens, self.seconds = self.step + 1, self.tokens + tokens, seconds
        if self.loss < LOW_LOSS and self.longest < longest_goal:
            self.longest = min(longest_goal, self.longest + max(1, self.longest // 8))
            self.loss = 2 * LOW_LOSS  # the longer ones must earn the next step afresh
        if self.step % 50 == 0:
            self.history.append((self.tokens, self.longest, round(self.loss, 4)))


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


def learning_rate_share(tokens: int, budget: int) -> float:
    """Share of the full rate: up within 100,000 tokens, flat, then down to 0 over the last 40% of the budget."""
    return min(1.0, (tokens + 5_000) / 100_000, max(0.0, (budget - tokens) / (0.4 * budget)))


def make_batch(
    tokenizer: Any, step: int, longest: int, batch_tokens: int, evenly: bool = False
) -> tuple[torch.Tensor, int]:
    """Training worksheets of one length: token ids ``[count, length]`` and where the thought begins.

    Lengths are drawn mostly from the upper half of those allowed, or all ``evenly``.
    """
    rng = random.Random(step)
    mostly_long = rng.random() < 0.7 and not evenly
    n_lines = rng.randint(max(1, longest // 2) if mostly_long else 1, longest)
    first = make_worksheets(1, n_lines, seed=step, held_out=False)[0]
    prompt_length = 1 + len(first.prompt.split())  # 1 for <bos>
    length = prompt_length + len(first.thought.split()) + 2  # the answer and <eos>
    sheets = make_worksheets(max(1, batch_tokens // length), n_lines, seed=step, held_out=False)
    texts = [f"{s.prompt} {s.thought} {s.answer} <eos>" for s in sheets]
    return tokenizer(texts, return_tensors="pt").input_ids, prompt_length


def hide_rows(step: int, count: int, length: int, prompt_length: int, device: str = "cpu") -> torch.Tensor | None:
    """What each token may see when random rows of the thought are hidden: bool ``[count, 1, length, length]``, or None.

    A hidden row is hidden from all tokens more than ``NEAR`` after it, as an evicted one is. Each sequence has a share
    of its own, with the square root of a uniform number as its law: many shares are high, as a small budget's is.
    """
    rng = torch.Generator().manual_seed(step)
    if torch.rand((), generator=rng) >= HIDING_SHARE:
        return None
    row, token = torch.arange(length), torch.arange(length)[:, None]
    hidden = torch.rand(count, length, generator=rng) < torch.rand(count, 1, generator=rng).sqrt()
    hidden &= row >= prompt_length
    return ((row <= token) & ((row > token - NEAR) | ~hidden[:, None]))[:, None].to(device)


def train_step(
    model: Any,
    optimizers: list,
    ids: torch.Tensor,
    prompt_length: int,
    rate_share: float,
    visible: torch.Tensor | None = None,
) -> float:
    """One update on ``ids`` ``[count, length]``; returns the mean loss over thought and answer, in nats per token."""
    states = model.model(ids[:, :-1], attention_mask=visible, use_cache=False).last_hidden_state
    logits = model.lm_head(states[:, prompt_length - 1 :])  # [count, thought tokens, vocabulary]
    loss = cross_entropy(logits.flatten(0, 1).float(), ids[:, prompt_length:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate_share * group.setdefault("full_lr", group["lr"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item()


def train(
    out: Path,
    budget: int,
    longest_goal: int,
    batch_tokens: int,
    device: str,
    hiding_budget: int = 0,
    n_kv_heads: int = N_KV_HEADS,
    seed: int = 0,
    on_step: Callable[[Any, Progress], None] = lambda model, progress: None,
) -> tuple[Any, Any, Progress]:
    """Train and save, ``budget`` tokens in round one; returns model, tokenizer and what was done. ``on_step`` sees all.

    It resumes from ``out/checkpoint.pt`` where that exists.
    """
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    model = make_model(len(tokenizer), n_kv_heads).to(device).train()
    optimizers, progress = make_optimizers(model), Progress()
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        progress = _load(checkpoint, model, optimizers)
    started = saved = time.monotonic() - progress.seconds
    with tqdm(total=budget + hiding_budget, initial=progress.tokens, unit="tok", unit_scale=True, mininterval=5) as bar:
        while progress.tokens < budget + hiding_budget:
            evenly = progress.tokens >= budget
            ids, prompt_length = make_batch(tokenizer, progress.step, progress.longest, batch_tokens, evenly)
            share, visible = _round(progress, budget, hiding_budget, ids.shape, prompt_length, device)
            loss = train_step(model, optimizers, ids.to(device), prompt_length, share, visible)
            progress.note(loss, ids.numel(), time.monotonic() - started, longest_goal)
            on_step(model, progress)
            bar.set_postfix(lines=progress.longest, loss=f"{progress.loss:.4f}", refresh=False)
            bar.update(ids.numel())
            if time.monotonic() - saved > SAVE_EVERY_S:
                _save(checkpoint, model, optimizers, progress)
                saved = time.monotonic()
    _save(checkpoint, model, optimizers, progress)
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return model, tokenizer, progress


def _round(
    progress: Progress, budget: int, hiding_budget: int, sizes: tuple[int, int], prompt_length: int, device: str
) -> tuple[float, torch.Tensor | None]:
    """Share of the full learning rate, and what each token may see: in round one all that came before it."""
    if progress.tokens < budget:
        return learning_rate_share(progress.tokens, budget), None
    share = HIDING_RATE * learning_rate_share(progress.tokens - budget, hiding_budget)
    return share, hide_rows(progress.step, sizes[0], sizes[1] - 1, prompt_length, device)


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


def _save(checkpoint: Path, model: Any, optimizers: list, progress: Progress) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "model": model.state_dict(),
        "optimizers": [o.state_dict() for o in optimizers],
        "progress": asdict(progress),
    }
    torch.save(state, checkpoint.with_suffix(".new"))
    checkpoint.with_suffix(".new").replace(checkpoint)  # an interrupted save leaves the last good one


def _load(checkpoint: Path, model: Any, optimizers: list) -> Progress:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return Progress(**state["progress"])


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
    rounds = int(options.tokens), int(options.hiding_tokens)
    model, tokenizer, progress = train(
        options.out, rounds[0], options.lines, options.batch_tokens, options.device, rounds[1]
    )
    command, exam = command_of(parser, options), examine(model, tokenizer)
    write_report(options.out, command, model, progress, exam, progress.tokens - rounds[0])


if __name__ == "__main__":
    main()

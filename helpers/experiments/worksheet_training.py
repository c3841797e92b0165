"""How a model is taught worksheets, whichever it is: what ``train_reasoner`` and ``train_english_reasoner`` share.

Resumable: state is saved every two minutes, and the same command goes on from there. Worksheets are made on the fly
from the step number, so nothing is read from disk and no worksheet held out for tests is ever seen.

What was learned by trying: short worksheets first, longer ones as soon as the loss allows; the loss counts the chain of
thought and the answer only, since nobody can predict the random formulas of the prompt.

There are two rounds. After the first the model is right on every worksheet, but hangs on each of its own words: with
all values kept that it would need and half of the rest evicted, it lost its place in the sheet, so that nothing could
be learned from what a policy kept. The second round hides random rows of the thought from later tokens, needed or not.
It then finds its place by the prompt and the last words, and needs of the rest the values alone. It draws all lengths
evenly, or short worksheets are forgotten (93.5% at 16 lines, where 3 million tokens had been drawn as in round one).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy, linear
from tqdm import tqdm

from helpers.models.worksheets import Worksheet, make_worksheets

START_LINES = 4  # the first worksheets; the longest grows by an eighth whenever the loss is low
LOW_LOSS = 0.08  # nats per token of thought
SAVE_EVERY_S = 120
# The second round.
HIDING_SHARE = 0.6  # of the batches; the others show everything
HIDING_RATE = 0.5  # of the first round's full learning rate
NEAR = 16  # tokens back that are never hidden; the compressor's protect_recent


@dataclass(frozen=True)
class Pupil:
    """A model that learns worksheets.

    Attributes:
        model: a causal language model of transformers.
        tokenizer: its tokenizer.
        optimizers: of its parameters that learn; the others are frozen.
        tell: how a worksheet is put for it.
        end: what follows the answer in its texts.
        others: how many tokens of the vocabulary are drawn for each loss beside those of the batch; None for all.
    """

    model: Any
    tokenizer: Any
    optimizers: list[torch.optim.Optimizer]
    tell: Callable[[Worksheet], Worksheet]
    end: str
    others: int | None = None

    @property
    def learned(self) -> dict[str, torch.nn.Parameter]:
        """The parameters that learn, by name."""
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}


@dataclass(frozen=True)
class Schedule:
    """How much a pupil gets: tokens of the first round and of the second, the longest worksheets, tokens a batch."""

    tokens: int
    hiding_tokens: int
    lines: int
    batch_tokens: int

    @property
    def total(self) -> int:
        """Tokens of both rounds."""
        return self.tokens + self.hiding_tokens


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


def learning_rate_share(tokens: int, budget: int) -> float:
    """Share of the full rate: up within 100,000 tokens, flat, then down to 0 over the last 40% of the budget."""
    return min(1.0, (tokens + 5_000) / 100_000, max(0.0, (budget - tokens) / (0.4 * budget)))


def make_batch(
    pupil: Pupil, step: int, longest: int, batch_tokens: int, evenly: bool = False
) -> tuple[torch.Tensor, int]:
    """Training worksheets of one length: token ids ``[count, length]`` and where the thought begins.

    Lengths are drawn mostly from the upper half of those allowed, or all ``evenly``.
    """
    rng = random.Random(step)
    mostly_long = rng.random() < 0.7 and not evenly
    n_lines = rng.randint(max(1, longest // 2) if mostly_long else 1, longest)

    def texts(count: int) -> list[str]:
        sheets = map(pupil.tell, make_worksheets(count, n_lines, seed=step, held_out=False))
        return [f"{s.prompt} {s.thought} {s.answer}{pupil.end}" for s in sheets]

    prompt = pupil.tell(make_worksheets(1, n_lines, seed=step, held_out=False)[0]).prompt
    length = len(pupil.tokenizer(texts(1)[0]).input_ids)
    ids = pupil.tokenizer(texts(max(1, batch_tokens // length)), return_tensors="pt").input_ids
    return ids, len(pupil.tokenizer(prompt).input_ids)


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
    pupil: Pupil,
    ids: torch.Tensor,
    prompt_length: int,
    candidates: torch.Tensor | None,
    rate_share: float,
    visible: torch.Tensor | None = None,
) -> float:
    """One update on ``ids`` ``[count, length]``; returns the mean loss over thought and answer, in nats per token.

    The loss is among the ``candidates`` alone, different token ids in order, where some are given: all of SmolLM2's
    49,152 took more than half of a step.
    """
    states = pupil.model.model(ids[:, :-1], attention_mask=visible, use_cache=False).last_hidden_state
    states, expected = states[:, prompt_length - 1 :].flatten(0, 1), ids[:, prompt_length:].flatten()
    head = pupil.model.lm_head.weight
    if candidates is not None:
        head, expected = head[candidates], torch.searchsorted(candidates, expected)
    loss = cross_entropy(linear(states, head).float(), expected)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(pupil.learned.values(), 1.0)
    for optimizer in pupil.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate_share * group.setdefault("full_lr", group["lr"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item()


def train(
    pupil: Pupil,
    schedule: Schedule,
    checkpoint: Path,
    on_step: Callable[[Any, Progress], None] = lambda model, progress: None,
) -> Progress:
    """Train to the end of the schedule, from the checkpoint on where there is one; ``on_step`` sees every step."""
    progress = _load(checkpoint, pupil) if checkpoint.exists() else Progress()
    device = pupil.model.device
    started = saved = time.monotonic() - progress.seconds
    with tqdm(total=schedule.total, initial=progress.tokens, unit="tok", unit_scale=True, mininterval=5) as bar:
        while progress.tokens < schedule.total:
            evenly = progress.tokens >= schedule.tokens
            ids, prompt_length = make_batch(pupil, progress.step, progress.longest, schedule.batch_tokens, evenly)
            share, visible = _round(progress, schedule, ids.shape, prompt_length, device)
            candidates = _candidates(pupil, ids, progress.step)
            loss = train_step(pupil, ids.to(device), prompt_length, candidates, share, visible)
            progress.note(loss, ids.numel(), time.monotonic() - started, schedule.lines)
            on_step(pupil.model, progress)
            bar.set_postfix(lines=progress.longest, loss=f"{progress.loss:.4f}", refresh=False)
            bar.update(ids.numel())
            if time.monotonic() - saved > SAVE_EVERY_S:
                _save(checkpoint, pupil, progress)
                saved = time.monotonic()
    _save(checkpoint, pupil, progress)
    pupil.model.eval()
    return progress


def _round(
    progress: Progress, schedule: Schedule, sizes: tuple[int, int], prompt_length: int, device: str
) -> tuple[float, torch.Tensor | None]:
    """Share of the full learning rate, and what each token may see: in round one all that came before it."""
    if progress.tokens < schedule.tokens:
        return learning_rate_share(progress.tokens, schedule.tokens), None
    share = HIDING_RATE * learning_rate_share(progress.tokens - schedule.tokens, schedule.hiding_tokens)
    return share, hide_rows(progress.step, sizes[0], sizes[1] - 1, prompt_length, device)


def _candidates(pupil: Pupil, ids: torch.Tensor, step: int) -> torch.Tensor | None:
    if pupil.others is None:
        return None
    drawn = torch.randint(len(pupil.tokenizer), (pupil.others,), generator=torch.Generator().manual_seed(step))
    return torch.cat([ids.unique(), drawn]).unique().to(pupil.model.device)


def _save(checkpoint: Path, pupil: Pupil, progress: Progress) -> None:
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "learned": {name: p.detach() for name, p in pupil.learned.items()},
        "optimizers": [o.state_dict() for o in pupil.optimizers],
        "progress": asdict(progress),
    }
    torch.save(state, checkpoint.with_suffix(".new"))
    checkpoint.with_suffix(".new").replace(checkpoint)  # an interrupted save leaves the last good one


def _load(checkpoint: Path, pupil: Pupil) -> Progress:
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    with torch.no_grad():
        for name, parameter in pupil.learned.items():
            parameter.copy_(state["learned"][name])
    for optimizer, saved in zip(pupil.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return Progress(**state["progress"])

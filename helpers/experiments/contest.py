"""A contest of eviction policies: the same worksheets for all of them, answers and freed blocks counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.loop import replay
from helpers.eviction import Compressor, Policy
from helpers.measuring.comparisons import Answers
from helpers.models.loading import Loaded, gold_ids
from helpers.models.worksheets import make_worksheets

N_LINES, INTERVAL, BLOCK_SIZE = 40, 32, 16  # as in lesson 08


@dataclass(frozen=True)
class Verdict(Answers):
    """What a policy achieved.

    Attributes:
        name: the policy's.
        budget: rows of the thought that were kept.
        selection: the mode in which heads chose.
        seed: of the worksheets.
        right: per worksheet, whether every token of thought and answer was right.
        lookups, lookups_right: values restated in all the thoughts, and how many of them were right.
        blocks_freed: blocks given back, per worksheet.
    """

    name: str
    budget: int
    selection: str
    seed: int
    right: tuple[bool, ...]
    lookups: int
    lookups_right: int
    blocks_freed: float

    @property
    def answers(self) -> int:
        """Worksheets that were right from the first token to the last."""
        return sum(self.right)

    def __str__(self) -> str:
        said = f"{self.answers} of {len(self.right)} right, {self.blocks_freed:.1f} blocks freed per worksheet"
        return f"{self.name}, {self.budget} rows kept, {self.selection}: {said}"


class Contest:
    """Worksheets of one length with their prompts read; every policy goes on from there, under the same rules.

    Args:
        course: the reasoner.
        count: how many worksheets.
        seed: which ones.
        held_out: False for worksheets to practise on, which nobody is judged by.

    Attributes:
        sheets: the worksheets.
        prompt_tokens, thought_tokens: tokens of each prompt, and of each thought with its answer.
    """

    def __init__(self, course: Loaded, count: int, seed: int, held_out: bool = True) -> None:
        self.sheets, self.seed = make_worksheets(count, N_LINES, seed, held_out), seed
        self._model, self._ids = course.model, gold_ids(course, self.sheets)
        self.thought_tokens = len(self.sheets[0].thought.split()) + 1  # the answer comes on top
        self.prompt_tokens = self._ids.shape[1] - self.thought_tokens
        blocks = 2 * count * blocks_for(self._ids.shape[1], BLOCK_SIZE)  # the prompts', and a whole run's beside them
        self._prefilled = PagedCache.for_model(course.model, blocks, BLOCK_SIZE, "fp32", count)
        all_but_last = self.prompt_tokens - 1
        replay(course.model, self._ids[:, :all_but_last], all_but_last, self._prefilled)

    def judge(
        self, policy: Policy, budget: int, selection: str = "shared", compact: bool = True, name: str = ""
    ) -> Verdict:
        """Replay all worksheets under a policy.

        A replay is right to the last token exactly if the model, left to itself, would have written it so.

        Args:
            policy: what scores the rows.
            budget: rows of the thought to keep.
            selection: one of ``SELECTIONS``.
            compact: slide the survivors together.
            name: of the policy; its class's without one.

        Raises:
            ValueError: as ``Compressor`` does.
        """
        compressor = Compressor(policy, budget, INTERVAL, selection, compact)
        forked = self._prefilled.fork()
        try:
            trace = replay(self._model, self._ids[:, self.prompt_tokens - 1 :], 1, forked, compressor)
        finally:
            forked.reset()
        said = torch.tensor(trace.tokens)[:, :-1]  # the last token said comes after the answer
        freed = trace.blocks_freed / len(self.sheets)
        counts = self._count(said == self._ids[:, self.prompt_tokens :])
        return Verdict(name or type(policy).__name__, budget, selection, self.seed, *counts, freed)

    def _count(self, right: torch.Tensor) -> tuple[Any, ...]:
        """Worksheets right, look-ups, look-ups right, of ``[sheets, tokens]``."""
        looked_up = [sorted({i for restated in sheet.needed.values() for i in restated}) for sheet in self.sheets]
        n_right = sum(int(of_sheet[places].sum()) for of_sheet, places in zip(right, looked_up, strict=True))
        return tuple(right.all(1).tolist()), sum(map(len, looked_up)), n_right

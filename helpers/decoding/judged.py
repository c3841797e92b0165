"""Judged replays: the gold text of worksheets is replayed, and what the model would have said is held against it.

A worksheet whose every token is right is one that the model, left to itself, would have written word for word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.loop import replay
from helpers.decoding.losses import foretold
from helpers.eviction import Compressor
from helpers.measuring.trace import Trace
from helpers.models.loading import Loaded, gold_and_length
from helpers.models.worksheets import Worksheet

BLOCK_SIZE = 16


@dataclass(frozen=True)
class Judged:
    """What came of a replay.

    Attributes:
        trace: of the replay.
        right: which tokens of thought and answer the model would have said, ``[sheets, tokens]``, bool.
    """

    trace: Trace
    right: torch.Tensor

    @property
    def sheets_right(self) -> list[bool]:
        """Per worksheet, whether it is right from the first token to the last."""
        return self.right.all(1).tolist()


def judge(
    course: Loaded,
    token_ids: torch.Tensor,
    prompt_length: int,
    cache: PagedCache,
    compressor: Compressor | None = None,
) -> Judged:
    """Replay gold texts, and compare token by token.

    Args:
        course: the reasoner.
        token_ids: prompts, thoughts and answers, ``[sheets, tokens]``, as ``gold_and_length`` gives them.
        prompt_length: tokens of each prompt.
        cache: empty, or with the beginning of the prompts read, their last token not.
        compressor: evicts rows as the thought grows.
    """
    unread = token_ids[:, cache.tokens_seen :]
    trace = replay(course.model, unread, prompt_length - cache.tokens_seen, cache, compressor)
    return Judged(trace, foretold(trace, unread))


class Exam:
    """Worksheets of one length with their prompts read; every run goes on from there, on the same terms.

    Args:
        course: the reasoner.
        sheets: the worksheets.

    Attributes:
        sheets: the worksheets.
        token_ids: prompts, thoughts and answers, ``[sheets, tokens]``.
        prompt_length: tokens of each prompt.
        decoded_length: tokens of each thought with its answer.
        prefilled: all of the prompts but their last token.
        lookups: per worksheet, the places in the thought (or the answer's) that restate a value.
    """

    def __init__(self, course: Loaded, sheets: Sequence[Worksheet]) -> None:
        self.course, self.sheets = course, list(sheets)
        self.token_ids, self.prompt_length = gold_and_length(course, sheets)
        self.decoded_length = self.token_ids.shape[1] - self.prompt_length
        self.lookups = [sorted({i for restated in sheet.needed.values() for i in restated}) for sheet in sheets]
        blocks = 2 * len(sheets) * blocks_for(self.token_ids.shape[1], BLOCK_SIZE)  # prompts, and a run's beside them
        self.prefilled = PagedCache.for_model(course.model, blocks, BLOCK_SIZE, "fp32", len(sheets))
        all_but_last = self.prompt_length - 1
        replay(course.model, self.token_ids[:, :all_but_last], all_but_last, self.prefilled)

    def judge(self, compressor: Compressor | None = None) -> Judged:
        """Replay all worksheets, under a compressor or without eviction.

        Raises:
            ValueError: as ``Compressor`` does.
        """
        forked = self.prefilled.fork()
        try:
            return judge(self.course, self.token_ids, self.prompt_length, forked, compressor)
        finally:
            forked.reset()

    def lookups_right(self, judged: Judged) -> list[int]:
        """Per worksheet, how many of its look-ups gave the right value."""
        return [int(right[places].sum()) for right, places in zip(judged.right, self.lookups, strict=True)]

"""Oracle: keeps what the worksheet will need. No policy can know this; it says how good a policy could be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Self

import torch

from helpers.arithmetic.footprint import KVShape
from helpers.eviction.policy import Policy, Subject
from helpers.models.worksheets import Worksheet


class Oracle(Policy):
    """Scores a row by how soon the worksheet's gold thought will restate its value; never is the worst.

    Args:
        worksheets: one per sequence of the batch, in order.
    """

    heads_alike = True

    def __init__(self, worksheets: Sequence[Worksheet]) -> None:
        self.worksheets = worksheets

    @classmethod
    def prepare(cls, subject: Subject) -> Self | None:
        """See ``Policy.prepare``. Nobody knows the future of a text that is no worksheet."""
        return None if subject.worksheets is None else cls(subject.worksheets)

    def begin(self, shape: KVShape, prompt_length: int, token_index: Callable[[int], torch.Tensor]) -> None:
        """See ``Policy.begin``."""
        batch = len(token_index(0))
        if len(self.worksheets) != batch:
            raise ValueError(f"Oracle has {len(self.worksheets)} worksheets; the batch has {batch} sequences")
        self.prompt_length, self.token_index = prompt_length, token_index

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``. One score per KV head: 0 for a value that is needed next, less for a later one."""
        uses = torch.stack([self._next_use(sheet, position) for sheet in self.worksheets]).to(keys.device)
        return -uses[:, None].expand(-1, keys.shape[1], -1).gather(-1, self.token_index(layer))

    def _next_use(self, sheet: Worksheet, position: int) -> torch.Tensor:
        """For each token up to ``position``: tokens until its value is looked up; more than there are if never."""
        first_look = position + 2 - self.prompt_length  # the token after the next: the next one is decided already
        never = 2.0 * (len(sheet.thought.split()) + 1)
        uses = torch.full((position + 1,), never)
        for index, restated in sheet.needed.items():
            next_use = min((use for use in restated if use >= first_look), default=math.inf)
            if self.prompt_length + index <= position and next_use < math.inf:
                uses[self.prompt_length + index] = next_use - first_look
        return uses

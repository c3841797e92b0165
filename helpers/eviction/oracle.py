"""Oracle: keeps what the worksheet will need. No policy can know this; it says how good a policy could be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from helpers.arithmetic.footprint import KVShape
from helpers.eviction.policy import Policy
from helpers.models.worksheets import Worksheet


class Oracle(Policy):
    """Scores a row by how soon the worksheet's gold thought will restate its value; never is the worst.

    Args:
        worksheets: one per sequence of the batch, in order.
    """

    def __init__(self, worksheets: list[Worksheet]) -> None:
        self.worksheets = worksheets

    def begin(self, shape: KVShape, prompt_length: int, held: Sequence[torch.Tensor] = ()) -> None:
        """See ``Policy.begin``."""
        if held and len(self.worksheets) != len(held[0]):
            raise ValueError(f"Oracle has {len(self.worksheets)} worksheets; the batch has {len(held[0])} sequences")
        self.prompt_length = prompt_length
        self.tokens = dict(enumerate(held))  # per layer, the token of each row after the last eviction

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``. One score per KV head: 0 for a value that is needed next, less for a later one."""
        tokens = self._tokens(layer, keys, position)
        uses = torch.stack([self._next_use(sheet, position) for sheet in self.worksheets]).to(keys.device)
        return -uses[:, None].expand(-1, keys.shape[1], -1).gather(-1, tokens)

    def kept(self, layer: int, keep: torch.Tensor) -> None:
        """See ``Policy.kept``."""
        self.tokens[layer] = self.tokens[layer].gather(-1, keep)

    def _tokens(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """The token that each row holds; rows that came since the last eviction hold the latest tokens, in order."""
        old = self.tokens.get(layer, torch.empty(*keys.shape[:2], 0, dtype=torch.long, device=keys.device))
        new = keys.shape[2] - old.shape[2]
        latest = torch.arange(position + 1 - new, position + 1, device=keys.device).expand(*keys.shape[:2], -1)
        self.tokens[layer] = torch.cat([old, latest], dim=-1)
        return self.tokens[layer]

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

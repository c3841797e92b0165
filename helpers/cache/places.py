"""Where a pass writes, and what a step of one token reads; at fixed places in memory while a step is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch


def in_any_mode(method: Callable) -> Callable:
    """Run a method so that tensors it makes are ordinary ones, without gradients, whatever mode its caller is in.

    A cache outlives the run that fills it. Tensors made in inference mode could not be changed after the run.
    """

    @wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with torch.inference_mode(False), torch.no_grad():
            return method(*args, **kwargs)

    return wrapped


@dataclass
class Places:
    """Where a pass writes, and what a step of one token reads: tensors on the cache's device.

    A recorded step needs them where they were when it was recorded: ``fill`` changes their contents alone.

    Attributes:
        slots: the slots of the new tokens, ``[batch, new]``.
        block_table, lengths: as in ``Blocks``; None while no step is recorded.
    """

    slots: torch.Tensor
    block_table: torch.Tensor | None = None
    lengths: torch.Tensor | None = None

    @classmethod
    def of_one_token(cls, batch: int, width: int, device: torch.device | str) -> Places:
        """Room for a step of one token per sequence, with block tables of ``width`` blocks."""
        slots = torch.zeros(batch, 1, dtype=torch.long, device=device)
        table = torch.zeros(batch, width, dtype=torch.int32, device=device)
        return cls(slots, table, table.new_zeros(batch))

    def fill(self, new: Places, block_table: torch.Tensor, length: int) -> None:
        """Take over the places of a new token, the tables and the length."""
        self.slots.copy_(new.slots)
        self.block_table[:, : block_table.shape[1]].copy_(block_table)
        self.lengths.fill_(length)

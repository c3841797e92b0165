"""Decoding against the clock: how a step is done on a device, and how long so many of them take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from helpers.cache.attention import attending
from helpers.cache.paged_cache import PagedCache
from helpers.cache.paged_kernels import READERS, Reader, why_not
from helpers.decoding.loop import predict_next
from helpers.decoding.recorded_step import DecodeStep
from helpers.eviction import Compressor
from helpers.experiments.bytes_per_sequence import format_of
from helpers.experiments.stand_ins import append_random
from helpers.machine.device import is_cuda, seconds_of, synchronize

GATHER = "gather"  # rows are copied together for each step, which works everywhere
TRIAL_ROWS, TRIAL_BLOCK = 16, 16


@dataclass(frozen=True)
class Way:
    """How a step is done.

    Attributes:
        name: a reader of ``helpers.cache.paged_kernels``, or ``GATHER``.
        recorded: whether a GPU replays a recording of it.
        refused: what could not be used, and why.
    """

    name: str
    recorded: bool = False
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def reader(self) -> Reader | None:
        """What attention reads by; None to gather."""
        return READERS.get(self.name)


GATHERING = Way(GATHER)


@dataclass
class Timing:
    """One timed run.

    Attributes:
        seconds: in all, compressions included.
        rows: rows alive per sequence, the mean over the steps.
        blocks_held: at the peak; 0 for a cache without blocks.
        compactions: seconds of each, scoring and moving together.
    """

    seconds: float
    rows: float
    blocks_held: int
    compactions: list[float]


def find_way(model: Any, name: str | None = None) -> Way:
    """The best way that works here: on a GPU the first reader that is right, recorded if that works; else gathering.

    Args:
        model: on its device.
        name: the way that is wanted, whatever there is; None to choose.
    """
    refused, device = {}, str(model.device)
    wanted = [name] if name else list(READERS) if is_cuda(device) else []
    for reader in wanted:
        if reader == GATHER:
            break
        why = why_not(reader, device)
        if why is None:
            trouble = why_not_recorded(model, reader) if is_cuda(device) else "only a GPU records"
            return Way(reader, trouble is None, refused | ({"recording": trouble} if trouble else {}))
        refused[reader] = why
    return Way(GATHER, refused=refused)


def why_not_recorded(model: Any, name: str) -> str | None:
    """Why a step that reads so cannot be recorded: a line for people; None if it can."""
    cache = append_random(PagedCache.for_model(model, 2, TRIAL_BLOCK, format_of(model.dtype)), model, TRIAL_ROWS)
    try:
        decode(model, cache, 1, 2, step=DecodeStep(model, cache, 2 * TRIAL_BLOCK), reader=READERS[name])
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return None


@torch.inference_mode()
def decode(
    model: Any,
    cache: Any,
    batch: int,
    steps: int,
    compressor: Compressor | None = None,
    step: Callable[[torch.Tensor], torch.Tensor] | None = None,
    reader: Reader | None = None,
) -> Timing:
    """Decode ``steps`` tokens in each of ``batch`` sequences and take the time.

    The device is waited for at both ends and around a compression, never within a step.
    """
    device, rows, blocks, compactions = model.device, 0, 0, []
    paged = isinstance(cache, PagedCache)
    step = step or (lambda newest: predict_next(model, newest[:, None], cache))
    tokens = torch.ones(batch, dtype=torch.long, device=device)
    with attending(model, compressor and compressor.policy, reader=reader):
        synchronize(device)
        started = time.perf_counter()
        for _ in range(steps):
            tokens = step(tokens)
            rows = rows + (cache.alive() if paged else cache.get_seq_length())  # on a GPU the latter is a tensor there
            blocks = max(blocks, cache.pool.num_held_blocks if paged else 0)
            if compressor is not None and compressor.room(cache) <= 0:
                compactions.append(seconds_of(device, lambda: compressor.after_pass(cache)))
        synchronize(device)
    return Timing(time.perf_counter() - started, float(rows) / steps, blocks, compactions)

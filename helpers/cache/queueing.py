"""Requests that share one pool: who comes, who runs, who is sent away, and what is held after each step. No model runs.

What happens in a step is the caller's: a function that is given the pool, those who wait and those who run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase

from helpers.arithmetic.footprint import require_count
from helpers.cache.block_pool import BlockPool, BlockTable, OutOfBlocks, blocks_for

LETTERS = ascii_uppercase
MOST_STEPS = 100_000  # a step that lets nobody in would go on for ever


@dataclass(eq=False)
class Request:
    """Somebody who wants an answer.

    Attributes:
        name: a letter.
        arrives: the step in which it comes.
        prompt: tokens of its prompt.
        end: tokens of prompt and answer.
        table: its blocks.
        tokens: what is there of prompt and answer, the newest token included, which has no row yet.
        ran: stretches of steps in which it ran: first and last of each, where it ended or was sent away.
        read: tokens that were read for it in stretches, a prompt or all that was lost.
    """

    name: str
    arrives: int
    prompt: int
    end: int
    table: BlockTable
    tokens: int = 0
    ran: list[tuple[int, int]] = field(default_factory=list)
    read: int = 0

    @property
    def sent_away(self) -> int:
        """How often it lost all its blocks before it had ended."""
        return len(self.ran) - 1

    @property
    def read_again(self) -> int:
        """Tokens that were read once more, since their rows had been lost."""
        return self.read - self.prompt


@dataclass(frozen=True)
class Served:
    """How it went.

    Attributes:
        requests: in the order of arrival.
        held: blocks that are held after each step, when those whose answers are done have left.
        num_blocks: blocks of the pool.
    """

    requests: list[Request]
    held: list[int]
    num_blocks: int

    @property
    def usage(self) -> list[float]:
        """The share of the pool that is held, each time that it changes; 0 at the start."""
        shares = [0.0, *(held / self.num_blocks for held in self.held)]
        return [share for before, share in zip([None, *shares], shares, strict=False) if share != before]


Step = Callable[[BlockPool, list[Request], list[Request]], None]


def serve(step: Step, pool: BlockPool, arrivals: Sequence[int], prompt: int, answer: int) -> Served:
    """Let requests of one length come, one after another, and call ``step`` until all have their answers.

    Args:
        step: moves requests between those who wait and those who run, both lists in order, and their tables; it is
            called as ``step(pool, waiting, running)``. Who runs after it has one more token.
        pool: whose blocks they share.
        arrivals: the step in which each comes, in order; 26 at most, since each gets a letter.
        prompt: tokens of each prompt, 1 or more.
        answer: tokens of each answer, 1 or more. The last is never read, and needs no slot.

    Raises:
        OutOfBlocks: if one request alone needs more blocks than the pool has; nothing has been done.
        ValueError: if an argument is out of range, or ``step`` never comes to an end.
    """
    if len(arrivals) > len(LETTERS):
        raise ValueError(f"arrivals has {len(arrivals)} requests; it may have {len(LETTERS)}, a letter for each")
    end = require_count("prompt", prompt, least=1) + require_count("answer", answer, least=1)
    if blocks_for(end - 1, pool.block_size) > pool.num_free_blocks:
        raise OutOfBlocks(pool.num_held_blocks, pool.num_free_blocks, blocks_for(end - 1, pool.block_size))
    requests = [
        Request(LETTERS[i], arrives, prompt, end, BlockTable(pool), tokens=prompt) for i, arrives in enumerate(arrivals)
    ]
    coming, waiting, running, held = list(requests), [], [], []
    while coming or waiting or running:
        if len(held) == MOST_STEPS:
            raise ValueError(f"after {MOST_STEPS:,} steps {len(waiting)} still wait and {len(running)} run")
        while coming and coming[0].arrives <= len(held):
            waiting.append(coming.pop(0))
        before = {request: request.table.num_slots for request in requests}
        step(pool, waiting, running)
        _note(running, before, len(held))
        _end(running)
        held.append(pool.num_held_blocks)
    return Served(requests, held, pool.num_blocks)


def _note(running: list[Request], before: dict[Request, int], now: int) -> None:
    """Give everybody who runs a token, and note where a stretch begins and what was read for it."""
    for request in running:
        if not before[request] or request.table.num_slots < before[request]:
            request.ran.append((now, now))
            request.read += request.table.num_slots
        request.ran[-1] = (request.ran[-1][0], now)
        request.tokens += 1


def _end(running: list[Request]) -> None:
    for request in [request for request in running if request.tokens == request.end]:
        running.remove(request)
        request.table.truncate(0)

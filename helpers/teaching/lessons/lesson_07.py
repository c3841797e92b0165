"""Checks of the exercises of lesson 07: the right answer, and the mistakes that people make on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from helpers.teaching.attempts import Complaint, need, require_function
from helpers.teaching.checks import Number, in_one_line

# Per cent of blocks of 32 that come back when 95% of the tokens are evicted by one choice.
check_larger_floors = Number(100 * 0.95**32, "per cent") | {
    "that is the share of tokens; a block needs all 32 of its tokens gone.": 95,
    "that is for 16 slots; here a block has 32.": 100 * 0.95**16,
    "that is for 90% evicted.": 100 * 0.9**32,
    "that is a share; multiply it by 100.": 0.95**32,
    "that is a block of which all 32 tokens stay.": 100 * 0.05**32,
}

# Per cent of the tokens that must go, at random and by one choice, until half of the blocks of 16 come back.
check_half_the_floors = Number(100 * 0.5 ** (1 / 16), "per cent") | {
    "that is the share of floors; a floor needs all 16 of its tokens gone.": 50,
    "that is the share that stays; how many go?": 100 - 100 * 0.5 ** (1 / 16),
    "that is for floors of 32.": 100 * 0.5 ** (1 / 32),
    "that is a share; multiply it by 100.": 0.5 ** (1 / 16),
    "that is what comes back when half of the tokens go.": 100 * 0.5**16,
    "half of the floors come back, so the chance of a floor is 1/2, not 1/16.": 100 * (1 / 16) ** (1 / 16),
}

_ONE_HEAD = [[0, 1, 0, 0, 0, 0, 0, 0]]
_TWO_HEADS = [[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]]
_AGREED = [[1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]]
_GARAGES = [(_ONE_HEAD, 2), (_ONE_HEAD, 4), (_TWO_HEADS, 4), (_TWO_HEADS, 2), (_AGREED, 3), (_AGREED, 1)]


@in_one_line
def check_count_floors(answer: Any) -> str:
    """A function that counts the blocks in which no head has a row left."""
    require_function(answer)
    for heads, block_size in _GARAGES:
        _try(answer, heads, block_size)
    return f"{len(_GARAGES)} garages counted."


def _try(count: Callable[..., Any], heads: list[list[int]], block_size: int) -> None:
    """Complain unless the reader's count of one garage is right."""
    alive = torch.tensor(heads, dtype=torch.bool)
    case = f"{len(heads)} head(s), {len(heads[0])} tokens, blocks of {block_size}"
    try:
        found = int(count(alive.clone(), block_size))
    except Exception as error:  # the reader's code may raise anything
        raise Complaint(f"with {case} it raises {type(error).__name__}: {error}") from error
    right = _empty(heads, block_size)
    need(found == right, f"with {case}: {_diagnose(found, heads, block_size)}, not {right}.")


def _empty(heads: list[list[int]], block_size: int) -> int:
    """Blocks in which no head has a row left, counted one by one."""
    firsts = range(0, len(heads[0]), block_size)
    return sum(not any(any(head[first : first + block_size]) for head in heads) for first in firsts)


def _diagnose(found: int, heads: list[list[int]], block_size: int) -> str:
    n_blocks = len(heads[0]) // block_size
    left_by_one = n_blocks - sum(
        all(any(head[first : first + block_size]) for head in heads) for first in range(0, len(heads[0]), block_size)
    )
    mistakes = {
        n_blocks - _empty(heads, block_size): "you count the blocks that are held",
        sum(_empty([head], block_size) for head in heads): "you add up the heads; a block must be empty in all of them",
        left_by_one: "you count blocks that one head has left; another may still have rows there",
        sum(not any(slot) for slot in zip(*heads, strict=True)): "you count empty slots, not empty blocks",
    }
    return f"{mistakes.get(found, 'your count is wrong')}: {found}"

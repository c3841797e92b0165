"""What to do with the holes that an eviction leaves in a row of slots, and which habits of an engine then go wrong.

Integers only. A row of slots is a list: the token in each slot, None where it was evicted.
"""

from __future__ import annotations

from collections.abc import Sequence

Slots = list[int | None]

REUSE, FILL, SLIDE = "new tokens into holes", "fill holes from the tail", "slide forward"
WAYS = (REUSE, FILL, SLIDE)


def slide_forward(slots: Slots) -> tuple[Slots, int]:
    """The survivors in their order, without holes, and how many were copied to another slot."""
    alive = [token for token in slots if token is not None]
    return alive, sum(token != before for token, before in zip(alive, slots, strict=False))


def fill_holes(slots: Slots) -> tuple[Slots, int]:
    """The first holes filled with the last survivors, and how many were copied."""
    n_alive = len(slots) - slots.count(None)
    holes = [i for i in range(n_alive) if slots[i] is None]
    movers = [token for token in slots[n_alive:] if token is not None]
    filled = list(slots[:n_alive])
    for hole, token in zip(holes, movers, strict=True):
        filled[hole] = token
    return filled, len(holes)


def take_in(slots: Slots, new: Sequence[int], way: str) -> tuple[Slots, int]:
    """Close the holes in one of ``WAYS`` and let new tokens in; the row afterwards, and how many rows were copied.

    With ``new tokens into holes`` nothing is copied, and what finds no hole goes to the end.
    """
    if way not in WAYS:
        raise ValueError(f"way is {way!r}; it may be {', '.join(WAYS)}")
    if way != REUSE:
        closed, copies = (fill_holes if way == FILL else slide_forward)(slots)
        return closed + list(new), copies
    waiting = list(new)
    taken = [waiting.pop(0) if token is None and waiting else token for token in slots]
    return taken + waiting, 0


def mask_by_age(slots: Slots, n_new: int, window: int | None = None) -> list[list[bool]]:
    """Which slots each of the newest tokens may see, the oldest of them first: what was there before, and itself.

    Args:
        slots: the row after the newest tokens came.
        n_new: tokens that came in the last step, all at once.
        window: how many of the latest tokens may be seen; None for all.
    """
    newest = sorted(token for token in slots if token is not None)[-n_new:]
    return [
        [row is not None and row <= token and (window is None or row > token - window) for row in slots]
        for token in newest
    ]


def mask_by_place(slots: Slots, n_new: int, window: int | None = None) -> list[list[bool]]:
    """The same as an engine has it that takes a row's place for its age; holes do not count as places."""
    rows = [token for token in slots if token is not None]
    masks = []
    for token in sorted(rows)[-n_new:]:
        end = rows.index(token) + 1
        seen = set(rows[max(0, end - window) if window else 0 : end])
        masks.append([row in seen for row in slots])
    return masks


def mask_from_the_end(slots: Slots, n_new: int) -> list[list[bool]]:
    """The same as FlashAttention has it, which is told only how many rows there are: the mask's last corner fits.

    The newest token sees every row, the one before it all but the last row, and so on, whatever stands there. (Its
    ``flash_attn_func`` says so: "the causal mask is aligned to the bottom right corner".) Holes are no rows.

    Args:
        slots: the row after the newest tokens came.
        n_new: tokens that came in the last step, all at once; at most the rows there are.
    """
    rows = [place for place, token in enumerate(slots) if token is not None]
    ends = range(len(rows) - n_new + 1, len(rows) + 1)
    return [[place in seen for place in range(len(slots))] for seen in (set(rows[:end]) for end in ends)]


def broken_habits(slots: Slots, n_new: int, window: int, block_size: int = 8) -> list[str]:
    """What goes wrong for an engine that takes a row's place for its age; an empty list if nothing does.

    Args:
        slots: the row after the newest tokens came; holes do not count.
        n_new: tokens that came in the last step, all at once.
        window: tokens that a sliding window sees, and latest rows that are to be protected.
        block_size: slots of the first block.
    """
    rows = [token for token in slots if token is not None]
    by_age = sorted(rows)
    newest, last = by_age[-1], by_age[-n_new:]
    checks = {
        "mask of a step with several tokens": mask_by_place(slots, n_new) == mask_by_age(slots, n_new),
        "sliding window": set(rows[-window:]) == {row for row in rows if row > newest - window},
        "protecting the latest rows": set(rows[-window:]) == set(by_age[-window:]),
        "taking back the newest tokens": set(rows[-n_new:]) == set(last),
        "hash of the first block": slots[:block_size] == list(range(block_size)),
    }
    return [habit for habit, holds in checks.items() if not holds]

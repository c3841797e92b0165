"""Checks of lab 3, parts 5 to 7 and the stretch: the trap, its closed form, and compaction as the way out."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import combinations, product
from math import comb, isclose
from numbers import Real
from typing import Any

from helpers.cache.block_pool import blocks_for, expected_empty_blocks
from helpers.teaching.attempts import Complaint, attempt, need
from helpers.teaching.checks import check_stages, stage
from helpers.teaching.labs.lab_3_own_pool import Table, filled

Function = Callable[..., Any]
Keep = Sequence[Sequence[int]]  # per head, the places of the rows that stay


# --- Part 5: the trap ------------------------------------------------------------------------------------------------
def check_draw_lots(draw_lots: Function) -> None:
    """``draw_lots(rng, tokens, survivors, heads)``: per head, the places that stay, ascending."""
    check_stages(
        stage("2 of 8 places, for 3 heads", _draw_few, draw_lots),
        stage("1,600 of 16,000 places, for 8 heads", _draw_many, draw_lots),
        stage("all places equally likely", _draw_evenly, draw_lots),
    )


def _draw_few(draw_lots: Function) -> None:
    for seed in range(20):
        keep = attempt("draw_lots(rng, 8, 2, 3)", draw_lots, random.Random(seed), 8, 2, 3)
        need(isinstance(keep, list) and len(keep) == 3, f"one list per head, 3 in all; you gave {keep!r}.")
        counts = {len(places) for places in keep}
        need(counts != {6}, "those are the places of the rows that leave; keep lists those that stay.")
        need(counts == {2}, f"each head keeps 2 rows; yours keep {[len(places) for places in keep]}.")
        need(all(0 <= place < 8 for places in keep for place in places), f"places are 0 to 7; you gave {keep}.")
        _require_ascending(keep)


def _require_ascending(keep: Keep) -> None:
    for places in keep:
        need(len(set(places)) == len(places), "a place is there twice: draw without putting back.")
        need(list(places) == sorted(places), "keep is unsorted: its places must ascend, or rows change their order.")


def _draw_many(draw_lots: Function) -> None:
    keep = attempt("draw_lots(rng, 16000, 1600, 8)", draw_lots, random.Random(0), 16_000, 1_600, 8)
    need([len(places) for places in keep] == [1_600] * 8, "each of the 8 heads keeps 1,600 rows.")
    _require_ascending(keep)
    distinct = len({tuple(places) for places in keep})
    need(distinct > 1, "all heads keep the same rows: each draws lots of its own.")
    need(distinct == 8, f"8 heads draw 8 times; yours have {distinct} different lists.")


def _draw_evenly(draw_lots: Function) -> None:
    rng, counts = random.Random(1), Counter()
    for _ in range(600):
        counts.update(attempt("draw_lots(rng, 8, 2, 1)", draw_lots, rng, 8, 2, 1)[0])
    few = [place for place in range(8) if not 100 < counts[place] < 200]  # 150 expected, 10.6 standard deviation
    need(
        not few,
        f"in 600 draws of 2 of 8, each place should stay about 150 times; place {few[:1]} stayed "
        f"{counts[few[0]] if few else 0} times.",
    )


def check_empty_blocks(empty_blocks: Function) -> None:
    """``empty_blocks(keep, tokens, block_size)``: how many blocks hold no row of any head."""
    check_stages(
        stage("one head by hand", _count, empty_blocks, [([[0, 5, 9]], 20, 4), ([[4, 6, 7, 8]], 24, 4)]),
        stage("two heads by hand", _count, empty_blocks, [([[0, 5], [1, 15]], 28, 4)]),
        stage("a last block that is not full", _count, empty_blocks, [([[0]], 17, 4), ([[16]], 17, 4)]),
        stage("random garages", _count, empty_blocks, list(_garages())),
    )


def _garages() -> Iterator[tuple[Keep, int, int]]:
    for seed in range(60):
        rng = random.Random(seed)
        tokens, size, heads = rng.randint(1, 60), rng.choice((1, 2, 4, 8)), rng.randint(1, 4)
        keep = [sorted(rng.sample(range(tokens), rng.randint(1, tokens))) for _ in range(heads)]
        yield keep, tokens, size


def _count(empty_blocks: Function, cases: list[tuple[Keep, int, int]]) -> None:
    for keep, tokens, size in cases:
        case = f"keep {keep}, {tokens} tokens, blocks of {size}"
        found = attempt(f"empty_blocks with {case},", empty_blocks, keep, tokens, size)
        right = _empty(keep, tokens, size)
        need(found == right, f"{case}: {_why_not_empty(found, keep, tokens, size)}, not {right}.")


def _empty(keep: Keep, tokens: int, size: int) -> int:
    """Blocks without a survivor, looked through one by one."""
    floors = [range(first, min(first + size, tokens)) for first in range(0, tokens, size)]
    return sum(not any(place in places for places in keep for place in floor) for floor in floors)


def _why_not_empty(found: Any, keep: Keep, tokens: int, size: int) -> str:
    if not isinstance(found, Real):
        return f"the answer is a number of blocks, not {type(found).__name__}"
    blocks, right, evicted = blocks_for(tokens, size), _empty(keep, tokens, size), tokens - len(keep[0])
    mistakes = [
        (right / blocks, "that is a share; count blocks"),
        (blocks - right, "those are the blocks that are held"),
        (right - 1 if tokens % size else None, "the last block holds fewer tokens and counts too; round up"),
        (evicted, "you count tokens that left, not blocks"),
        (evicted // size, "that is what the evicted tokens would fill, were they side by side"),
        (sum(_empty([places], tokens, size) for places in keep), "you add up the heads; all must have left"),
        (_empty([keep[0]], tokens, size), "you ask head 0 alone; another head may have a row there"),
    ]
    message = next((message for value, message in mistakes if value == found), "your count is wrong")
    return f"{message}: {found:.3g}"


# --- Part 6: the closed form -----------------------------------------------------------------------------------------
def check_expect_empty(expect_empty: Function) -> None:
    """``expect_empty(tokens, survivors, block_size, heads)``: blocks expected to be empty, by a closed form."""
    check_stages(
        stage("one head by hand", _expect_beside, expect_empty, [(4, 2, 2, 1), (4, 1, 2, 1), (6, 2, 3, 1)]),
        stage("two heads by hand", _expect_beside, expect_empty, [(4, 2, 2, 2), (4, 1, 2, 2)]),
        stage("16,000 tokens", _expect_large, expect_empty),
        stage("every case of small garages listed", _expect_beside, expect_empty, list(_small_garages())),
    )


def _small_garages() -> Iterator[tuple[int, int, int, int]]:
    for tokens, size in ((4, 1), (6, 2), (6, 3), (8, 4), (8, 8)):
        for survivors in range(tokens + 1):
            yield from ((tokens, survivors, size, heads) for heads in (1, 2))


def _expect_beside(expect_empty: Function, cases: list[tuple[int, int, int, int]]) -> None:
    for tokens, survivors, size, heads in cases:
        case = f"{survivors} of {tokens} tokens stay, blocks of {size}, {heads} head(s)"
        found = attempt(f"expect_empty, {case},", expect_empty, tokens, survivors, size, heads)
        right = float(_mean_empty(tokens, survivors, size, heads))
        _require_close(case, found, right, _expect_mistakes(tokens, survivors, size, heads))


def _mean_empty(tokens: int, survivors: int, size: int, heads: int) -> Fraction:
    """The mean over all choices, each listed; heads choose independently."""
    choices = list(combinations(range(tokens), survivors))
    if heads == 1 or len(choices) ** heads > 5_000:  # of one block at a time: heads multiply
        left = [
            Fraction(sum(not set(floor) & set(c) for c in choices), len(choices)) for floor in _floors(tokens, size)
        ]
        return sum(share**heads for share in left)
    draws = list(product(choices, repeat=heads))
    return Fraction(sum(_empty(draw, tokens, size) for draw in draws), len(draws))


def _floors(tokens: int, size: int) -> list[range]:
    return [range(first, first + size) for first in range(0, tokens, size)]


def _expect_large(expect_empty: Function) -> None:
    for survivors, heads in ((1_600, 1), (2_000, 1), (1_600, 8)):
        case = f"{survivors:,} of 16,000 tokens stay, blocks of 16, {heads} head(s)"
        found = attempt(f"expect_empty, {case},", expect_empty, 16_000, survivors, 16, heads)
        right = expected_empty_blocks(16_000, survivors, 16, heads)
        _require_close(case, found, right, _expect_mistakes(16_000, survivors, 16, heads))


def _require_close(case: str, found: Any, right: float, mistakes: dict[str, float]) -> None:
    need(isinstance(found, Real), f"{case}: the answer is a number, not {type(found).__name__}.")
    if isclose(found, right, rel_tol=1e-6, abs_tol=1e-12):
        return
    for message, value in mistakes.items():
        if isclose(found, value, rel_tol=1e-6, abs_tol=1e-12):
            raise Complaint(f"{case}: {message} You have {found:.6g}; {right:.6g} is right.")
    raise Complaint(f"{case}: {found:.6g}, not {right:.6g}.")


def _expect_mistakes(tokens: int, survivors: int, size: int, heads: int) -> dict[str, float]:
    """What a wrong formula gives, by what is wrong with it; only those that differ from the right one matter."""
    blocks, evicted = tokens // size, tokens - survivors
    chance, whole = comb(evicted, size) / comb(tokens, size), comb(tokens, size)
    return {
        "that is the chance of one block; there are as many as tokens over block size.": chance**heads,
        "every token was given the same chance, which holds only if tokens are put back; here each one that is gone "
        "leaves fewer behind: C(evicted, b) / C(tokens, b).": blocks * (evicted / tokens) ** (size * heads),
        "the heads' chances multiply: to the power of heads, not once.": blocks * chance,
        "the heads' chances multiply; you added them.": blocks * chance * heads,
        "all blocks are emptied with the power you took; it belongs to the chance of one.": (blocks * chance) ** heads,
        "those are blocks full of survivors; an empty one is full of evicted tokens.": blocks
        * (comb(survivors, size) / whole) ** heads,
        "those are the blocks that stay held.": blocks - blocks * chance**heads,
        "that is what the evicted tokens would fill, were they side by side.": evicted / size,
        "// rounds every chance down to 0; divide with /.": 0.0,
    }


# --- Part 7: compact -------------------------------------------------------------------------------------------------
def check_compact(compact: Function) -> None:
    """``compact(table, keep, memory)``: survivors to the front, the tail back to the pool: (blocks freed, copies)."""
    check_stages(
        stage("one head by hand", _compact_by_hand, compact),
        stage("two heads, each its own rows", _compact_two_heads, compact),
        stage("nothing to move", _compact_nothing, compact),
        stage("random garages", _compact_at_random, compact),
    )


def _memory(table: Table, heads: int) -> list[list[int]]:
    """Per head, the memory of the pool: token ``i`` of head ``h`` is ``100 h + i``, empty slots are -1."""
    size, slots = table.pool.block_size, len(table.pool.ref_count) * table.pool.block_size
    memory = [[-1] * slots for _ in range(heads)]
    for head, place in product(range(heads), range(table.num_slots)):
        memory[head][table.blocks[place // size] * size + place % size] = 100 * head + place
    return memory


def _rows(table: Table, memory: list[list[int]], count: int) -> list[list[int]]:
    """What the first ``count`` slots of the sequence hold, per head."""
    size = table.pool.block_size
    return [[head[table.blocks[i // size] * size + i % size] for i in range(count)] for head in memory]


def _compacted(
    compact: Function, table: Table, keep: Keep, memory: list[list[int]], case: str
) -> tuple[Any, Any, list[list[int]]]:
    """Blocks freed, copies, and the rows in front, once it is certain that there are any."""
    found = attempt(case, compact, table, keep, memory)
    pair = isinstance(found, tuple) and len(found) == 2
    need(pair, f"compact gives back two numbers, blocks freed and rows copied; yours gave {found!r}.")
    survivors = len(keep[0])
    right = blocks_for(survivors, table.pool.block_size)
    need(len(table.blocks) >= right, f"{survivors} rows need {right} block(s): round up. You kept {len(table.blocks)}.")
    need(
        len(table.blocks) == right,
        f"the rows moved, but the tail was not given back: {survivors} rows need {right} "
        f"block(s), and the table still lists {len(table.blocks)}.",
    )
    need(table.num_slots == survivors, f"{survivors} slots are filled now; num_slots is {table.num_slots}.")
    return *found, _rows(table, memory, survivors)


def _compact_by_hand(compact: Function) -> None:
    _, [table] = filled(4, 2, ([2, 1, 0], 6))
    case, memory = "blocks [2, 1, 0] of 2, tokens 0 to 5, keep [[0, 2, 3]]:", _memory(table, 1)
    freed, copied, [rows] = _compacted(compact, table, [[0, 2, 3]], memory, case)
    in_memory = rows != [0, 2, 3] == memory[0][:3]
    need(
        not in_memory,
        f"{case} the rows are in the first slots of the memory; the first slots of the sequence are "
        "elsewhere. Ask the table.",
    )
    need(sorted(rows) == [0, 2, 3], f"{case} in front are {rows}, not [0, 2, 3].")
    need(rows == [0, 2, 3], f"{case} all are there, but out of order: {rows}, not [0, 2, 3].")
    need(freed != 3, f"{case} 3 tokens were evicted; how many blocks came back?")
    need(freed == 1, f"{case} 1 block came back, not {freed}.")
    need(copied != 3, f"{case} you counted 3 copies, but row 0 stays where it is.")
    need(copied == 2, f"{case} rows 2 and 3 are copied, so 2 copies; you counted {copied}.")


def _compact_two_heads(compact: Function) -> None:
    _, [table] = filled(6, 2, ([0, 1, 2, 3], 8))
    case = "2 heads, keep [[0, 3], [4, 7]]:"
    freed, copied, rows = _compacted(compact, table, [[0, 3], [4, 7]], _memory(table, 2), case)
    need(rows[1] != [100, 103], f"{case} head 1 got the rows that head 0 chose; each head has places of its own.")
    need(rows[0] == [0, 3], f"{case} head 0 has rows {rows[0]} in front, not [0, 3].")
    need(rows[1] == [104, 107], f"{case} head 1 has {[row - 100 for row in rows[1]]} in front, not [4, 7].")
    need(freed != 6, f"{case} you added up the heads; they share their blocks, and 3 came back.")
    need(freed == 3, f"{case} 3 of 4 blocks came back, not {freed}.")
    need(copied == 3, f"{case} head 0 copies 1 row and head 1 copies 2; you counted {copied}.")


def _compact_nothing(compact: Function) -> None:
    _, [table] = filled(6, 2, ([5, 3, 1], 6))
    freed, copied, rows = _compacted(compact, table, [[0, 1, 2]], _memory(table, 1), "keep [[0, 1, 2]]:")
    need(rows == [[0, 1, 2]] and copied == 0, f"the first rows stay where they are: 0 copies; you counted {copied}.")
    need(freed == 1, f"of 3 blocks one comes back; you gave {freed}.")


def _compact_at_random(compact: Function) -> None:
    for seed in range(80):
        rng = random.Random(seed)
        tokens, size, heads = rng.randint(1, 40), rng.choice((1, 2, 4)), rng.randint(1, 3)
        blocks = rng.sample(range(45), blocks_for(tokens, size))
        _, [table] = filled(45, size, (blocks, tokens))
        survivors = rng.randint(1, tokens)
        keep = [sorted(rng.sample(range(tokens), survivors)) for _ in range(heads)]
        case = f"blocks {blocks} of {size}, {tokens} tokens, keep {keep}:"
        freed, copied, rows = _compacted(compact, table, keep, _memory(table, heads), case)
        right = [[100 * head + place for place in places] for head, places in enumerate(keep)]
        need(rows == right, f"{case} in front are {rows}, not {right}.")
        moves = sum(place != target for places in keep for target, place in enumerate(places))
        came_back = len(blocks) - blocks_for(survivors, size)
        need(
            (freed, copied) == (came_back, moves),
            f"{case} {came_back} blocks back, {moves} copies; you gave {freed} and {copied}.",
        )


# --- Stretch: fill the holes -----------------------------------------------------------------------------------------
def check_fill_holes(fill_holes: Function) -> None:
    """``fill_holes(places)``: the fewest moves (from, to) that bring the survivors to the front, in any order."""
    check_stages(
        stage("three cars by hand", _fill_by_hand, fill_holes),
        stage("random garages", _fill_at_random, fill_holes),
    )


def _fill_by_hand(fill_holes: Function) -> None:
    moves = _moves(fill_holes, [0, 2, 5])
    need(moves != [(2, 1), (5, 2)], "that keeps the order and takes 2 moves; with holes 1 only, 1 move does it.")
    need(moves == [(5, 1)], f"of rows 0, 2 and 5, row 5 moves to place 1: [(5, 1)]; you gave {moves}.")


def _fill_at_random(fill_holes: Function) -> None:
    for seed in range(80):
        rng = random.Random(seed)
        places = sorted(rng.sample(range(30), rng.randint(1, 30)))
        moves = _moves(fill_holes, places)
        sources, targets = {source for source, _ in moves}, {target for _, target in moves}
        need(
            not targets & set(places),
            f"rows {places}: a move to {sorted(targets & set(places))[:1]} would overwrite a row that stays.",
        )
        need(sources <= set(places), f"rows {places}: there is no row to move at {sorted(sources - set(places))[:1]}.")
        in_front = (set(places) - sources) | targets
        need(in_front == set(range(len(places))), f"rows {places}: after your moves they stand at {sorted(in_front)}.")
        fewest = sum(place >= len(places) for place in places)
        need(len(moves) == fewest, f"rows {places}: {fewest} moves are enough; you made {len(moves)}.")


def _moves(fill_holes: Function, places: list[int]) -> list[tuple[int, int]]:
    moves = attempt(f"fill_holes({places})", fill_holes, list(places))
    pairs = isinstance(moves, list) and all(isinstance(move, tuple) and len(move) == 2 for move in moves)
    need(pairs, f"fill_holes gives back a list of pairs (from, to); yours gave {moves!r}.")
    return moves

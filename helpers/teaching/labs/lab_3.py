"""Checks of lab 3, parts 1 to 4: a block pool of the reader's own, held to the course's, call by call.

The reader writes functions on ``Pool`` and ``Table``, which are data alone (``lab_3_own_pool``).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any

from helpers.cache.block_pool import BlockPool, BlockTable, OutOfBlocks
from helpers.teaching.attempts import Complaint, attempt, need
from helpers.teaching.checks import check_stages, stage
from helpers.teaching.labs.lab_3_own_pool import (
    Pool,
    Table,
    filled,
    random_calls,
    require_integrity,
    require_refusal,
    state,
)

Function = Callable[..., Any]


# --- Part 1: take ----------------------------------------------------------------------------------------------------
def check_take(take: Function) -> None:
    """``take(pool, count)``: blocks from the free list, or a refusal that changes nothing."""
    check_stages(
        stage("two blocks of three", _take_two, take),
        stage("as many as there are", _take_all, take),
        stage("more than there are", _take_too_many, take),
        stage("random calls beside BlockPool", _take_at_random, take),
    )


def _take_two(take: Function) -> None:
    pool = Pool(3, 4)
    blocks = attempt("take(pool, 2)", take, pool, 2)
    need(isinstance(blocks, list), f"take gives back a list of block numbers, not {type(blocks).__name__}.")
    need(len(blocks) == 2, f"2 blocks were asked for; you gave {len(blocks)}.")
    need(blocks != [2, 1], "the block that has been free for longest is the first in pool.free; you took from the end.")
    need(blocks == [0, 1], f"pool.free was [0, 1, 2], so the first two are [0, 1]; you gave {blocks}.")
    need(pool.free == [2], f"a block that was handed out is free no longer; pool.free is {pool.free}, not [2].")
    need(pool.ref_count == [1, 1, 0], f"one table lists each new block; ref_count is {pool.ref_count}, not [1, 1, 0].")


def _take_all(take: Function) -> None:
    pool = Pool(3, 4)
    need(attempt("take(pool, 0)", take, pool, 0) == [], "none were asked for: take(pool, 0) gives [].")
    try:
        blocks = attempt("take(pool, 3)", take, pool, 3, passes=OutOfBlocks)
    except OutOfBlocks:
        raise Complaint("3 are free and 3 are wanted: that is enough. Refuse only if more are wanted.") from None
    need(blocks == [0, 1, 2] and not pool.free, f"the last block can be had too; you gave {blocks}.")


def _take_too_many(take: Function) -> None:
    pool, tables = filled(5, 4, ([0, 1], 8))
    require_refusal("take(pool, 4), with 3 blocks free,", partial(take, pool, 4), pool, tables)
    try:
        take(pool, 4)
    except OutOfBlocks as error:
        told = (error.held, error.free, error.needed)
    need(told == (2, 3, 4), f"OutOfBlocks(held, free, needed) should say 2, 3 and 4 here; yours says {told}.")


def _take_at_random(take: Function) -> None:
    for seed in range(40):
        rng, pool, course = random.Random(seed), Pool(8, 4), BlockPool(8, 4)
        held: list[int] = []
        for _ in range(12):
            if held and rng.random() < 0.4:
                block = held.pop(rng.randrange(len(held)))
                course.free_blocks([block])
                pool.free.append(block)
                pool.ref_count[block] = 0
            else:
                held += _take_beside(take, pool, course, rng.randrange(4))


def _take_beside(take: Function, pool: Pool, course: BlockPool, count: int) -> list[int]:
    """The same call to both; the blocks that the course's pool gave."""
    case = f"take(pool, {count}), with free blocks {pool.free},"
    if count > course.num_free_blocks:
        require_refusal(case, partial(take, pool, count), pool, [])
        return []
    right = course.get_new_blocks(count)
    found = attempt(case, take, pool, count)
    need(found == right, f"{case} gave {found}, not {right}.")
    need(pool.free == list(course.free_queue), f"{case} left {pool.free} free, not {list(course.free_queue)}.")
    need(pool.ref_count == course.ref_count, f"{case} made ref_count {pool.ref_count}, not {course.ref_count}.")
    return right


# --- Part 2: append, and where a token lies --------------------------------------------------------------------------
def check_append(append: Function) -> None:
    """``append(table, count)``: fill slots, with new blocks where the last one is full."""
    check_stages(
        stage("token by token, in blocks of 4", _append_by_hand, append),
        stage("a pool that is full", _append_too_much, append),
        stage("random calls beside BlockTable", random_calls, {"append": append}),
    )


def _append_by_hand(append: Function) -> None:
    table = Table(Pool(8, 4))
    attempt("append(table, 2), in blocks of 4,", append, table, 2)
    need(table.blocks, "2 tokens hold a whole block of 4: round up. 2 // 4, rounded down, is none.")
    need(table.num_slots == 2, f"after append(table, 2) num_slots is {table.num_slots}, not 2.")
    attempt("append(table, 1), with 2 of 4 slots filled,", append, table, 1)
    need(len(table.blocks) == 1, "there was room in the last block: round up all tokens together, not each call's.")
    attempt("append(table, 1), with 3 of 4 slots filled,", append, table, 1)
    need(len(table.blocks) == 1, "too early: 4 tokens fill one block exactly; the next is taken when token 5 comes.")
    attempt("append(table, 1), with 4 of 4 slots filled,", append, table, 1)
    need(len(table.blocks) == 2, f"token 5 needs a second block of 4; the table has {len(table.blocks)}.")
    attempt("append(table, 9), with 5 tokens there,", append, table, 9)
    need(len(table.blocks) == 4, f"14 tokens lie in 4 blocks of 4; the table has {len(table.blocks)}.")
    require_integrity(table.pool, {"table": table})


def _append_too_much(append: Function) -> None:
    pool, [table, other] = filled(4, 4, ([0], 3), ([1], 4))
    require_refusal(
        "append(table, 10), which takes 3 more blocks of 2,", partial(append, table, 10), pool, [table, other]
    )
    before = list(table.blocks)
    attempt("append(table, 9), which takes the last 2 blocks,", append, table, 9)
    need(table.blocks[:1] == before, f"append changed the blocks that were there: {before} became {table.blocks[:1]}.")
    need(len(table.blocks) == 3, f"3 + 9 tokens lie in 3 blocks of 4; the table has {len(table.blocks)}.")


def check_slot_of(slot_of: Function) -> None:
    """``slot_of(table, place)``: where in the pool's memory a token lies."""
    check_stages(
        stage("one token by hand", _slot_by_hand, slot_of),
        stage("random tables beside BlockTable.slots", _slots_at_random, slot_of),
    )


def _slot_by_hand(slot_of: Function) -> None:
    _, [table] = filled(8, 4, ([5, 2, 7], 11))
    found = attempt("slot_of(table, 9)", slot_of, table, 9)
    mistakes = {
        9: "that is its place in the sequence; the table says in which block of the memory that is.",
        7: "that is the number of its block; in it the token has a slot.",
        8: "block 7 begins at slot 7 x 4, since each block before it has 4 slots.",
        10: "// and % changed places: 9 // 4 is its place in the table, 9 % 4 its slot in the block.",
        28: "that is its neighbour on the left: places are counted from 0.",
        30: "that is its neighbour on the right: places are counted from 0.",
    }
    case = "blocks [5, 2, 7] of 4 slots, place 9"
    need(isinstance(found, Real), f"{case}: a slot is a number, not {type(found).__name__}.")
    need(found == 29, f"{case}: {mistakes.get(found, f'{found} is not it; work out block and offset by hand.')}")


def _slots_at_random(slot_of: Function) -> None:
    rng = random.Random(0)
    for size in (1, 3, 4, 16):
        course = BlockTable(BlockPool(12, size))
        rng.shuffle(course.pool.free_queue)
        course.append(10 * size - 1)
        _, [table] = filled(12, size, (course.blocks, course.num_slots))
        found = [attempt(f"slot_of(table, {i}), size {size},", slot_of, table, i) for i in range(table.num_slots)]
        wrong = next((i for i, slot in enumerate(course.slots()) if found[i] != slot), None)
        if wrong is not None:
            case = f"blocks {table.blocks} of {size} slots, place {wrong}"
            raise Complaint(f"{case}: {found[wrong]}, not {course.slots()[wrong]}.")


# --- Part 3: share ---------------------------------------------------------------------------------------------------
def check_fork(fork: Function) -> None:
    """``fork(table)``: a second table that lists the same blocks."""
    check_stages(
        stage("a fork of 6 tokens", _fork_by_hand, fork),
        stage("a fork of a fork", _fork_again, fork),
    )


def _fork_by_hand(fork: Function) -> None:
    pool, [parent] = filled(8, 4, ([0, 1], 6))
    child = attempt("fork(parent)", fork, parent)
    need(isinstance(child, Table), f"fork gives back a Table, not {type(child).__name__}.")
    need(child is not parent, "fork gave back its parent; a fork is a second table.")
    need(len(pool.free) == 6, "a fork copies the list of blocks, not the blocks: it takes none from the pool.")
    need(child.blocks == [0, 1], f"the child lists the parent's blocks [0, 1]; yours lists {child.blocks}.")
    need(
        child.blocks is not parent.blocks, "both tables have one list: what one appends, the other has. Copy the list."
    )
    need(child.num_slots == 6, f"the child has the parent's 6 tokens; its num_slots is {child.num_slots}.")
    need(child.pool is pool, "the child's blocks come from the parent's pool.")
    counts = pool.ref_count[:2]
    need(counts != [1, 1], "two tables list blocks 0 and 1 now; their ref_count must say so.")
    need(counts == [2, 2], f"two tables list blocks 0 and 1; ref_count is {counts}, not [2, 2].")


def _fork_again(fork: Function) -> None:
    pool, [parent, child] = filled(8, 4, ([3, 1], 5), ([3, 1], 5))
    third = attempt("fork(child)", fork, child)
    tables = {"parent": parent, "child": child, "third": third}
    require_integrity(pool, tables)
    empty = attempt("fork of an empty table", fork, Table(pool))
    need(empty.blocks == [] and empty.num_slots == 0, "a fork of a table without tokens has none.")


def check_write(write: Function, fork: Function) -> None:
    """``write(table, count)``: append, after a copy of the last block where another table lists it too."""
    check_stages(
        stage("the child writes first", _write_into_shared, write),
        stage("where nothing is to be copied", _write_without_copy, write),
        stage("a pool that is full", _write_too_much, write),
        stage("random calls beside BlockTable", random_calls, {"append": write, "fork": fork}),
    )


def _write_into_shared(write: Function) -> None:
    pool, [parent, child] = filled(8, 4, ([0, 1], 6), ([0, 1], 6))
    copies = attempt("write(child, 1)", write, child, 1)
    need(child.num_slots == 7, f"the child has 7 tokens now; its num_slots is {child.num_slots}.")
    need(parent.blocks == [0, 1], f"the parent's table is none of the child's business; it became {parent.blocks}.")
    need(
        child.blocks != [0, 1],
        "the child wrote into block 1, which its parent lists too: a partly filled block that "
        "is shared must be copied first.",
    )
    need(
        len(child.blocks) == 2,
        f"7 tokens lie in 2 blocks of 4; the child lists {child.blocks}. The copy takes the place of the shared block.",
    )
    need(child.blocks[0] == 0, f"block 0 is full, nobody writes into it; it stays shared. You have {child.blocks}.")
    counts = [pool.ref_count[block] for block in (0, 1, child.blocks[1])]
    need(counts[1] != 2, "block 1 is off the child's table: one table lists it, and its ref_count must fall to 1.")
    need(counts == [2, 1, 1], f"ref_count of blocks 0, 1 and the copy should be [2, 1, 1]; it is {counts}.")
    need(copies != [(child.blocks[1], 1)], "a pair says (from, to): yours is the wrong way round.")
    right = [(1, child.blocks[1])]
    need(copies == right, f"write gives back what must be copied, {right}; yours gave {copies}.")


def _write_without_copy(write: Function) -> None:
    pool, [table, other] = filled(8, 4, ([0, 2], 6), ([0, 1], 7))
    copies = attempt("write(table, 1), its last block its own,", write, table, 1)
    need(copies is not None, "write gives back a list of copies, also when it is empty.")
    need(table.blocks == [0, 2], "a copy although ref_count is 1: nobody else lists the last block, so write into it.")
    need(copies == [], f"nothing was copied, so write gives back []; yours gave {copies}.")
    pool, [table, other] = filled(8, 4, ([0, 1], 8), ([0, 1], 8))
    copies = attempt("write(table, 1), all its blocks full,", write, table, 1)
    need(
        copies == [] and table.blocks[:2] == [0, 1],
        "the last block is full, so nothing will be written into it: take a new one, copy nothing.",
    )
    before = state(pool, [table, other])
    copies = attempt("write(table, 0)", write, table, 0)
    need(copies == [] and state(pool, [table, other]) == before, "write(table, 0) writes nothing, so copies nothing.")
    pool, [table, other] = filled(8, 4, ([0, 1], 6), ([0, 1], 6))
    before = state(pool, [table, other])
    copies = attempt("write(table, 0)", write, table, 0)
    need(copies == [] and state(pool, [table, other]) == before, "write(table, 0) writes nothing, so copies nothing.")


def _write_too_much(write: Function) -> None:
    pool, [table, other] = filled(2, 4, ([0, 1], 6), ([0, 1], 6))
    require_refusal(
        "write(table, 1), which needs a copy and finds no free block,", partial(write, table, 1), pool, [table, other]
    )
    pool, [table, other] = filled(3, 4, ([0, 1], 6), ([0, 1], 6))
    require_refusal(
        "write(table, 3), which needs a copy and a new block and finds one free,",
        partial(write, table, 3),
        pool,
        [table, other],
    )


# --- Part 4: leave ---------------------------------------------------------------------------------------------------
def check_truncate(truncate: Function, fork: Function, write: Function) -> None:
    """``truncate(table, num_slots)``: give the tail back."""
    functions = {"append": write, "fork": fork, "truncate": truncate}
    check_stages(
        stage("one table alone", _truncate_alone, truncate),
        stage("a block with two owners", _truncate_shared, truncate),
        stage("twice", _truncate_twice, truncate),
        stage("random calls of all you wrote, beside BlockTable", random_calls, functions),
    )


def _truncate_alone(truncate: Function) -> None:
    pool, [table] = filled(4, 4, ([0, 1, 2], 9))
    freed = attempt("truncate(table, 5), of 9 tokens,", truncate, table, 5)
    need(len(table.blocks) != 1, "5 tokens lie in 2 blocks of 4: round up. You kept one, and token 5 with no block.")
    need(table.blocks == [0, 1], f"5 tokens stay in blocks [0, 1]; the table lists {table.blocks}.")
    need(table.num_slots == 5, f"num_slots is {table.num_slots}, not 5.")
    need(freed != 4, "you counted tokens: 4 left, and 1 block came back.")
    need(freed == 1, f"one block came back; you gave {freed}.")
    need(pool.ref_count[2] == 0, f"no table lists block 2 any more; its ref_count is {pool.ref_count[2]}.")
    need(sorted(pool.free) == [2, 3], f"block 2 is free again; pool.free is {pool.free}.")
    need(pool.free == [3, 2], "a block that comes back goes to the end of pool.free: it has been free for shortest.")
    attempt("truncate(table, 4), of 5 tokens,", truncate, table, 4)
    need(len(table.blocks) == 1, f"4 tokens fill one block of 4 exactly; the table lists {table.blocks}.")


def _truncate_shared(truncate: Function) -> None:
    pool, [one, other] = filled(4, 4, ([0, 1, 2], 9), ([0, 1, 3], 9))
    freed = attempt("truncate(one, 0)", truncate, one, 0)
    given = [block for block in (0, 1) if block in pool.free]
    need(not given, f"block {given[:1]} went back to the pool while another table still lists it.")
    need(pool.ref_count[:2] == [1, 1], f"one table still lists blocks 0 and 1; ref_count is {pool.ref_count[:2]}.")
    need(freed != 3, "3 blocks left the table, but the other still lists two of them: count what became free.")
    need(freed == 1 and 2 in pool.free, f"block 2 alone came back; you gave {freed}, and {pool.free} are free.")
    freed = attempt("truncate(other, 0)", truncate, other, 0)
    need(freed == 3 and not any(pool.ref_count), f"now blocks 0, 1 and 3 come back; you gave {freed}.")


def _truncate_twice(truncate: Function) -> None:
    pool, [one, other] = filled(4, 4, ([0, 1], 8), ([0, 1], 8))
    attempt("truncate(one, 0)", truncate, one, 0)
    need(one.blocks == [], f"a table that has left lists no block; yours still lists {one.blocks}, to be freed twice.")
    freed = attempt("truncate(one, 0), once more,", truncate, one, 0)
    need(freed == 0 and pool.ref_count[:2] == [1, 1], "a second call freed blocks once more: a double free.")
    need(len(set(pool.free)) == len(pool.free), f"a block is twice in pool.free: {pool.free}.")
    before = state(pool, [one, other])
    freed = attempt("truncate(other, 8), of 8 tokens,", truncate, other, 8)
    need(freed == 0 and state(pool, [one, other]) == before, "truncate to what is there changes nothing, and gives 0.")

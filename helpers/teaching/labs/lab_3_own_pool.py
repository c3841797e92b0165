"""A block pool as data, for readers who write its functions, and random calls that hold these to the course's pool.

Blocks are compared by their pattern, not by their numbers: in which order a table's blocks are freed is the reader's
choice.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

from helpers.cache.block_pool import BlockPool, BlockTable, OutOfBlocks
from helpers.teaching.attempts import Complaint, attempt, need

Function = Callable[..., Any]


@dataclass(eq=False)
class Pool:
    """``Pool(num_blocks, block_size)``: a pool of which nothing is used yet; data alone, for the reader's functions.

    Attributes:
        block_size: slots per block.
        free: the numbers of the free blocks, the one that has been free for longest first.
        ref_count: per block, how many tables list it.
    """

    num_blocks: InitVar[int]
    block_size: int
    free: list[int] = field(init=False)
    ref_count: list[int] = field(init=False)

    def __post_init__(self, num_blocks: int) -> None:
        self.free, self.ref_count = list(range(num_blocks)), [0] * num_blocks


@dataclass(eq=False)
class Table:
    """``Table(pool)``: the block table of one sequence, which has no token yet; data alone.

    Attributes:
        pool: the pool that its blocks come from.
        blocks: the numbers of its blocks, in order.
        num_slots: how many of their slots are filled.
    """

    pool: Pool = field(repr=False)
    blocks: list[int] = field(default_factory=list)
    num_slots: int = 0


def filled(num_blocks: int, block_size: int, *tables: tuple[list[int], int]) -> tuple[Pool, list[Table]]:
    """A pool with tables in it, each given by its blocks and its filled slots."""
    pool = Pool(num_blocks, block_size)
    made = [Table(pool, list(blocks), num_slots) for blocks, num_slots in tables]
    listed = Counter(block for table in made for block in table.blocks)
    pool.ref_count = [listed[block] for block in range(num_blocks)]
    pool.free = [block for block in range(num_blocks) if not listed[block]]
    return pool, made


def state(pool: Pool, tables: Sequence[Table]) -> tuple:
    """All there is to know of a pool and its tables, to tell whether a call has changed anything."""
    return list(pool.free), list(pool.ref_count), [(list(table.blocks), table.num_slots) for table in tables]


def require_refusal(case: str, call: Callable[[], Any], pool: Pool, tables: Sequence[Table]) -> None:
    """Complain unless the call raises OutOfBlocks and leaves everything as it was."""
    before = state(pool, tables)
    try:
        found = attempt(case, call, passes=OutOfBlocks)
    except OutOfBlocks:
        need(state(pool, tables) == before, f"{case} refused, but had changed something first: look before you take.")
        return
    raise Complaint(f"{case} gave {found!r}, though the pool has too few blocks: raise OutOfBlocks.")


class Twins:
    """The reader's tables and the course's, which get the same calls.

    Args:
        functions: the reader's; ``append`` there fills slots, with copies if ``fork`` is there too.
        seed: decides the calls.
    """

    def __init__(self, functions: dict[str, Function], seed: int) -> None:
        self.functions, self.rng = functions, random.Random(seed)
        self.pool, self.course = Pool(10, 4), BlockPool(10, 4)
        self.mine: dict[str, Table] = {}
        self.theirs: dict[str, BlockTable] = {}
        self.calls: list[str] = []

    def step(self) -> None:
        """One random call to both; complain where they differ."""
        kinds = [name for name in self.functions for _ in range(3 if name == "append" else 1)]
        if not self.mine or (len(self.mine) < 5 and self.rng.random() < 0.2):
            self._open()
            return
        letter, kind = self.rng.choice(list(self.mine)), self.rng.choice(kinds)
        if kind == "fork":
            self._fork(letter)
            return
        count = self.rng.randrange(8) if kind == "append" else self.rng.randint(0, self.theirs[letter].num_slots)
        self._call(kind, letter, count)

    def _open(self) -> None:
        letter = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[len(self.mine)]
        self.mine[letter], self.theirs[letter] = Table(self.pool), BlockTable(self.course)

    def _fork(self, letter: str) -> None:
        child = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[len(self.mine)]
        self.calls.append(f"{child} = fork({letter})")
        self.theirs[child] = self.theirs[letter].fork()
        forked = attempt(self._case(), self.functions["fork"], self.mine[letter])
        need(isinstance(forked, Table), f"{self._case()} gave {forked!r}, not a Table.")
        self.mine[child] = forked
        self._compare()

    def _call(self, kind: str, letter: str, count: int) -> None:
        name = "write" if kind == "append" and "fork" in self.functions else kind
        self.calls.append(f"{name}({letter}, {count})")
        table, before = self.theirs[letter], list(self.mine[letter].blocks)
        expected = _outcome(lambda: getattr(table, kind)(count))
        found = _outcome(
            lambda: attempt(self._case(), self.functions[kind], self.mine[letter], count, passes=OutOfBlocks)
        )
        refused = [isinstance(each, OutOfBlocks) for each in (found, expected)]
        need(
            refused != [True, False], f"{self._case()} refused, though there are blocks enough: {expected!r} is right."
        )
        need(refused != [False, True], f"{self._case()} did not refuse: {expected}.")
        self._compare()
        if name == "write" and not refused[0]:
            after = self.mine[letter].blocks
            right = [(before[len(before) - 1], after[len(before) - 1])] if expected else []
            need(found == right, f"{self._case()} gave {found}; to be copied was {right}.")
        if kind == "truncate":
            need(found == expected, f"{self._case()} gave {found}; {expected} blocks became free.")

    def _compare(self) -> None:
        require_integrity(self.pool, self.mine, f"{self._case()} ")
        for letter, table in self.theirs.items():
            mine = self.mine[letter]
            need(
                mine.num_slots == table.num_slots,
                f"{self._case()} {letter} has {mine.num_slots} slots filled, not {table.num_slots}.",
            )
            need(
                len(mine.blocks) == len(table.blocks),
                f"{self._case()} {letter} lists {len(mine.blocks)} blocks, not {len(table.blocks)}.",
            )
        same = _pattern(self.mine.values()) == _pattern(self.theirs.values())
        need(same, f"{self._case()} your tables share other blocks than they should.")

    def _case(self) -> str:
        return f"in a random sequence of {len(self.calls)} calls, the last of them {', '.join(self.calls[-4:])},"


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except OutOfBlocks as refusal:
        return refusal


def _pattern(tables: Any) -> list[list[int]]:
    """The tables with their blocks numbered by first appearance: what they share, without the blocks' own names."""
    names: dict[int, int] = {}
    return [[names.setdefault(block, len(names)) for block in table.blocks] for table in tables]


def require_integrity(pool: Pool, tables: dict[str, Table], case: str = "") -> None:
    """Complain unless the tables and the free list account for every block, and ``ref_count`` says how."""
    listed = Counter(block for table in tables.values() for block in table.blocks)
    free = Counter(pool.free)
    for block, count in enumerate(pool.ref_count):
        given = f"block {block} is in pool.free while {listed[block]} table(s) list it."
        need(not (free[block] and listed[block]), f"{case}{given}")
        need(free[block] < 2, f"{case}block {block} is twice in pool.free: it was freed twice.")
        need(count == listed[block], f"{case}ref_count of block {block} is {count}; {listed[block]} table(s) list it.")
        need(free[block] or listed[block], f"{case}block {block} is lost: no table lists it, and it is not free.")


def random_calls(functions: dict[str, Function]) -> None:
    """Short sequences first, so that the one that fails is short."""
    for length in range(2, 15):
        for seed in range(25):
            twins = Twins(functions, 100 * length + seed)
            for _ in range(length):
                twins.step()

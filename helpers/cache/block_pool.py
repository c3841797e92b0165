"""Who holds which block of memory: integers only, no tensor. Names and rules follow vLLM's ``v1/core/block_pool.py``.

Memory is cut into blocks of ``block_size`` slots, one slot per token. A block table lists the blocks of one sequence
in order. Tables may share blocks; ``ref_count`` says how many tables list a block, which is free again when none does.

What an eviction gives back depends on the table. This one can drop any block, from its middle too (``release``), and
closes the gap. vLLM's manager of full attention cannot: it frees nothing before the request ends, whatever is dead in a
block (``v1/core/single_type_kv_cache_manager.py``). Its manager of sliding windows drops the blocks that the window has
passed, and keeps their places in the table. So what ``expected_empty_blocks`` counts comes back here, and not there.

Invariant, kept by every call and proved by ``check_integrity``: a block's ``ref_count`` equals the number of tables
that list it, and the blocks with count 0 are exactly those in the free queue, each once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from math import comb

from helpers.arithmetic.footprint import require_count


class OutOfBlocks(MemoryError):
    """The pool has too few free blocks. Nothing was changed.

    Attributes:
        held: blocks in use.
        free: blocks that are free.
        needed: blocks that were asked for.
    """

    def __init__(self, held: int, free: int, needed: int) -> None:
        super().__init__(f"out of blocks: {needed} needed, {free} free, {held} held")
        self.held, self.free, self.needed = held, free, needed


class BlockPool:
    """``num_blocks`` blocks of ``block_size`` slots. The block that has been free for longest is handed out first."""

    def __init__(self, num_blocks: int, block_size: int = 16) -> None:
        self.num_blocks = require_count("num_blocks", num_blocks, least=1)
        self.block_size = require_count("block_size", block_size, least=1)
        self.ref_count = [0] * self.num_blocks
        self.free_queue = deque(range(self.num_blocks))  # first freed, first reused, as in vLLM

    @property
    def num_free_blocks(self) -> int:
        """Blocks that no table lists."""
        return len(self.free_queue)

    @property
    def num_held_blocks(self) -> int:
        """Blocks that at least one table lists; a shared block counts once."""
        return self.num_blocks - len(self.free_queue)

    def get_new_blocks(self, count: int) -> list[int]:
        """Take ``count`` blocks from the free queue, each with ``ref_count`` 1.

        Raises:
            OutOfBlocks: if fewer are free; then none is taken.
        """
        count = require_count("count", count, least=0)
        if count > len(self.free_queue):
            raise OutOfBlocks(self.num_held_blocks, self.num_free_blocks, count)
        blocks = [self.free_queue.popleft() for _ in range(count)]
        for block in blocks:
            self.ref_count[block] = 1
        return blocks

    def touch(self, blocks: Iterable[int]) -> None:
        """List held blocks in one more table.

        Raises:
            ValueError: if one of them is free, is no block of the pool, or is named twice; then nothing has changed.
        """
        blocks = self._held(blocks)
        for block in blocks:
            self.ref_count[block] += 1

    def free_blocks(self, blocks: Iterable[int]) -> int:
        """Take blocks off one table, the first to be reused first; returns how many no table lists any more.

        Raises:
            ValueError: if one of them is free already, is no block of the pool, or is named twice; then nothing has
                changed.
        """
        blocks = self._held(blocks)
        for block in blocks:
            self.ref_count[block] -= 1
        freed = [block for block in blocks if self.ref_count[block] == 0]
        self.free_queue.extend(freed)
        return len(freed)

    def _held(self, blocks: Iterable[int]) -> list[int]:
        """The blocks as a list, once it is certain that each is held and named once: a table lists no block twice."""
        listed = require_places("blocks", blocks, self.num_blocks, "the pool")
        for block in listed:
            if not self.ref_count[block]:
                raise ValueError(f"block {block} is free; only a held block can be shared or freed")
        return listed

    def check_integrity(self, tables: Sequence[BlockTable]) -> None:
        """Raise AssertionError, with the equation that fails, unless ``tables`` and the free queue account for all."""
        listed = Counter(block for table in tables for block in table.blocks)
        for block in range(self.num_blocks):
            if self.ref_count[block] != listed[block]:
                raise AssertionError(
                    f"ref_count[{block}] = {self.ref_count[block]} != {listed[block]} tables that list it"
                )
        free = Counter(self.free_queue)
        unlisted = Counter({block: 1 for block in range(self.num_blocks) if not listed[block]})
        if free != unlisted:
            raise AssertionError(f"free {sorted(free.elements())} != not listed {sorted(unlisted)}")
        if self.num_held_blocks + self.num_free_blocks != self.num_blocks:
            raise AssertionError(f"held {self.num_held_blocks} + free {self.num_free_blocks} != {self.num_blocks}")


class BlockTable:
    """The blocks of one sequence, in order, and how many of their slots are filled.

    Slot ``i`` of the sequence lies in block ``blocks[i // block_size]``. Invariant: the table lists exactly
    ``ceil(num_slots / block_size)`` blocks.
    """

    def __init__(self, pool: BlockPool) -> None:
        self.pool = pool
        self.blocks: list[int] = []
        self.num_slots = 0

    def slots(self, first: int = 0) -> list[int]:
        """The place of each filled slot in the pool's memory, in order: ``block x block_size + offset``.

        ``first`` is the slot to begin with; below 0, counted from the end.
        """
        size = self.pool.block_size
        return [self.blocks[i // size] * size + i % size for i in range(self.num_slots)[first:]]

    def blocks_needed(self, count: int) -> int:
        """Blocks that ``append(count)`` will take from the pool, a copy of a shared last block included."""
        count, size = require_count("count", count, least=0), self.pool.block_size
        copied = bool(count and self.num_slots % size and self.pool.ref_count[self.blocks[-1]] > 1)
        return blocks_for(self.num_slots + count, size) - len(self.blocks) + copied

    def num_shared(self, indices: Iterable[int]) -> int:
        """How many of the blocks at these places in the table another table lists too."""
        return len(self._shared(indices))

    def append(self, count: int = 1) -> list[tuple[int, int]]:
        """Fill ``count`` more slots, taking new blocks where needed.

        If the last block is partly filled and shared, this table gets a copy of its own first (copy on write).

        Returns:
            (source, target) for each block whose contents the caller must copy before writing: none or one.

        Raises:
            OutOfBlocks: if the pool has too few; then nothing has changed.
        """
        count = require_count("count", count, least=0)
        if not count:
            return []
        size = self.pool.block_size
        new_length = blocks_for(self.num_slots + count, size)
        last = [len(self.blocks) - 1] if self.num_slots % size else []
        copies = self.make_own(last, extra=new_length - len(self.blocks))
        self.blocks += self.pool.get_new_blocks(new_length - len(self.blocks))
        self.num_slots += count
        return copies

    def make_own(self, indices: Iterable[int], extra: int = 0) -> list[tuple[int, int]]:
        """Replace those of the table's blocks that are shared by new ones, since they are about to be changed.

        Args:
            indices: places in the table, each once.
            extra: blocks the caller will take next; together they are taken or refused.

        Returns:
            (source, target) for each block that the caller must copy.

        Raises:
            OutOfBlocks: if the pool has too few; then nothing has changed.
            ValueError: if an index is no place of the table, or is named twice; then nothing has changed.
        """
        shared = self._shared(indices)
        needed = len(shared) + require_count("extra", extra, least=0)
        if needed > self.pool.num_free_blocks:
            raise OutOfBlocks(self.pool.num_held_blocks, self.pool.num_free_blocks, needed)
        copies = []
        for i, target in zip(shared, self.pool.get_new_blocks(len(shared)), strict=True):
            copies.append((self.blocks[i], target))
            self.pool.free_blocks([self.blocks[i]])
            self.blocks[i] = target
        return copies

    def fork(self) -> BlockTable:
        """A second table that shares all blocks of this one, as a sub-agent shares its parent's prefix."""
        child = BlockTable(self.pool)
        child.blocks, child.num_slots = list(self.blocks), self.num_slots
        self.pool.touch(child.blocks)
        return child

    def release(self, indices: Iterable[int]) -> int:
        """Take blocks out of the table, by their places in it; returns how many became free in the pool.

        The slots behind a released block move up: its own are gone from the sequence's count.

        Raises:
            ValueError: if an index is no place of the table, or is named twice; then nothing has changed.
        """
        gone = set(self._places(indices))
        size, last = self.pool.block_size, len(self.blocks) - 1
        filled = sum(size if i < last else self.num_slots - last * size for i in gone)
        freed = self.pool.free_blocks(self.blocks[i] for i in sorted(gone, reverse=True))
        self.blocks = [block for i, block in enumerate(self.blocks) if i not in gone]
        self.num_slots -= filled
        return freed

    def truncate(self, num_slots: int) -> int:
        """Keep the first ``num_slots`` slots and free the tail blocks, the last first; returns how many became free.

        Raises:
            ValueError: if fewer are filled; then nothing has changed.
        """
        num_slots = require_count("num_slots", num_slots, least=0)
        if num_slots > self.num_slots:
            raise ValueError(f"num_slots is {num_slots}; it may be 0 to {self.num_slots}, the slots that are filled")
        keep = blocks_for(num_slots, self.pool.block_size)
        freed = self.pool.free_blocks(reversed(self.blocks[keep:]))
        self.blocks, self.num_slots = self.blocks[:keep], num_slots
        return freed

    def _places(self, indices: Iterable[int]) -> list[int]:
        return require_places("indices", indices, len(self.blocks), "the table")

    def _shared(self, indices: Iterable[int]) -> list[int]:
        return [i for i in self._places(indices) if self.pool.ref_count[self.blocks[i]] > 1]


def require_places(name: str, numbers: Iterable[int], count: int, whole: str) -> list[int]:
    """The numbers as ints; raise one clear line unless each is 0 to ``count - 1``, those of ``whole``, and stands once.

    Python would take -1 for the last and True for 1, and a small numpy int would wrap around in what is computed of it.
    """
    # The first question is there for speed: a table may have thousands of blocks.
    listed = [n if type(n) is int else require_count(f"one of the {name}", n, least=0) for n in numbers]
    if wrong := [n for n in listed if not 0 <= n < count]:
        there = f"has those from 0 to {count - 1}" if count else "has none"
        raise ValueError(f"{name} hold {wrong}; {whole} {there}")
    if len(set(listed)) != len(listed):
        raise ValueError(f"{name} {listed} hold one twice")
    return listed


def blocks_for(num_slots: int, block_size: int) -> int:
    """Blocks that ``num_slots`` slots need: the quotient rounded up."""
    return -(-num_slots // block_size)


def expected_empty_blocks(tokens: int, survivors: int, block_size: int, n_sets: int = 1) -> float:
    """Blocks expected to end up empty when ``survivors`` of ``tokens`` are kept at random, in blocks, not as a share.

    A block of ``b`` slots is empty with the hypergeometric probability C(tokens - survivors, b) / C(tokens, b), and
    must be so for each of ``n_sets`` sets chosen independently (one per KV head, say, since all share the block). The
    last block may be partly filled. 16,000 tokens, 2,000 survivors, 16 to a block: 117.94 of 1,000.

    Raises:
        ValueError: if an argument is out of range.
    """
    require_count("tokens", tokens, least=1)
    require_count("survivors", survivors, least=0)
    require_count("block_size", block_size, least=1)
    require_count("n_sets", n_sets, least=1)
    if survivors > tokens:
        raise ValueError(f"survivors is {survivors}; it may be 0 to {tokens}, the tokens there are")
    full, rest = divmod(tokens, block_size)
    sizes = [(full, block_size)] * (full > 0) + [(1, rest)] * (rest > 0)
    return float(sum(blocks * _empty(tokens, survivors, slots) ** n_sets for blocks, slots in sizes))


def _empty(tokens: int, survivors: int, slots: int) -> float:
    """Probability that none of the survivors lies in given ``slots`` slots: all of them hold evicted tokens."""
    return comb(tokens - survivors, slots) / comb(tokens, slots)

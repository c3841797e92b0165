"""The block pool against a naive model: every table's contents written out in full, every block counted by hand."""

import random
from fractions import Fraction
from itertools import combinations, count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.cache import BlockPool, BlockTable, OutOfBlocks, blocks_for, expected_empty_blocks

fast = settings(max_examples=60, deadline=None, derandomize=True, database=None)


class Garage:
    """Tables that write into real memory as they are told, beside what each should hold, as plain lists."""

    def __init__(self, num_blocks, block_size):
        self.pool = BlockPool(num_blocks, block_size)
        self.memory = [[None] * block_size for _ in range(num_blocks)]
        self.tables, self.truth, self.cars = [], [], count()

    def open(self):
        self.tables.append(BlockTable(self.pool))
        self.truth.append([])

    def append(self, i, n):
        self._copy(self.tables[i].append(n))
        for slot in self.tables[i].slots()[len(self.truth[i]) :]:
            car = next(self.cars)
            self.memory[slot // self.pool.block_size][slot % self.pool.block_size] = car
            self.truth[i].append(car)

    def fork(self, i):
        self.tables.append(self.tables[i].fork())
        self.truth.append(list(self.truth[i]))

    def truncate(self, i, n):
        self.tables[i].truncate(n)
        del self.truth[i][n:]

    def release(self, i, indices):
        self.tables[i].release(indices)
        size = self.pool.block_size
        self.truth[i] = [car for k, car in enumerate(self.truth[i]) if k // size not in indices]

    def rewrite(self, i, indices):
        """Change blocks of one table, as compaction does: the other tables must not notice."""
        self._copy(self.tables[i].make_own(indices))
        size = self.pool.block_size
        for k, slot in enumerate(self.tables[i].slots()):
            if k // size in indices:
                self.truth[i][k] = self.memory[slot // size][slot % size] = next(self.cars)

    def _copy(self, copies):
        for source, target in copies:
            self.memory[target] = list(self.memory[source])

    def check(self):
        self.pool.check_integrity(self.tables)
        size = self.pool.block_size
        for table, truth in zip(self.tables, self.truth, strict=True):
            assert [self.memory[slot // size][slot % size] for slot in table.slots()] == truth
            assert len(table.blocks) == blocks_for(len(truth), size)
        held = {block for table in self.tables for block in table.blocks}
        assert (self.pool.num_held_blocks, self.pool.num_free_blocks) == (len(held), self.pool.num_blocks - len(held))


def snapshot(garage):
    tables = [(list(table.blocks), table.num_slots) for table in garage.tables]
    return tables, list(garage.pool.ref_count), list(garage.pool.free_queue)


def step(garage, rng):
    """One random call; a refused one must change nothing."""
    if not garage.tables or (len(garage.tables) < 6 and rng.random() < 0.05):
        return garage.open()
    i = rng.randrange(len(garage.tables))
    table, before = garage.tables[i], snapshot(garage)
    some = {k for k in range(len(table.blocks)) if rng.random() < 0.3}
    calls = {
        "append": lambda: garage.append(i, rng.choice((0, 1, 1, 1, 2, 5, 17))),
        "fork": lambda: garage.fork(i) if len(garage.tables) < 6 else None,
        "truncate": lambda: garage.truncate(i, rng.randint(0, table.num_slots)),
        "release": lambda: garage.release(i, some),
        "rewrite": lambda: garage.rewrite(i, some),
    }
    try:
        return calls[rng.choice(["append"] * 5 + ["fork", "truncate", "release", "rewrite"])]()
    except OutOfBlocks as error:
        assert snapshot(garage) == before
        assert error.needed > error.free == garage.pool.num_free_blocks
        assert error.held == garage.pool.num_held_blocks
        return "refused"


@pytest.mark.parametrize(("num_blocks", "block_size"), [(6, 1), (12, 4), (14, 16)])
def test_ten_thousand_calls_agree_with_the_naive_model(num_blocks, block_size):
    rng, garage, refused = random.Random(num_blocks), Garage(num_blocks, block_size), 0
    for _ in range(5_000):
        refused += step(garage, rng) == "refused"
        garage.check()
    assert refused > 50  # a pool that never ran out would prove little


def test_what_was_freed_first_is_handed_out_first():
    pool = BlockPool(4, 2)
    first = pool.get_new_blocks(3)
    pool.free_blocks(reversed(first))
    assert (first, pool.get_new_blocks(4)) == ([0, 1, 2], [3, 2, 1, 0])


def test_a_full_shared_block_is_not_copied_a_partly_filled_one_is():
    pool = BlockPool(8, 4)
    parent = BlockTable(pool)
    parent.append(4)
    child = parent.fork()
    assert child.append(1) == [] and child.blocks == [0, 1]
    grandchild = child.fork()
    assert grandchild.append(1) == [(1, 2)] and grandchild.blocks == [0, 2]
    assert pool.ref_count[:3] == [3, 1, 1]
    pool.check_integrity([parent, child, grandchild])


def test_the_last_of_two_owners_writes_in_place():
    pool = BlockPool(2, 4)
    parent = BlockTable(pool)
    parent.append(2)
    child = parent.fork()
    parent.truncate(0)
    assert child.append(1) == []


def test_out_of_blocks_names_held_free_and_needed():
    pool = BlockPool(3, 4)
    BlockTable(pool).append(8)
    with pytest.raises(OutOfBlocks, match=r"^out of blocks: 2 needed, 1 free, 2 held$"):
        BlockTable(pool).append(5)


def broken_count(pool, table):
    pool.ref_count[table.blocks[0]] += 1


def broken_queue(pool, table):
    pool.free_queue.append(table.blocks[0])


def lost_block(pool, table):
    pool.free_queue.pop()


@pytest.mark.parametrize(
    ("spoil", "equation"),
    [
        (broken_count, r"ref_count\[0\] = 2 != 1"),
        (broken_queue, r"free \[0, 1, 2\] != not listed \[1, 2\]"),
        (lost_block, r"free \[1\] != not listed \[1, 2\]"),
    ],
)
def test_check_integrity_fails_with_an_equation(spoil, equation):
    pool = BlockPool(3, 4)
    table = BlockTable(pool)
    table.append(1)
    pool.check_integrity([table])
    spoil(pool, table)
    with pytest.raises(AssertionError, match=equation):
        pool.check_integrity([table])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda pool, table: BlockPool(0, 16), ["num_blocks", "0", "1 or more"]),
        (lambda pool, table: BlockPool(4, -1), ["block_size", "-1", "1 or more"]),
        (lambda pool, table: pool.get_new_blocks(-1), ["count", "-1", "0 or more"]),
        (lambda pool, table: table.append(1.5), ["count", "1.5", "whole number"]),
        (lambda pool, table: pool.free_blocks([3]), ["block 3", "free"]),
        (lambda pool, table: pool.touch([0, 3]), ["block 3", "free"]),
        (lambda pool, table: pool.free_blocks([0, 0]), ["[0, 0]", "twice"]),
        (lambda pool, table: pool.free_blocks([-4]), ["blocks hold [-4]", "0 to 3"]),
        (lambda pool, table: pool.touch([0, 9]), ["blocks hold [9]", "0 to 3"]),
        (lambda pool, table: pool.touch([0, True]), ["one of the blocks", "True", "whole number"]),
        (lambda pool, table: BlockTable(pool).release([0]), ["[0]", "has none"]),
        (lambda pool, table: BlockPool(True, 16), ["num_blocks", "True", "1 or more"]),
        (lambda pool, table: table.append(True), ["count", "True", "0 or more"]),
        (lambda pool, table: table.blocks_needed(-1), ["count", "-1", "0 or more"]),
        (lambda pool, table: table.make_own([0], extra=-1), ["extra", "-1", "0 or more"]),
        (lambda pool, table: table.truncate(1.5), ["num_slots", "1.5", "0 or more"]),
        (lambda pool, table: table.release([1]), ["[1]", "0 to 0"]),
        (lambda pool, table: table.truncate(4), ["num_slots", "4", "0 to 3"]),
        (lambda pool, table: expected_empty_blocks(10, 11, 4), ["survivors", "11", "0 to 10"]),
        (lambda pool, table: expected_empty_blocks(0, 0, 4), ["tokens", "0", "1 or more"]),
        (lambda pool, table: expected_empty_blocks(10, 1, 4, n_sets=0), ["n_sets", "0", "1 or more"]),
    ],
)
def test_errors_are_one_line_and_change_nothing(call, words):
    pool = BlockPool(4, 4)
    table = BlockTable(pool)
    table.append(3)
    before = (list(table.blocks), table.num_slots, list(pool.ref_count), list(pool.free_queue))
    with pytest.raises(ValueError) as caught:
        call(pool, table)
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words)
    assert before == (list(table.blocks), table.num_slots, list(pool.ref_count), list(pool.free_queue))


# --- Numbers that are no blocks ---------------------------------------------------------------------------------------
# A pool of 4 blocks of 2 slots, and in it a table of 3 blocks: blocks 0 to 2 are held, 3 is free.
CALLS = {
    "free_blocks": lambda pool, table, numbers: pool.free_blocks(numbers),
    "touch": lambda pool, table, numbers: pool.touch(numbers),
    "release": lambda pool, table, numbers: table.release(numbers),
    "make_own": lambda pool, table, numbers: table.make_own(numbers),
    "num_shared": lambda pool, table, numbers: table.num_shared(numbers),
}
no_blocks = st.one_of(
    st.integers(max_value=-1),
    st.integers(min_value=3),
    st.booleans(),
    st.booleans().map(np.bool_),
    st.floats(),  # 1.0 too
    st.integers(-128, -1).map(np.int8),
    st.integers(3, 255).map(np.uint8),
    st.sampled_from([None, "1", b"1", 1j, Fraction(1, 2), (1,), [1]]),
)
kinds = st.sampled_from([int, np.int8, np.uint8, np.int64])


def held_three(child=True):
    """The pool, its table, and a second table that shares its blocks."""
    pool = BlockPool(4, 2)
    table = BlockTable(pool)
    table.append(6)
    return pool, table, [table, table.fork()] if child else [table]


@pytest.mark.parametrize("name", CALLS)
@fast
@given(before=st.lists(st.integers(0, 2), unique=True), wrong=no_blocks, after=st.lists(st.integers(0, 2)))
def test_numbers_that_are_no_blocks_are_refused_and_change_nothing(name, before, wrong, after):
    pool, table, tables = held_three()
    state = (list(table.blocks), table.num_slots, list(pool.ref_count), list(pool.free_queue))
    with pytest.raises(ValueError) as caught:
        CALLS[name](pool, table, iter([*before, wrong, *after]))
    assert "\n" not in str(caught.value)
    assert state == (list(table.blocks), table.num_slots, list(pool.ref_count), list(pool.free_queue))
    pool.check_integrity(tables)


@pytest.mark.parametrize("name", CALLS)
@fast
@given(st.lists(st.integers(0, 2), unique=True), kinds, st.booleans())
def test_numpy_s_whole_numbers_do_what_python_s_do(name, numbers, kind, child):
    """And none of them stays in the pool, where a narrow one would wrap around in ``block x block_size``."""
    states = []
    for given_numbers in (numbers, [kind(number) for number in numbers]):
        pool, table, _ = held_three(child)
        try:
            said = CALLS[name](pool, table, given_numbers)
        except OutOfBlocks as error:
            said = str(error)
        held = [*table.blocks, table.num_slots, *pool.ref_count, *pool.free_queue]
        assert {type(number) for number in held} == {int}
        states.append((said, held, len(table.blocks), len(pool.free_queue)))
    assert states[0] == states[1]


def test_narrow_numbers_of_slots_do_not_wrap_around():
    pool = BlockPool(np.uint8(40), np.uint8(16))
    table = BlockTable(pool)
    table.append(np.uint8(250))
    table.append(np.uint8(250))
    assert (table.num_slots, table.blocks) == (500, list(range(32)))
    assert table.slots() == list(range(500))
    assert table.truncate(np.uint8(17)) == 30 and table.blocks_needed(np.uint8(255)) == 15
    pool.check_integrity([table])


# --- The closed form of the trap --------------------------------------------------------------------------------------
def test_the_figures_of_the_article():
    assert expected_empty_blocks(16_000, 2_000, 16) == pytest.approx(117.94, abs=0.005)
    assert expected_empty_blocks(16_000, 2_000, 16, n_sets=8) == pytest.approx(3.74e-5, rel=2e-3)
    assert [round(expected_empty_blocks(16_000, 2_000, 16, n), 2) for n in (2, 4)] == [13.91, 0.19]
    assert expected_empty_blocks(16_000, 1_600, 16) == pytest.approx(185.1, abs=0.05)


@fast
@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 4), st.integers(1, 2))
def test_the_expectation_is_the_mean_over_all_choices(tokens, survivors, block_size, n_sets):
    survivors = min(survivors, tokens)
    blocks = [range(start, min(start + block_size, tokens)) for start in range(0, tokens, block_size)]
    choices = list(combinations(range(tokens), survivors))
    shares = [Fraction(sum(not set(block) & set(kept) for kept in choices), len(choices)) for block in blocks]
    mean = float(sum(share**n_sets for share in shares))  # the sets are independent
    assert expected_empty_blocks(tokens, survivors, block_size, n_sets) == pytest.approx(mean, abs=1e-12)


@fast
@given(st.integers(1, 5_000), st.floats(0, 1), st.integers(1, 64))
def test_no_more_blocks_than_there_are_and_more_sets_empty_fewer(tokens, share, block_size):
    survivors = round(share * tokens)
    one, two = (expected_empty_blocks(tokens, survivors, block_size, n) for n in (1, 2))
    assert 0 <= two <= one <= blocks_for(tokens, block_size) - blocks_for(survivors, block_size) + 1e-9

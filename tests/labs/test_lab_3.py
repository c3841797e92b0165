"""Lab 3: its checks name the mistakes that people make, let the right answers pass, and its prose holds."""

import random
from math import comb

import pytest

from helpers.cache import BlockPool, BlockTable, OutOfBlocks, expected_empty_blocks
from helpers.teaching.attempts import Complaint
from helpers.teaching.labs import lab_3 as lab
from helpers.teaching.labs import lab_3_trap as trap
from helpers.teaching.labs.lab_3_own_pool import Pool, Table, Twins, filled, require_integrity


# --- The right answers, as somebody else would write them ------------------------------------------------------------
def take(pool, count):
    if len(pool.free) < count:
        raise OutOfBlocks(pool.ref_count.__len__() - len(pool.free), len(pool.free), count)
    blocks = [pool.free.pop(0) for _ in range(count)]
    for block in blocks:
        pool.ref_count[block] += 1
    return blocks


def missing(table, count):
    return -(-(table.num_slots + count) // table.pool.block_size) - len(table.blocks)


def append(table, count):
    table.blocks.extend(take(table.pool, missing(table, count)))
    table.num_slots += count


def slot_of(table, place):
    index, offset = divmod(place, table.pool.block_size)
    return table.pool.block_size * table.blocks[index] + offset


def fork(table):
    child = Table(table.pool, table.blocks[:], table.num_slots)
    for block in child.blocks:
        child.pool.ref_count[block] += 1
    return child


def is_shared(table):
    filled_last = table.num_slots % table.pool.block_size
    return filled_last and table.pool.ref_count[table.blocks[-1]] > 1


def write(table, count):
    if not count or not is_shared(table):
        append(table, count)
        return []
    new = take(table.pool, missing(table, count) + 1)
    shared, table.blocks[-1:] = table.blocks[-1], new
    table.pool.ref_count[shared] -= 1
    table.num_slots += count
    return [(shared, new[0])]


def truncate(table, num_slots):
    pool, freed = table.pool, 0
    while len(table.blocks) * pool.block_size >= num_slots + pool.block_size:
        block = table.blocks.pop()
        pool.ref_count[block] -= 1
        if not pool.ref_count[block]:
            pool.free.append(block)
            freed += 1
    table.num_slots = num_slots
    return freed


def draw_lots(rng, tokens, survivors, heads):
    return [sorted(rng.sample(range(tokens), survivors)) for _ in range(heads)]


def empty_blocks(keep, tokens, block_size):
    return len(set(range(-(-tokens // block_size))) - {place // block_size for head in keep for place in head})


def expect_empty(tokens, survivors, block_size, heads=1):
    return tokens // block_size * (comb(tokens - survivors, block_size) / comb(tokens, block_size)) ** heads


def compact(table, keep, memory):
    copied = 0
    for head, places in enumerate(keep):
        rows = [memory[head][slot_of(table, place)] for place in places]
        for target, row in enumerate(rows):
            memory[head][slot_of(table, target)] = row
            copied += target != places[target]
    return truncate(table, len(keep[0])), copied


def fill_holes(places):
    behind = [place for place in places if place >= len(places)]
    return list(zip(behind, sorted(set(range(len(places))) - set(places)), strict=True))


# --- How a check is asked --------------------------------------------------------------------------------------------
CHECKS = {
    "take": lambda f: lab.check_take(f),
    "append": lambda f: lab.check_append(f),
    "slot_of": lambda f: lab.check_slot_of(f),
    "fork": lambda f: lab.check_fork(f),
    "write": lambda f: lab.check_write(f, fork),
    "truncate": lambda f: lab.check_truncate(f, fork, write),
    "draw_lots": lambda f: trap.check_draw_lots(f),
    "empty_blocks": lambda f: trap.check_empty_blocks(f),
    "expect_empty": lambda f: trap.check_expect_empty(f),
    "compact": lambda f: trap.check_compact(f),
    "fill_holes": lambda f: trap.check_fill_holes(f),
}


@pytest.fixture
def verdict(capsys):
    """What a check prints of a function."""

    def ask(name, function):
        CHECKS[name](function)
        return capsys.readouterr().out

    return ask


@pytest.mark.parametrize("name", CHECKS)
def test_the_right_answer_passes_every_stage(name, verdict):
    said = verdict(name, globals()[name])
    stages = said.strip().splitlines()
    assert all(line.endswith(": right.") for line in stages)
    assert stages[-1].startswith(f"Stage {len(stages)} of {len(stages)},")


@pytest.mark.parametrize("name", CHECKS)
def test_a_stub_stops_with_its_sentence(name):
    def untouched(*args):
        raise NotImplementedError("Write it.")

    with pytest.raises(NotImplementedError, match="Write it"):
        CHECKS[name](untouched)


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("constant", [None, 0, 1, [], [0], (0, 0)])
def test_a_constant_passes_nothing_and_is_told_so_in_one_line(name, constant, verdict):
    lines = verdict(name, lambda *args: constant).strip().splitlines()
    assert "Not yet" in lines[-1] and all("right" in line for line in lines[:-1])


@pytest.mark.parametrize("name", CHECKS)
def test_whatever_is_raised_becomes_a_line(name, verdict):
    assert "raised KeyError: 'oops'" in verdict(name, lambda *args: {}["oops"])


# --- Wrong answers, each with the line that is meant for it ----------------------------------------------------------
def take_from_the_end(pool, count):
    pool.free.reverse()
    blocks = take(pool, count)
    pool.free.reverse()
    return blocks


def take_and_leave(pool, count):
    blocks = pool.free[:count]
    for block in blocks:
        pool.ref_count[block] = 1
    return blocks


def take_uncounted(pool, count):
    blocks, pool.free = pool.free[:count], pool.free[count:]
    return blocks


def take_piece_by_piece(pool, count):
    blocks = []
    for _ in range(count):
        blocks += take(pool, 1)
    return blocks


def take_what_there_is(pool, count):
    return take(pool, min(count, len(pool.free)))


def take_never_the_last(pool, count):
    if count and count >= len(pool.free):
        raise OutOfBlocks(0, len(pool.free), count)
    return take(pool, count)


def take_with_a_muddled_refusal(pool, count):
    try:
        return take(pool, count)
    except OutOfBlocks as error:
        raise OutOfBlocks(error.free, error.held, error.needed) from None


def append_rounding_down(table, count):
    table.blocks += take(table.pool, (table.num_slots + count) // 4 - len(table.blocks))
    table.num_slots += count


def append_too_early(table, count):
    needed = (table.num_slots + count) // table.pool.block_size + 1
    table.blocks += take(table.pool, needed - len(table.blocks))
    table.num_slots += count


def append_call_by_call(table, count):
    table.blocks += take(table.pool, -(-count // table.pool.block_size))
    table.num_slots += count


def append_without_counting(table, count):
    table.blocks += take(table.pool, missing(table, count))


def append_before_asking(table, count):
    table.num_slots += count
    table.blocks += take(table.pool, missing(table, 0))


def fork_with_one_list(table):
    for block in table.blocks:
        table.pool.ref_count[block] += 1
    return Table(table.pool, table.blocks, table.num_slots)


def fork_uncounted(table):
    return Table(table.pool, list(table.blocks), table.num_slots)


def fork_by_copying(table):
    child = Table(table.pool)
    append(child, table.num_slots)
    return child


def fork_without_tokens(table):
    child = fork(table)
    child.num_slots = 0
    return child


def write_without_copy(table, count):
    append(table, count)
    return []


def write_copying_always(table, count):
    if count and table.num_slots % table.pool.block_size:
        [own] = take(table.pool, 1)
        last, table.blocks[-1] = table.blocks[-1], own
        table.pool.ref_count[last] -= 1
        if not table.pool.ref_count[last]:
            table.pool.free.append(last)
        append(table, count)
        return [(last, own)]
    append(table, count)
    return []


def write_copying_full_blocks(table, count):
    if count and table.blocks and table.pool.ref_count[table.blocks[-1]] > 1:
        own, *new = take(table.pool, missing(table, count) + 1)
        last = table.blocks[-1]
        table.blocks[-1:] = [own, *new]
        table.pool.ref_count[last] -= 1
        table.num_slots += count
        return [(last, own)]
    append(table, count)
    return []


def write_in_two_goes(table, count):
    copies = []
    if count and is_shared(table):
        [own] = take(table.pool, 1)
        last, table.blocks[-1] = table.blocks[-1], own
        table.pool.ref_count[last] -= 1
        copies = [(last, own)]
    append(table, count)
    return copies


def write_uncounted(table, count):
    copies = write(table, count)
    for source, _ in copies:
        table.pool.ref_count[source] += 1
    return copies


def write_backwards(table, count):
    return [(target, source) for source, target in write(table, count)]


def truncate_regardless(table, num_slots):
    keep = -(-num_slots // table.pool.block_size)
    tail = table.blocks[keep:]
    table.blocks, table.num_slots = table.blocks[:keep], num_slots
    for block in tail:
        table.pool.ref_count[block] = 0
    table.pool.free += tail
    return len(tail)


def truncate_counting_what_left(table, num_slots):
    before = len(table.blocks)
    truncate(table, num_slots)
    return before - len(table.blocks)


def truncate_and_list_on(table, num_slots):
    blocks = list(table.blocks)
    freed = truncate(table, num_slots)
    if not num_slots:
        table.blocks = blocks
    return freed


def truncate_rounding_down(table, num_slots):
    freed = truncate(table, num_slots // table.pool.block_size * table.pool.block_size)
    table.num_slots = num_slots
    return freed


def truncate_counting_tokens(table, num_slots):
    tokens = table.num_slots - num_slots
    truncate(table, num_slots)
    return tokens


def truncate_to_the_front(table, num_slots):
    freed = truncate(table, num_slots)
    free = table.pool.free
    free[:] = free[len(free) - freed :] + free[: len(free) - freed]
    return freed


def compact_by_memory(table, keep, memory):
    copied = 0
    for row, places in zip(memory, keep, strict=True):
        for target, place in enumerate(places):
            row[target] = row[slot_of(table, place)]
            copied += target != place
    return truncate(table, len(keep[0])), copied


def compact_without_truncate(table, keep, memory):
    blocks, num_slots = list(table.blocks), table.num_slots
    found = compact(table, keep, memory)
    table.blocks, table.num_slots = blocks, num_slots
    return found


def compact_first_head_for_all(table, keep, memory):
    return compact(table, [keep[0]] * len(keep), memory)


def compact_backwards(table, keep, memory):
    freed, copied = compact(table, [places[::-1] for places in keep], memory)
    return freed, copied


def compact_truncating_first(table, keep, memory):
    freed = truncate(table, len(keep[0]))
    return freed, compact(table, keep, memory)[1]


def changed(function, change):
    """A function whose result is changed."""
    return lambda *args: change(function(*args))


WRONG = [
    ("take", take_from_the_end, "you took from the end"),
    ("take", take_and_leave, "a block that was handed out is free no longer; pool.free is [0, 1, 2], not [2]"),
    ("take", take_uncounted, "ref_count is [0, 0, 0], not [1, 1, 0]"),
    ("take", take_piece_by_piece, "refused, but had changed something first: look before you take"),
    ("take", take_what_there_is, "raise OutOfBlocks"),
    ("take", take_never_the_last, "3 are free and 3 are wanted: that is enough"),
    ("take", take_with_a_muddled_refusal, "should say 2, 3 and 4 here; yours says (3, 2, 4)"),
    ("take", changed(take, tuple), "not tuple"),
    ("append", append_rounding_down, "2 tokens hold a whole block of 4: round up"),
    ("append", append_too_early, "too early: 4 tokens fill one block exactly"),
    ("append", append_call_by_call, "round up all tokens together, not each call's"),
    ("append", append_without_counting, "num_slots is 0, not 2"),
    ("append", append_before_asking, "refused, but had changed something first"),
    ("slot_of", lambda table, place: place, "that is its place in the sequence"),
    ("slot_of", lambda table, place: table.blocks[place % 4] * 4 + place // 4, "// and % changed places"),
    ("slot_of", lambda table, place: table.blocks[place // 4], "that is the number of its block"),
    ("slot_of", lambda table, place: table.blocks[place // 4] + place % 4, "block 7 begins at slot 7 x 4"),
    ("slot_of", lambda table, place: slot_of(table, place - 1), "places are counted from 0"),
    ("slot_of", lambda table, place: slot_of(table, place + 1), "places are counted from 0"),
    ("fork", fork_with_one_list, "both tables have one list"),
    ("fork", fork_uncounted, "two tables list blocks 0 and 1 now; their ref_count must say so"),
    ("fork", fork_by_copying, "it takes none from the pool"),
    ("fork", fork_without_tokens, "its num_slots is 0"),
    ("fork", lambda table: table, "a fork is a second table"),
    ("write", write_without_copy, "a partly filled block that is shared must be copied first"),
    ("write", write_copying_always, "a copy although ref_count is 1"),
    ("write", write_copying_full_blocks, "take a new one, copy nothing"),
    ("write", write_in_two_goes, "finds one free, refused, but had changed something first"),
    ("write", write_uncounted, "its ref_count must fall to 1"),
    ("write", write_backwards, "yours is the wrong way round"),
    ("write", changed(write, lambda copies: copies or None), "also when it is empty"),
    ("truncate", truncate_regardless, "block [0] went back to the pool while another table still lists it"),
    ("truncate", truncate_counting_what_left, "count what became free"),
    ("truncate", truncate_and_list_on, "to be freed twice"),
    ("truncate", truncate_rounding_down, "5 tokens lie in 2 blocks of 4: round up"),
    ("truncate", truncate_counting_tokens, "you counted tokens: 4 left, and 1 block came back"),
    ("truncate", truncate_to_the_front, "goes to the end of pool.free"),
    ("draw_lots", lambda rng, n, k, heads: [rng.sample(range(n), k) for _ in range(heads)], "keep is unsorted"),
    ("draw_lots", lambda rng, n, k, heads: [sorted(rng.choices(range(n), k=k)) for _ in range(heads)], "there twice"),
    ("draw_lots", lambda rng, n, k, heads: draw_lots(rng, n, k, 1) * heads, "each draws lots of its own"),
    ("draw_lots", lambda rng, n, k, heads: draw_lots(rng, n, n - k, heads), "those that stay"),
    ("draw_lots", lambda rng, n, k, heads: draw_lots(rng, n - 1, k, heads), "each place should stay about 150 times"),
    ("draw_lots", lambda rng, n, k, heads: [list(range(i, i + k)) for i in range(heads)], "about 150 times"),
    ("empty_blocks", lambda keep, n, b: empty_blocks(keep, n, b) / -(-n // b), "that is a share; count blocks"),
    ("empty_blocks", lambda keep, n, b: len({p // b for head in keep for p in head}), "the blocks that are held"),
    ("empty_blocks", lambda keep, n, b: n - len(keep[0]), "you count tokens that left, not blocks"),
    ("empty_blocks", lambda keep, n, b: (n - len(keep[0])) // b, "were they side by side"),
    ("empty_blocks", lambda keep, n, b: empty_blocks(keep, n, b) - (n % b > 0), "counts too; round up"),
    ("empty_blocks", lambda keep, n, b: empty_blocks(keep[:1], n, b), "you ask head 0 alone"),
    ("empty_blocks", lambda keep, n, b: sum(empty_blocks([head], n, b) for head in keep), "you add up the heads"),
    ("expect_empty", lambda n, k, b, heads: n / b * ((n - k) / n) ** (b * heads), "only if tokens are put back"),
    ("expect_empty", lambda n, k, b, heads: expect_empty(n, k, b, heads) * b / n, "the chance of one block"),
    ("expect_empty", lambda n, k, b, heads: expect_empty(n, k, b), "to the power of heads, not once"),
    ("expect_empty", lambda n, k, b, heads: heads * expect_empty(n, k, b), "multiply; you added them"),
    ("expect_empty", lambda n, k, b, heads: expect_empty(n, k, b) ** heads, "it belongs to the chance of one"),
    ("expect_empty", lambda n, k, b, heads: expect_empty(n, n - k, b, heads), "an empty one is full of evicted tokens"),
    ("expect_empty", lambda n, k, b, heads: n / b - expect_empty(n, k, b, heads), "the blocks that stay held"),
    ("expect_empty", lambda n, k, b, heads: n // b * (comb(n - k, b) // comb(n, b)) ** heads, "divide with /"),
    ("compact", compact_by_memory, "Ask the table"),
    ("compact", compact_without_truncate, "the tail was not given back"),
    ("compact", compact_first_head_for_all, "head 1 got the rows that head 0 chose"),
    ("compact", compact_backwards, "out of order: [3, 2, 0], not [0, 2, 3]"),
    ("compact", compact_truncating_first, "raised IndexError"),
    ("compact", changed(compact, lambda found: found[0]), "gives back two numbers"),
    ("compact", lambda t, keep, m: (len(m[0]), compact(t, keep, m)[1]), "1 block came back"),
    ("compact", lambda t, keep, m: (compact(t, keep, m)[0], len(keep[0])), "row 0 stays where it is"),
    ("fill_holes", lambda places: [(p, i) for i, p in enumerate(places) if p != i], "that keeps the order"),
    ("fill_holes", changed(fill_holes, lambda moves: [(b, a) for a, b in moves]), "you gave [(1, 5)]"),
]


@pytest.mark.parametrize(("name", "function", "message"), WRONG)
def test_a_wrong_answer_gets_the_line_meant_for_it(name, function, message, verdict):
    last = verdict(name, function).strip().splitlines()[-1]
    assert "Not yet: " in last and message in last


def test_copies_compare_the_evicted_tokens_with_the_blocks(verdict):
    """3 of 6 tokens leave a garage of 3 floors with 2 spaces; 1 floor comes back."""
    said = verdict("compact", lambda t, keep, m: (t.num_slots - len(keep[0]), compact(t, keep, m)[1]))
    assert "3 tokens were evicted; how many blocks came back?" in said


@pytest.mark.parametrize("wrong", [truncate_regardless, truncate_counting_what_left, truncate_and_list_on])
def test_random_calls_alone_find_what_the_stages_by_hand_find(wrong):
    functions = {"append": write, "fork": fork, "truncate": wrong}
    with pytest.raises(Complaint, match="in a random sequence of"):
        for seed in range(100):
            twins = Twins(functions, seed)
            for _ in range(20):
                twins.step()


@pytest.mark.parametrize("wrong", [write_without_copy, write_copying_always, write_in_two_goes, write_uncounted])
def test_random_calls_find_a_wrong_write(wrong):
    with pytest.raises(Complaint, match="in a random sequence of"):
        for seed in range(100):
            twins = Twins({"append": wrong, "fork": fork}, seed)
            for _ in range(20):
                twins.step()


def test_random_calls_say_so_when_fork_gives_nothing(capsys):
    lab.check_write(write, lambda table: None)
    assert "gave None, not a Table" in capsys.readouterr().out


# --- What the checks stand on ----------------------------------------------------------------------------------------
def test_a_pool_as_data_is_the_course_s_pool():
    pool, course = Pool(5, 4), BlockPool(5, 4)
    assert (pool.free, pool.ref_count) == (list(course.free_queue), course.ref_count)
    assert repr(pool) == "Pool(block_size=4, free=[0, 1, 2, 3, 4], ref_count=[0, 0, 0, 0, 0])"
    assert repr(Table(pool)) == "Table(blocks=[], num_slots=0)"


def test_filled_tables_account_for_every_block():
    pool, tables = filled(6, 4, ([0, 2], 6), ([0, 3], 8))
    require_integrity(pool, dict(enumerate(tables)))
    assert (pool.free, pool.ref_count) == ([1, 4, 5], [2, 0, 1, 1, 0, 0])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda pool: pool.free.append(0), "block 0 is in pool.free while 1"),
        (lambda pool: pool.free.append(1), "block 1 is twice in pool.free"),
        (lambda pool: pool.free.remove(1), "block 1 is lost"),
        (lambda pool: pool.ref_count.__setitem__(0, 2), "ref_count of block 0 is 2; 1 table"),
    ],
)
def test_integrity_names_what_is_wrong(spoil, message):
    pool, [table] = filled(2, 4, ([0], 3))
    spoil(pool)
    with pytest.raises(Complaint, match=message):
        require_integrity(pool, {"A": table})


def test_the_random_calls_meet_all_there_is_to_meet():
    """Refusals, copies, frees that free nothing and frees that free: none of them is left out by chance."""
    met = set()
    for seed in range(40):
        twins = Twins({"append": write, "fork": fork, "truncate": truncate}, seed)
        for _ in range(14):
            held = twins.course.num_held_blocks
            twins.step()
            last = twins.calls[-1][:5] if twins.calls else "open"
            met.add((last, twins.course.num_held_blocks - held > 0, any(count > 1 for count in twins.pool.ref_count)))
    assert {("write", True, True), ("write", False, True), ("trunc", False, True), ("trunc", False, False)} <= met


@pytest.mark.parametrize("case", [(4, 2, 2, 1), (6, 2, 3, 2), (8, 3, 4, 2), (6, 5, 2, 1)])
def test_listing_every_case_agrees_with_the_closed_form_of_the_course(case):
    assert float(trap._mean_empty(*case)) == pytest.approx(expected_empty_blocks(*case))


def test_the_empty_blocks_of_a_list_are_those_of_a_pool():
    rng = random.Random(3)
    for _ in range(30):
        tokens, size = rng.randint(1, 50), rng.choice((1, 3, 4))
        table = BlockTable(BlockPool(50, size))
        table.append(tokens)
        [keep] = draw_lots(rng, tokens, rng.randint(1, tokens), 1)
        empty = [i for i in range(len(table.blocks)) if not any(p // size == i for p in keep)]
        assert table.release(empty) == trap._empty([keep], tokens, size)


# --- Prose -----------------------------------------------------------------------------------------------------------
def test_the_numbers_in_the_words_of_the_lab():
    by_heads = {heads: expected_empty_blocks(16_000, 1_600, 16, heads) for heads in (1, 2, 8)}
    assert [round(by_heads[1]), round(by_heads[2])] == [185, 34]
    assert 690 < 1 / by_heads[8] < 750  # "in about 700 such garages, one block"
    assert (8 * 14_400, 8 * 16_000) == (115_200, 128_000)
    assert round(100 * expected_empty_blocks(16_000, 1_600, 1, 8) / 16_000) == 43

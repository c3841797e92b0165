"""A snapshot against the cache that it was taken of, while a model decodes under a compressor, and of forks."""

import pytest
import torch

from helpers.arithmetic import KVShape
from helpers.cache import PagedCache
from helpers.cache.snapshot import AISLE, EMPTY, EVICTED, snapshot
from helpers.decoding import generate
from helpers.eviction import Compressor, Random
from helpers.eviction.selection import SELECTIONS
from tests.cache.test_paged_cache import shuffle
from tests.families import build, plain

SHAPE = KVShape(8, 2, 4)


def filled(tokens, num_blocks=12, batch=1, block_size=4):
    cache = PagedCache(SHAPE, num_blocks, block_size, batch_size=batch)
    shuffle(cache)
    append(cache, tokens)
    return cache


def append(cache, tokens):
    rows = torch.randn(len(cache.tables), SHAPE.n_kv_heads, tokens, SHAPE.head_dim)
    for layer in range(SHAPE.n_layers):
        cache.write(rows, rows, layer)


def tokens_in(frame, sequence, head):
    """The tokens of a sequence that a frame of a layer shows, in the order of its table."""
    strips = [frame["rows"][str(block)][head] for block in frame["tables"][sequence]]
    return [token for strip in strips for token in strip if token >= 0]


def check(cache, layer, sequence=0):
    """The frame of one layer says what the cache's own table, index and statistics say."""
    frame, stats = snapshot(cache, layer, sequence), cache.stats()
    assert frame["tables"] == [table.blocks for table in cache.tables]
    assert frame["free"] == list(cache.pool.free_queue)
    index = cache.token_index(layer)[sequence].tolist()
    assert [tokens_in(frame, sequence, head) for head in range(len(index))] == index
    assert (frame["seen"], frame["bytes_held"], frame["bytes_alive"]) == (
        stats.tokens_seen,
        stats.bytes_held,
        stats.bytes_alive,
    )
    rows = cache.shape.n_layers * cache.shape.n_kv_heads
    assert frame["rows_in_all"] - frame["rows_evicted"] == rows * stats.tokens_alive
    slots = [token for strips in frame["rows"].values() for token in strips[0]]
    assert len(slots) == stats.slots_held
    filled_slots = sum(table.num_slots for table in cache.tables)
    assert len([token for token in slots if token != EMPTY]) == filled_slots
    return frame


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("compact", [False, True])
def test_at_every_step_of_a_run_it_says_what_the_cache_says(selection, compact):
    model = build(plain("llama", head_dim=16), torch.float32)
    model.generation_config.eos_token_id = None
    cache = PagedCache.for_model(model, 24, 4)
    shuffle(cache)
    frames = []
    compressor = Compressor(Random(), 9, 7, selection, compact, protect_recent=2)
    prompt = torch.randint(3, 60, (1, 10), generator=torch.manual_seed(1))
    generate(model, prompt, cache, compressor, 40, on_step=lambda trace: frames.append(check(cache, 1)))
    assert len(frames) == 40 and frames[-1]["rows_evicted"] > 0
    assert all(frame["bytes_back"] == frame["floors_closed"] * frame["bytes_held"] // len(frame["tables"][0])
               for frame in frames)  # fmt: skip
    assert frames[-1]["floors_closed"] > 0 if compact else any(EVICTED in strip for strip in rows_of(frames[-1]))


def rows_of(frame):
    return [strip for strips in frame["rows"].values() for strip in strips]


def test_of_a_batch_the_sequence_that_is_asked_for():
    cache = filled(10, batch=2)
    cache.evict(torch.tensor([[[0, 1], [1, 2]], [[8, 9], [5, 9]]]))
    cache.release_empty_blocks()
    for sequence in (0, 1):
        check(cache, 3, sequence)
    assert snapshot(cache, 0, 0)["floors_closed"] == 2 and snapshot(cache, 0, 1)["floors_closed"] == 1


def test_layers_that_hold_a_block_are_counted_and_aisles_say_their_share():
    cache = filled(8)
    for layer in range(SHAPE.n_layers):
        cache.evict(torch.tensor([[[0], [0]]]) + (4 if layer in (0, 7) else 0), layer)
    first, second = cache.tables[0].blocks
    frame = snapshot(cache, "all")
    assert frame["layers_holding"] == {str(first): 6, str(second): 2}
    assert AISLE == 6 and len(frame["alive"][str(first)]) == 2  # layers 0 to 5, and 6 and 7
    assert [aisle[1][0] for aisle in frame["alive"][str(first)]] == [0.833, 0.5]
    assert [aisle[1][0] for aisle in frame["alive"][str(second)]] == [0.167, 0.5]
    assert [aisle[0][1] for aisle in frame["alive"][str(second)]] == [0, 0]
    assert cache.release_empty_blocks() == 0


def test_slots_that_were_not_written_are_empty_in_every_view():
    cache = filled(5)
    last = str(cache.tables[0].blocks[1])
    assert snapshot(cache, 0)["rows"][last] == [[4, EMPTY, EMPTY, EMPTY]] * 2
    assert snapshot(cache, "all")["alive"][last] == [[[1, EMPTY, EMPTY, EMPTY]] * 2] * 2


def test_forks_beside_it_are_shown_and_shared_blocks_counted_once():
    cache = filled(8)
    one, two = cache.fork(), cache.fork()
    append(one, 3)
    cache.evict(torch.tensor([[[0, 7], [0, 7]]]))
    one.evict(torch.tensor([[[1, 10], [1, 10]]]))
    frame = snapshot(cache, 2, beside=[one, two])
    shared, own = [str(block) for block in cache.tables[0].blocks], str(one.tables[0].blocks[2])
    assert frame["tables"] == [each.tables[0].blocks for each in (cache, one, two)]
    assert [frame["rows"][block][0] for block in (*shared, own)] == [
        [0, EVICTED, EVICTED, EVICTED],
        [EVICTED, EVICTED, EVICTED, 7],
        [EVICTED, EVICTED, 10, EMPTY],
    ]
    per_slot = frame["bytes_held"] // 12
    assert frame["bytes_alive"] == 9 * per_slot, "the third sequence has all 8 that are shared; the second one more"
    two.reset()
    assert snapshot(cache, 2, beside=[one, two])["tables"][2] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((8,), 'layer is 8; it may be 0 to 7, or "all"'),
        (("aisles",), "layer is 'aisles'; it may be 0 to 7, or \"all\""),
        ((True,), 'layer is True; it may be 0 to 7, or "all"'),
        ((1.0,), 'layer is 1.0; it may be 0 to 7, or "all"'),
        ((0, 1), "sequence is 1; it may be 0 to 0"),
    ],
)
def test_what_is_not_there_is_refused_in_one_line(arguments, said):
    with pytest.raises(ValueError) as refused:
        snapshot(filled(3), *arguments)
    assert str(refused.value) == said

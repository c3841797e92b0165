"""The paged cache against DynamicCache and against a dense reference, through every call it has.

Free blocks are shuffled and filled with NaN throughout: a row that is read from a freed block shows at once.
"""

import random

import pytest
import torch
from transformers import DynamicCache

from helpers.arithmetic import KVShape
from helpers.cache import OutOfBlocks, PagedCache, decode, encode
from helpers.decoding import generate
from helpers.models import load_reasoner, make_worksheets
from tests.families import WINDOW, build, plain

LAYERS, HEADS, DIM, BATCH = 3, 2, 32, 2
SHAPE = KVShape(LAYERS, HEADS, DIM)
FAMILIES = {
    "Llama": plain("llama", head_dim=16),
    "Qwen2": plain("qwen2", head_dim=16),
    "Qwen3": plain("qwen3", head_dim=16),
    "Qwen3-MoE": plain("qwen3_moe", head_dim=16),
    "Mistral": plain("mistral", sliding_window=None, head_dim=16),
    "OLMo-2": plain("olmo2", head_dim=16),
    "Granite": plain("granite", head_dim=16),
    "Mistral with a window": plain("mistral", sliding_window=WINDOW, head_dim=16),
}


def shuffle(cache, seed=0):
    """Hand blocks out in a random order from now on, and poison every one that is free."""
    order = list(cache.pool.free_queue)
    random.Random(seed).shuffle(order)
    cache.pool.free_queue.clear()
    cache.pool.free_queue.extend(order)
    poison(cache)


def poison(cache):
    size = cache.pool.block_size
    for store in cache.stores:
        for block in cache.pool.free_queue:
            if store.memory.is_floating_point():
                store.memory[:, :, block * size : (block + 1) * size] = torch.nan
            else:
                store.packed[:, :, block * size : (block + 1) * size] = 255


@pytest.mark.parametrize("family", FAMILIES)
def test_same_tokens_and_logits_as_dynamic_cache(family):
    model = build(FAMILIES[family], torch.float32)
    prompts = torch.randint(3, 60, (3, 21), generator=torch.manual_seed(1))
    paged, dynamic = PagedCache.for_model(model, 90, 16, "fp32", 3), DynamicCache(config=model.config)
    shuffle(paged)
    step = prompts
    with torch.inference_mode():
        for _ in range(300):
            one, two = (model(step, past_key_values=c, use_cache=True).logits[:, -1] for c in (paged, dynamic))
            assert torch.allclose(one, two, atol=1e-4)
            step = two.argmax(-1, keepdim=True)
            assert torch.equal(one.argmax(-1, keepdim=True), step)
    assert paged.stats().tokens_seen == 21 + 299


def test_the_reasoner_thinks_the_same_under_our_loop_and_transformers_generate():
    reasoner = load_reasoner()
    ids = reasoner.prompt_ids(make_worksheets(1, 16, seed=4)[0])
    runs = []
    for cache in (
        DynamicCache(config=reasoner.model.config),
        PagedCache.for_model(reasoner.model, 30, kv_format="fp32"),
    ):
        runs.append(generate(reasoner.model, ids, cache, max_new_tokens=300).tokens[0])
    cache = PagedCache.for_model(reasoner.model, 30, kv_format="fp32")
    shuffle(cache)
    runs.append(reasoner.model.generate(ids, past_key_values=cache, max_new_tokens=300, do_sample=False)[0].tolist())
    assert runs[0] == runs[1] == runs[2][ids.shape[1] :]


def test_a_trace_counts_the_blocks_held():
    reasoner = load_reasoner()
    ids = reasoner.prompt_ids(make_worksheets(1, 2, seed=4)[0])
    trace = generate(reasoner.model, ids, PagedCache.for_model(reasoner.model, 9, 16, "fp16"), max_new_tokens=20)
    blocks = [-(-tokens // 16) for tokens in trace.tokens_seen]
    assert trace.bytes_held == [reasoner.shape.bytes(16 * n, kv_format="fp16") for n in blocks]


def fresh(kv_format="fp32", num_blocks=40, block_size=4, tokens=0, seed=0):
    cache = PagedCache(SHAPE, num_blocks, block_size, kv_format, BATCH)
    shuffle(cache, seed)
    append(cache, tokens, torch.Generator().manual_seed(seed)) if tokens else None
    return cache


def append(cache, new, generator):
    """Feed random rows to every layer; returns what each layer was given."""
    given = [tuple(torch.randn(BATCH, HEADS, new, DIM, generator=generator) for _ in "KV") for _ in range(LAYERS)]
    for layer, (keys, values) in enumerate(given):
        cache.update(keys, values, layer)
    return given


def choose(alive, n_keep, generator):
    """A random ascending choice per sequence and head."""
    scores = torch.rand(BATCH, HEADS, alive, generator=generator)
    return scores.topk(n_keep, dim=-1).indices.sort(-1).values


class Dense:
    """The reference: for each layer the rows alive, in order, as plain tensors."""

    def __init__(self):
        self.rows = [tuple(torch.empty(BATCH, HEADS, 0, DIM) for _ in "KV") for _ in range(LAYERS)]

    def append(self, given):
        self.rows = [
            tuple(torch.cat(pair, 2) for pair in zip(old, new, strict=True))
            for old, new in zip(self.rows, given, strict=True)
        ]

    def evict(self, keep, layer):
        places = keep[..., None].expand(-1, -1, -1, DIM)
        self.rows[layer] = tuple(rows.gather(2, places) for rows in self.rows[layer])

    def copy(self):
        twin = Dense()
        twin.rows = list(self.rows)
        return twin


def assert_equal(cache, dense):
    for layer, (keys, values) in enumerate(dense.rows):
        k, v = cache.read(layer)
        assert torch.equal(k, keys) and torch.equal(v, values)


def blocks_by_the_rule(cache, sequence):
    """Blocks of a sequence with a live slot in any head of any layer, by looking at every row."""
    rows = torch.cat([cache._rows(i)[sequence].flatten() for i in range(LAYERS)])
    return len({int(row) // cache.pool.block_size for row in rows})


@pytest.mark.parametrize("same_for", ["layers and heads", "layers", "none"])
def test_evict_release_compact(same_for):
    generator = torch.Generator().manual_seed(3)
    cache, dense = fresh(num_blocks=60), Dense()
    dense.append(append(cache, 50, generator))
    keep = choose(50, 9, generator)
    for layer in range(LAYERS):
        keep = choose(50, 9, generator) if same_for == "none" else keep
        keep = keep[:, :1].expand(-1, HEADS, -1) if same_for == "layers and heads" else keep
        cache.evict(keep, layer)
        dense.evict(keep, layer)
    assert cache.stats().blocks_held == 2 * 13  # an eviction frees nothing
    assert_equal(cache, dense)
    expected = sum(blocks_by_the_rule(cache, s) for s in range(BATCH))
    freed = cache.release_empty_blocks()
    assert (cache.stats().blocks_held, freed) == (expected, 26 - expected)
    poison(cache)
    assert_equal(cache, dense)
    tokens = [cache.token_index(i) for i in range(LAYERS)]
    assert cache.compact() == expected - 2 * 3
    poison(cache)
    assert_equal(cache, dense)
    assert all(torch.equal(cache.token_index(i), tokens[i]) for i in range(LAYERS))
    assert cache.stats().blocks_held == 2 * 3  # ceil(9 / 4) for each sequence
    cache.pool.check_integrity(cache.tables)


def evict_at_random(cache, dense, rng, generator):
    n_keep = rng.randint(1, cache.alive())
    for layer in range(LAYERS):
        keep = choose(cache.alive(layer), n_keep, generator)
        cache.evict(keep, layer)
        dense.evict(keep, layer)


def compact(cache):
    cache.compact()
    assert all(len(table.blocks) == -(-cache.alive() // 4) for table in cache.tables)


def act(pairs, i, rng, generator):
    """One random call on one of several caches that share a pool, and the same on its reference."""
    cache, dense = pairs[i]
    calls = {
        "append": lambda: dense.append(append(cache, rng.choice((1, 1, 3, 9)), generator)),
        "evict": lambda: evict_at_random(cache, dense, rng, generator) if cache.alive() else None,
        "release": cache.release_empty_blocks,
        "compact": lambda: compact(cache),
        "fork": lambda: pairs.append((cache.fork(), dense.copy())) if len(pairs) < 3 else None,
    }
    before = cache.stats(), [list(table.blocks) for table in cache.tables]
    try:
        calls[rng.choice(["append"] * 4 + ["evict", "evict", "release", "compact", "compact", "fork"])]()
    except OutOfBlocks:
        assert before == (cache.stats(), [list(table.blocks) for table in cache.tables])
        assert_equal(cache, dense)
        cache.reset()
        pairs[i] = (cache, Dense())


@pytest.fixture(params=["one sequence at a time", "all at once"])
def at_once(request, monkeypatch):
    monkeypatch.setattr(
        "helpers.cache.row_store.AT_ONCE", {"cpu": 1 if request.param == "one sequence at a time" else 2**22}
    )


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("seed", range(6))
def test_random_calls_agree_with_a_dense_reference(seed):
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    pairs = [(fresh(num_blocks=70, seed=seed), Dense())]
    for _ in range(150):
        act(pairs, rng.randrange(len(pairs)), rng, generator)
        poison(pairs[0][0])
        for cache, dense in pairs:
            assert_equal(cache, dense)
        pairs[0][0].pool.check_integrity([table for cache, _ in pairs for table in cache.tables])
    assert len(pairs) == 3


# --- A sequence in one piece -----------------------------------------------------------------------------------------
def in_one_piece(cache):
    """Whether a layer's keys are read where they lie: the tensor given out is the pool's own memory."""
    keys, _ = cache.read(0)
    return keys.untyped_storage().data_ptr() == cache.stores[0].memory.untyped_storage().data_ptr()


def alone(kv_format="fp32", tokens=0):
    """One sequence in blocks that are handed out in order, and its rows as plain tensors."""
    cache = PagedCache(SHAPE, 40, 4, kv_format, batch_size=1)
    rows = torch.randn(2, LAYERS, 1, HEADS, tokens, DIM, generator=torch.Generator().manual_seed(2))
    for layer in range(LAYERS if tokens else 0):
        cache.update(*rows[:, layer], layer)
    return cache, rows


def test_it_is_read_where_it_lies_and_the_same_rows_as_when_gathered():
    (cache, rows), (scattered, _) = alone(tokens=18), alone()
    shuffle(scattered)
    for layer in range(LAYERS):
        given = scattered.update(*rows[:, layer], layer)
        assert all(torch.equal(one, two) for one, two in zip(cache.read(layer), given, strict=True))
        assert all(torch.equal(one, two) for one, two in zip(given, rows[:, layer], strict=True))
    assert in_one_piece(cache) and not in_one_piece(scattered)


def test_where_blocks_no_longer_follow_each_other_rows_are_gathered():
    cache, rows = alone(tokens=18)
    keep = torch.tensor([0, 5, 9, 17]).expand(1, HEADS, -1)
    cache.evict(keep)
    assert not in_one_piece(cache)
    cache.compact()
    assert in_one_piece(cache)  # one block is left
    for layer in range(LAYERS):
        cache.update(*rows[:, layer, ..., :7, :], layer)
    assert cache.tables[0].blocks == [0, 5, 6]  # the freed ones wait at the end of the queue
    assert not in_one_piece(cache)
    for layer in range(LAYERS):
        expected = torch.cat([rows[:, layer, ..., [0, 5, 9, 17], :], rows[:, layer, ..., :7, :]], dim=-2)
        assert all(torch.equal(one, two) for one, two in zip(cache.read(layer), expected, strict=True))


def test_a_fork_reads_its_parent_s_rows_in_place_until_it_writes():
    cache, rows = alone(tokens=18)
    child = cache.fork()
    assert in_one_piece(child)
    for layer in range(LAYERS):
        child.update(*rows[:, layer, ..., :1, :], layer)
    assert not in_one_piece(child) and in_one_piece(cache)  # its half-full block was copied
    for layer in range(LAYERS):
        assert torch.equal(child.read(layer)[0], torch.cat([rows[0, layer], rows[0, layer, ..., :1, :]], dim=-2))
        assert torch.equal(cache.read(layer)[0], rows[0, layer])


@pytest.mark.parametrize("kv_format", ["fp16", "q8_0", "q4_0"])
def test_other_formats_are_turned_into_numbers_as_ever(kv_format):
    (cache, rows), (scattered, _) = alone(kv_format, tokens=18), alone(kv_format)
    shuffle(scattered)
    for layer in range(LAYERS):
        given = scattered.update(*rows[:, layer], layer)
        assert all(torch.equal(one, two) for one, two in zip(cache.read(layer), given, strict=True))


@pytest.mark.parametrize("kv_format", ["fp16", "bf16", "fp8_e4m3", "q8_0", "q5_0", "q4_0", ("q8_0", "q4_0")])
def test_rows_come_back_as_they_are_stored(kv_format):
    generator = torch.Generator().manual_seed(5)
    cache, dense = fresh(kv_format), Dense()
    dense.append(append(cache, 11, generator))
    dense.append(append(cache, 1, generator))
    names = (kv_format, kv_format) if isinstance(kv_format, str) else kv_format
    for layer, pair in enumerate(dense.rows):
        for got, rows, name in zip(cache.read(layer), pair, names, strict=True):
            assert torch.equal(got, decode(encode(rows, name), name))


def test_bytes_are_counted_from_memory_and_equal_the_formula():
    cache = fresh(("q8_0", "fp16"), num_blocks=40, block_size=4, tokens=10)
    stats = cache.stats()
    assert (stats.blocks_held, stats.blocks_free, stats.slots_held) == (6, 34, 24)
    assert stats.bytes_held == SHAPE.bytes(12, sequences=BATCH, kv_format=("q8_0", "fp16"))
    assert stats.bytes_alive == SHAPE.bytes(10, sequences=BATCH, kv_format=("q8_0", "fp16"))
    assert stats.bytes_reserved == SHAPE.bytes(40 * 4, kv_format=("q8_0", "fp16"))
    child = cache.fork()
    assert child.stats() == stats  # shared blocks cost nothing until one of them changes
    cache.reset()
    assert child.stats().blocks_free == 34
    child.reset()
    assert (child.stats().blocks_free, child.stats().bytes_reserved) == (40, stats.bytes_reserved)


def test_out_of_blocks_names_all_three_and_leaves_the_cache_usable():
    cache = fresh(num_blocks=6, tokens=10)
    before = [tuple(rows.clone() for rows in cache.read(i)) for i in range(LAYERS)]
    with pytest.raises(OutOfBlocks, match="^out of blocks: 2 needed, 0 free, 6 held$"):
        cache.update(torch.zeros(BATCH, HEADS, 3, DIM), torch.zeros(BATCH, HEADS, 3, DIM), 0)
    assert all(torch.equal(a, b) for i in range(LAYERS) for a, b in zip(before[i], cache.read(i), strict=True))
    append(cache, 2, torch.Generator().manual_seed(0))
    assert cache.stats().tokens_alive == 12


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (torch.zeros(1, HEADS, 2, dtype=torch.long), ["shape", "(1, 2, 2)", "[2, 2"]),
        (torch.zeros(BATCH, HEADS, 0, dtype=torch.long), ["shape", "1 or more"]),
        (torch.tensor([3, 1]).expand(BATCH, HEADS, -1), ["ascending"]),
        (torch.tensor([1, 1]).expand(BATCH, HEADS, -1), ["each once"]),
        (torch.tensor([1, 10]).expand(BATCH, HEADS, -1), ["10 rows alive"]),
        (torch.tensor([-1, 1]).expand(BATCH, HEADS, -1), ["10 rows alive"]),
        (torch.zeros(LAYERS + 1, BATCH, HEADS, 1, dtype=torch.long), ["shape", "[2, 2"]),
        (torch.tensor([3, 1]).expand(LAYERS, BATCH, HEADS, -1), ["ascending"]),
        (torch.tensor([3, 1], dtype=torch.uint8).expand(BATCH, HEADS, -1), ["torch.uint8", "whole numbers"]),
        (torch.tensor([1.0, 3.0]).expand(BATCH, HEADS, -1), ["torch.float32", "whole numbers"]),
        (torch.tensor([False, True]).expand(BATCH, HEADS, -1), ["torch.bool", "whole numbers"]),
    ],
)
def test_a_wrong_eviction_is_refused_in_one_line(keep, words):
    cache = fresh(tokens=10)
    with pytest.raises(ValueError) as caught:
        cache.evict(keep)
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words)
    assert cache.alive() == 10


@pytest.mark.parametrize("layer", [-1, LAYERS, 0.5, True])
def test_a_layer_that_is_not_there_is_refused_in_one_line(layer):
    cache = fresh(tokens=10)
    with pytest.raises(ValueError, match="layer is") as caught:
        cache.evict(torch.tensor([0, 1]).expand(BATCH, HEADS, -1), layer)
    assert "\n" not in str(caught.value)
    assert [cache.alive(i) for i in range(LAYERS)] == [10] * LAYERS


def test_all_layers_each_its_own_is_one_layer_after_the_other():
    together, one_by_one = fresh(tokens=20), fresh(tokens=20)
    keeps = [choose(20, 7, torch.Generator().manual_seed(i)) for i in range(LAYERS)]
    together.evict(torch.stack(keeps))
    for layer, keep in enumerate(keeps):
        one_by_one.evict(keep, layer)
        assert torch.equal(together.token_index(layer), one_by_one.token_index(layer))


def test_layers_of_unequal_length_take_no_new_token():
    cache = fresh(tokens=10)
    cache.evict(torch.tensor([0, 1]).expand(BATCH, HEADS, -1), layer=1)
    with pytest.raises(ValueError, match=r"layers hold \[2, 10\] rows"):
        cache.update(torch.zeros(BATCH, HEADS, 1, DIM), torch.zeros(BATCH, HEADS, 1, DIM), 0)


@pytest.mark.parametrize("family", ["deepseek_v3", "qwen3_next"])
def test_models_without_plain_rows_are_refused(family):
    layers = {"deepseek_v3": "latent", "qwen3_next": "none"}
    config = (
        plain(family, kv_lora_rank=16, qk_rope_head_dim=8) if family == "deepseek_v3" else plain(family, head_dim=16)
    )
    with pytest.raises(ValueError, match=f"kind {layers[family]}; a PagedCache"):
        PagedCache.for_model(build(config, torch.float32), 10)


def test_a_head_dim_that_the_format_cannot_store_is_refused():
    with pytest.raises(ValueError, match="q8_0 stores 32 numbers at a time"):
        PagedCache(KVShape(1, 1, 40), 4, 4, "q8_0")


def test_cropping_and_reordering_are_refused():
    cache = fresh(tokens=10)
    with pytest.raises(ValueError, match="cannot be cropped"):
        cache.crop(3)
    with pytest.raises(ValueError, match="cannot be reordered"):
        cache.reorder_cache(torch.tensor([1, 0]))
    assert cache.alive() == 10


def test_nvfp4_keeps_small_rows_by_the_scale_of_the_first():
    cache = PagedCache(SHAPE, 8, 4, "nvfp4", 1)
    rows = torch.randn(1, HEADS, 6, DIM, generator=torch.manual_seed(0)) * 1e-4
    for layer in range(LAYERS):
        keys, _ = cache.update(rows, rows, layer)
        assert (keys - rows).norm() / rows.norm() < 0.12


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("new", [1, 3])
def test_a_model_s_step_after_an_eviction_attends_over_the_survivors(new, compacted):
    model = build(FAMILIES["Qwen3"], torch.float32)
    ids = torch.randint(3, 60, (2, 30 + new), generator=torch.manual_seed(1))
    paged, survivors = PagedCache.for_model(model, 12, 8, "fp32", 2), DynamicCache(config=model.config)
    shuffle(paged)
    with torch.inference_mode():
        model(ids[:, :30], past_key_values=paged)
        heads = paged.shape.n_kv_heads
        for layer in range(paged.shape.n_layers):
            scores = torch.rand(2, heads, 30, generator=torch.manual_seed(layer))
            paged.evict(scores.topk(9).indices.sort(-1).values, layer)
            survivors.update(*(rows.clone() for rows in paged.read(layer)), layer)
        paged.compact() if compacted else paged.release_empty_blocks()
        poison(paged)
        got = model(ids[:, 30:], past_key_values=paged).logits  # positions go on from 30, by themselves
        positions = torch.arange(30, 30 + new).expand(2, -1)
        wanted = model(ids[:, 30:], past_key_values=survivors, position_ids=positions).logits
    assert torch.allclose(got, wanted, atol=1e-5)
    assert (paged.tokens_seen, paged.alive()) == (30 + new, 9 + new)

"""Replay against generate: fed the tokens that a run decoded, it leaves the cache that the run left, in every setting.

And what a run says of itself: the Trace against blocks and bytes counted in the pool's own memory.
"""

import functools
import itertools
import math
import random

import pytest
import torch
from transformers import DynamicCache

from helpers import eviction
from helpers.cache import OutOfBlocks, PagedCache, attending, blocks_for
from helpers.decoding import generate, replay
from helpers.eviction import POLICIES, SHOWN, Compressor, SnapKV
from helpers.eviction.selection import SELECTIONS
from helpers.measuring import Trace
from helpers.measuring.trace import Compression
from helpers.models import load_reasoner, make_worksheets
from tests.cache.test_paged_cache import shuffle
from tests.eviction.test_eviction import poison
from tests.families import VOCABULARY, build, plain

SHEETS = make_worksheets(3, n_lines=16, seed=12)
# The register's, each as it is compared with others, but for those that would then see too little of so short a run.
MADE = POLICIES | {
    "SnapKV": lambda subject: SnapKV(window=8),
    "SnapKV, not smoothed": lambda subject: SnapKV(window=8, kernel_size=1),
}


class Subject:
    """A model, the prompts it is given, and how its cache is compressed: at least three times in ``steps`` steps."""

    def __init__(self, model, prompts, steps, **options):
        self.model, self.prompts, self.steps, self.options = model, prompts, steps, options
        self.model.generation_config.eos_token_id = None

        text = torch.randint(3, model.config.vocab_size, (2, 100), generator=torch.Generator().manual_seed(0))
        self.to_policies = eviction.Subject(model, text, SHEETS[: len(prompts)])

    def new_cache(self, num_blocks=80, kv_format="fp32"):
        cache = PagedCache.for_model(self.model, num_blocks, 8, kv_format, len(self.prompts))
        shuffle(cache)
        return cache

    def compressor(self, policy="Random", **options):
        return Compressor(MADE[policy](self.to_policies), **self.options | options)

    def generate(self, cache, compressor=None, prompts=None, steps=None):
        def on_step(trace):
            if isinstance(cache, PagedCache):
                poison(cache)

        prompts = self.prompts if prompts is None else prompts
        return generate(self.model, prompts, cache, compressor, steps or self.steps, on_step)

    def replay(self, trace, cache, compressor=None, prompts=None):
        """Read the prompts and all but the last of the tokens decoded, which was never read."""
        prompts = self.prompts if prompts is None else prompts
        text = torch.cat([prompts, torch.tensor(trace.tokens)[:, :-1]], dim=1)
        return replay(self.model, text, prompts.shape[1], cache, compressor)


@functools.cache
def reasoner():
    loaded = load_reasoner()
    prompts = torch.cat([loaded.prompt_ids(sheet) for sheet in SHEETS[:2]])
    return Subject(loaded.model, prompts, steps=71, budget=30, interval=13, protect_recent=8)


@functools.cache
def llama(head_dim=16):
    model = build(plain("llama", initializer_range=0.3, head_dim=head_dim))
    prompts = torch.randint(3, VOCABULARY, (3, 10), generator=torch.Generator().manual_seed(2))
    return Subject(model, prompts, steps=55, budget=20, interval=11, protect_recent=8)


def events(trace):
    """What is the same however fast the machine: each compression, without its times."""
    return [
        (c.tokens_seen, c.rows_before, c.rows_after, c.blocks_freed, c.bytes_freed) for c in trace.compressions.values()
    ]


@torch.inference_mode()
def assert_same_cache(one, two, atol=1e-4):
    assert one.stats() == two.stats()
    assert [len(table.blocks) for table in one.tables] == [len(table.blocks) for table in two.tables]
    for layer in range(one.shape.n_layers):
        assert torch.equal(one.token_index(layer), two.token_index(layer))
        pair = [rows.clone() for rows in one.read(layer)]
        assert all(torch.allclose(a, b, atol=atol) for a, b in zip(pair, two.read(layer), strict=True))
    for cache in (one, two):
        cache.pool.check_integrity(cache.tables)


def assert_same_run(generated, replayed):
    assert generated.tokens == replayed.tokens
    assert events(generated) == events(replayed)
    at = [generated.tokens_seen.index(seen) for seen in replayed.tokens_seen]
    for name in ("tokens_alive", "blocks_held", "bytes_held"):
        assert [getattr(generated, name)[i] for i in at] == getattr(replayed, name)
    assert [at[i] for i in replayed.compressions] == list(generated.compressions)


# --- Replay and generate ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("policy", SHOWN)
def test_the_reasoner_s_replay_leaves_what_its_own_decoding_left(policy, selection):
    subject, caches = reasoner(), [reasoner().new_cache() for _ in range(2)]
    compact = (SHOWN.index(policy) + SELECTIONS.index(selection)) % 2 == 0
    compressor = subject.compressor(policy, selection=selection, compact=compact)
    generated = subject.generate(caches[0], compressor)
    replayed = subject.replay(generated, caches[1], compressor)
    assert len(events(generated)) == 3  # at 43, 56 and 69 decoded tokens read
    assert_same_run(generated, replayed)
    assert_same_cache(*caches)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("policy", SHOWN)
def test_a_random_model_s_replay_leaves_what_its_decoding_left(policy, selection, compact):
    subject, caches = llama(), [llama().new_cache() for _ in range(2)]
    protect_prompt = (SHOWN.index(policy) + SELECTIONS.index(selection) + compact) % 2 == 0
    options = dict(selection=selection, compact=compact, protect_prompt=protect_prompt)
    generated = subject.generate(caches[0], subject.compressor(policy, **options))
    replayed = subject.replay(generated, caches[1], subject.compressor(policy, **options))
    assert len(events(generated)) >= 3
    assert_same_run(generated, replayed)
    assert_same_cache(*caches)


@pytest.mark.parametrize("chunk", [1, 7, 128])
@pytest.mark.parametrize("make", [llama, reasoner])
def test_without_a_compressor_too_over_both_kinds_of_cache(make, chunk, monkeypatch):
    monkeypatch.setattr("helpers.decoding.loop.CHUNK", chunk)
    subject = make()
    generated = subject.generate(DynamicCache(config=subject.model.config), steps=60)
    for cache in (DynamicCache(config=subject.model.config), subject.new_cache()):
        replayed = subject.replay(generated, cache)
        assert replayed.tokens == generated.tokens
        assert replayed.compressions == {}
        passes = [subject.prompts.shape[1] + n for n in (*range(0, 59, chunk), 59)]
        assert replayed.tokens_seen == passes
    paged = subject.new_cache()
    assert_same_run(subject.generate(paged, steps=60), replayed)
    assert_same_cache(paged, cache)


def test_a_replay_longer_than_its_chunk_of_128_says_what_one_pass_says():
    subject = llama()
    text = torch.randint(3, VOCABULARY, (3, 290), generator=torch.Generator().manual_seed(6))
    with torch.inference_mode():
        wanted = subject.model(text, use_cache=False).logits[:, 9:].argmax(-1).tolist()
    trace = replay(subject.model, text, 10, subject.new_cache(num_blocks=120))
    assert trace.tokens == wanted
    assert trace.tokens_seen == [10, 138, 266, 290]


@pytest.mark.parametrize("policy", ["Random", "H2O"])
def test_a_replay_of_the_prompt_alone_is_a_prefill(policy):
    subject, caches = llama(), [llama().new_cache() for _ in range(2)]
    compressor = subject.compressor(policy, protect_prompt=False, budget=8, interval=1)
    generated = subject.generate(caches[0], compressor, steps=1)
    replayed = replay(subject.model, subject.prompts, 10, caches[1], compressor)
    assert len(events(generated)) == len(replayed.tokens[0]) == 1  # the prompt alone is over the budget
    assert_same_run(generated, replayed)
    assert_same_cache(*caches)


def test_a_replay_says_what_the_model_would_have_said_of_another_text():
    """Teacher-forced: at each token the model's own next one, over the rows that a run of single steps would have."""
    subject, compressor = llama(), llama().compressor("H2O")
    text = torch.randint(3, VOCABULARY, (3, 70), generator=torch.Generator().manual_seed(9))
    chunked, stepped, said = subject.new_cache(), subject.new_cache(), []
    replayed = replay(subject.model, text, 10, chunked, compressor)
    with torch.inference_mode():
        compressor.begin(stepped, 10)
        with attending(subject.model, compressor.policy):
            for part in text.split([10] + [1] * 60, dim=1):
                said.append(subject.model(part, past_key_values=stepped).logits[:, -1].argmax(-1))
                compressor.after_pass(stepped)
    assert replayed.tokens == torch.stack(said, dim=1).tolist()
    assert_same_cache(chunked, stepped)


@pytest.mark.parametrize("kv_format", ["fp16", "q8_0", ("q8_0", "fp16")], ids=str)
def test_rows_that_are_stored_coarsely_are_the_same_but_for_rounding(kv_format):
    """A number that lies between two that can be stored may be rounded either way, and what follows moves with it."""
    subject = llama(head_dim=32)
    caches = [subject.new_cache(kv_format=kv_format) for _ in range(2)]
    generated = subject.generate(caches[0], subject.compressor("StreamingLLM"))
    replayed = subject.replay(generated, caches[1], subject.compressor("StreamingLLM"))
    assert_same_run(generated, replayed)
    differences = [(a - b).abs() for a, b in zip(*(snapshot(cache)[2] for cache in caches), strict=True)]
    assert all(difference.double().mean() < 0.002 for difference in differences)


# --- A second turn, and forks -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("policy", SHOWN)
def test_a_second_turn_goes_on_from_the_rows_that_the_first_one_left(policy, selection):
    subject, caches = llama(), [llama().new_cache() for _ in range(2)]
    compact = (SHOWN.index(policy) + SELECTIONS.index(selection)) % 2 == 0
    compressor = subject.compressor(policy, selection=selection, compact=compact)
    first = subject.generate(caches[0], compressor)
    subject.replay(first, caches[1], compressor)
    left = caches[0].alive()
    second_prompt = torch.cat([torch.tensor(first.tokens)[:, -1:], subject.prompts.flip(1)], dim=1)
    generated = subject.generate(caches[0], compressor, second_prompt)
    replayed = subject.replay(generated, caches[1], compressor, second_prompt)
    assert [rows_after for _, _, rows_after, _, _ in events(generated)] == [left + 11 + 20] * 3
    assert generated.tokens_seen[0] == first.tokens_seen[-1] + 11
    assert_same_run(generated, replayed)
    assert_same_cache(*caches)
    tokens = torch.stack([caches[0].token_index(layer) for layer in range(3)])
    assert (tokens.diff() > 0).all() and tokens.max() == generated.tokens_seen[-1] - 1


@torch.inference_mode()
def snapshot(cache):
    layers = range(cache.shape.n_layers)
    tables = [list(table.blocks) for table in cache.tables]
    return cache.tokens_seen, tables, [t.clone() for i in layers for t in (cache.token_index(i), *cache.read(i))]


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_child_s_run_does_not_disturb_its_parent(selection, compact):
    subject = llama()
    parent, alone = subject.new_cache(num_blocks=160), subject.new_cache(num_blocks=160)
    options = dict(selection=selection, compact=compact, protect_prompt=selection == "shared")
    compressor = subject.compressor("Random", **options)
    for cache in (parent, alone):
        subject.generate(cache, compressor, steps=40)
    before, children = snapshot(parent), [parent.fork(), parent.fork()]
    for child, policy in zip(children, ("H2O", "StreamingLLM"), strict=True):
        subject.generate(child, subject.compressor(policy, **options))
        poison(parent)
        assert all(map(torch.equal, before[2], snapshot(parent)[2]))
        assert before[:2] == snapshot(parent)[:2]
    parent.pool.check_integrity([table for cache in (parent, *children) for table in cache.tables])
    assert len({str(subject.generate(cache, compressor).tokens) for cache in (parent, alone)}) == 1
    parent.pool.check_integrity([table for cache in (parent, *children) for table in cache.tables])
    for child in children:
        child.reset()
    assert_same_cache(parent, alone)


def test_a_child_says_what_a_cache_of_its_own_would_have_said():
    subject = llama()
    parent, alone = subject.new_cache(num_blocks=160), subject.new_cache(num_blocks=160)
    for cache in (parent, alone):
        subject.generate(cache, subject.compressor("KeyNorm"), steps=40)
    child = parent.fork()
    runs = [subject.generate(cache, subject.compressor("H2O")) for cache in (child, alone)]
    assert runs[0].tokens == runs[1].tokens
    parent.reset()
    assert_same_cache(child, alone)


@pytest.mark.parametrize("compact", [False, True])
def test_a_child_s_compressions_report_what_the_pool_got_back(compact):
    """Blocks that the parent still lists do not come back."""
    subject = llama()
    parent = subject.new_cache(num_blocks=160)
    subject.generate(parent, steps=30)
    child, got_back = parent.fork(), []
    compressor = subject.compressor("Random", protect_prompt=False, compact=compact)
    after_pass = compressor.after_pass

    def watched(cache):
        free = cache.pool.num_free_blocks
        compression = after_pass(cache)
        if compression:
            got_back.append(cache.pool.num_free_blocks - free)
        return compression

    compressor.after_pass = watched
    trace = subject.generate(child, compressor)
    assert [c.blocks_freed for c in trace.compressions.values()] == got_back
    assert trace.blocks_freed == sum(got_back)
    assert trace.bytes_freed == sum(got_back) * child.shape.bytes(8, kv_format="fp32")


# --- The cache after a run --------------------------------------------------------------------------------------------
USES = {
    "read": lambda subject, cache: cache.read(0),
    "stats": lambda subject, cache: (cache.stats(), cache.token_index(0)),
    "step": lambda subject, cache: subject.model(subject.prompts[:, :1], past_key_values=cache),
    "evict": lambda subject, cache: cache.evict(torch.arange(3).expand(3, 2, -1)),
    "release": lambda subject, cache: cache.release_empty_blocks(),
    "compact": lambda subject, cache: cache.compact(),
    "reset": lambda subject, cache: cache.reset(),
}


@pytest.mark.parametrize("forked", [False, True])
@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("grad", [torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("use", USES)
def test_a_cache_can_be_used_after_a_run_whatever_torch_records(use, grad, compact, forked):
    subject, cache = llama(), llama().new_cache()
    subject.generate(cache, subject.compressor(compact=compact, budget=8, interval=3), steps=16)
    with grad():
        child = cache.fork() if forked else None
        USES[use](subject, cache)
    cache.pool.check_integrity([*cache.tables, *(child.tables if child else [])])


def test_a_cache_made_in_inference_mode_is_as_good_as_another():
    subject, compressor, runs = llama(), llama().compressor("H2O"), []
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            cache = subject.new_cache()
            runs.append(subject.generate(cache, compressor).tokens)
        runs.append(subject.generate(cache, compressor).tokens)
    assert runs[:2] == runs[2:]


@pytest.mark.parametrize("compact", [False, True])
def test_a_run_that_is_stopped_by_its_caller_can_go_on(compact):
    """As somebody does who interrupts a cell: here after 20 steps, between two compressions."""
    subject, caches = llama(), [llama().new_cache() for _ in range(2)]
    compressor = subject.compressor("Random", compact=compact, protect_prompt=False)

    def stop(trace):
        if len(trace.seconds) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(subject.model, subject.prompts, caches[0], compressor, 55, on_step=stop)
    assert subject.model.config._attn_implementation == "sdpa"
    subject.generate(caches[1], compressor, steps=20)
    assert_same_cache(*caches)
    assert subject.generate(caches[0], compressor).tokens == subject.generate(caches[1], compressor).tokens


def test_out_of_blocks_in_the_middle_of_a_run_leaves_the_rows_of_the_last_step():
    subject = llama()
    cache, enough, steps = subject.new_cache(num_blocks=9), subject.new_cache(), []
    with pytest.raises(OutOfBlocks, match=r"^out of blocks: 3 needed, 0 free, 9 held$"):
        generate(subject.model, subject.prompts, cache, None, 62, on_step=lambda trace: steps.append(trace))
    assert len(steps) == 15  # 24 rows fill three blocks of each of three sequences
    assert subject.model.config._attn_implementation == "sdpa"
    trace = subject.generate(enough, steps=15)
    assert steps[-1].tokens == trace.tokens
    assert_same_contents(cache, enough)
    for each in (cache, enough):
        each.evict(torch.arange(10, 24).expand(3, 2, -1))
        each.compact()
    last = torch.tensor(trace.tokens)[:, -1:]
    assert subject.generate(cache, None, last, 5).tokens == subject.generate(enough, None, last, 5).tokens
    assert_same_contents(cache, enough)


def assert_same_contents(one, two):
    one.pool.check_integrity(one.tables)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(snapshot(one)[2], snapshot(two)[2], strict=True))


def test_out_of_blocks_in_a_compaction_leaves_a_usable_cache_and_its_parent():
    """A child must copy what it shares before it compacts; here the pool has no room for the copies."""
    subject = llama()
    compressor = subject.compressor("Random", protect_prompt=False)
    parent = subject.new_cache(num_blocks=15)
    trace = subject.generate(parent, steps=21)  # 30 rows: four blocks of eight for each of three sequences
    before, child = snapshot(parent), parent.fork()
    last = torch.tensor(trace.tokens)[:, -1:]
    with pytest.raises(OutOfBlocks, match="^out of blocks: [1-9] needed, 0 free, 15 held$"):
        subject.generate(child, compressor, last)
    assert (parent.alive(), child.alive()) == (30, 20)  # the child was at 31, and due
    assert before[:2] == snapshot(parent)[:2] and all(map(torch.equal, before[2], snapshot(parent)[2]))
    parent.pool.check_integrity([*parent.tables, *child.tables])
    evicted = snapshot(child)[2]
    parent.reset()
    assert child.compact() > 0
    assert all(map(torch.equal, evicted, snapshot(child)[2]))
    subject.generate(child, compressor, last)
    child.pool.check_integrity(child.tables)


# --- The Trace --------------------------------------------------------------------------------------------------------
def bytes_of_held_blocks(cache):
    """Block by block, in the memory itself."""
    size = cache.pool.block_size
    held = {block for table in cache.tables for block in table.blocks}
    return sum(s.packed[:, :, block * size : (block + 1) * size].nbytes for s in cache.stores for block in held)


FORMATS = ["fp32", "fp16", "q8_0", "q4_0", "nvfp4", ("q8_0", "q4_0"), ("fp16", "q8_0")]


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("kv_format", FORMATS, ids=str)
def test_bytes_held_are_those_of_the_blocks_in_memory(kv_format, compact):
    subject = llama(head_dim=32)
    cache, counted = subject.new_cache(kv_format=kv_format), []
    compressor = subject.compressor("Random", protect_prompt=False, compact=compact)
    reserved = cache.stats().bytes_reserved

    def on_step(trace):
        i = len(trace.bytes_held) - 1
        freed = trace.compressions.get(i)
        counted.append(bytes_of_held_blocks(cache) + (freed.bytes_freed if freed else 0))
        assert trace.blocks_held[-1] - (freed.blocks_freed if freed else 0) == cache.stats().blocks_held

    trace = generate(subject.model, subject.prompts, cache, compressor, 45, on_step)
    assert trace.bytes_held == counted
    block_bytes = sum(store.packed.nbytes for store in cache.stores) // cache.pool.num_blocks
    assert trace.bytes_held == [block_bytes * blocks for blocks in trace.blocks_held]
    row_bytes = cache.shape.bytes(8, kv_format=kv_format)
    assert (block_bytes, cache.stats().bytes_reserved) == (row_bytes, reserved)


@pytest.mark.parametrize("make", [llama, reasoner])
@pytest.mark.parametrize("protect_prompt", [False, True])
def test_a_compacted_run_s_saw_tooth_is_the_formula_s(make, protect_prompt):
    subject = make()
    batch, prompt = subject.prompts.shape
    budget, interval = subject.options["budget"], subject.options["interval"]
    cache, top = subject.new_cache(), budget + interval + prompt * protect_prompt
    trace = subject.generate(cache, subject.compressor("Random", protect_prompt=protect_prompt))
    rows, alive, freed = [], prompt, []
    for _ in range(subject.steps):
        rows.append(alive)
        if alive >= top:
            freed.append(batch * (blocks_for(alive, 8) - blocks_for(top - interval, 8)))
            alive = top - interval
        alive += 1
    assert trace.tokens_alive == rows
    assert trace.blocks_held == [batch * blocks_for(n, 8) for n in rows]
    assert [c.blocks_freed for c in trace.compressions.values()] == freed
    assert trace.blocks_freed == sum(freed) > 0
    assert trace.bytes_freed == sum(freed) * cache.shape.bytes(8, kv_format="fp32")
    assert trace.prompt_length == prompt
    assert trace.tokens_seen == [prompt + i for i in range(subject.steps)]


def test_without_a_compressor_nothing_is_freed():
    subject = llama()
    for cache in (subject.new_cache(), DynamicCache(config=subject.model.config)):
        trace = subject.generate(cache)
        assert (trace.blocks_freed, trace.bytes_freed, trace.compressions) == (0, 0, {})
        assert trace.bytes_held == sorted(trace.bytes_held)
        assert trace.weights_cost.bytes_written == 0


def test_a_cache_without_blocks_holds_none():
    subject = llama()
    trace = subject.generate(DynamicCache(config=subject.model.config), steps=5)
    assert (trace.blocks_held, trace.tokens_alive) == ([0] * 5, trace.tokens_seen)


def compression(blocks_freed, bytes_freed):
    return Compression(0, 0, 0, blocks_freed, bytes_freed, 0.0, 0.0)


@pytest.mark.parametrize("seed", range(20))
def test_bytes_freed_are_all_that_compressions_and_other_falls_gave_back(seed):
    rng, trace, held, given_back, blocks = random.Random(seed), Trace(1, [[]]), 0, 0, 0
    for i in range(rng.randint(1, 30)):
        grows = i - 1 in trace.compressions or rng.random() < 0.7  # what falls behind a compression is its own
        change = rng.choice((0, 5, 17)) if grows else -rng.randint(0, held)
        held += change
        given_back += max(0, -change)
        trace.bytes_held.append(held)
        if rng.random() < 0.3:
            freed = rng.randint(0, held)
            trace.compressions[i] = compression(freed // 2, freed)
            held, given_back, blocks = held - freed, given_back + freed, blocks + freed // 2
    assert (trace.bytes_freed, trace.blocks_freed) == (given_back, blocks)


def test_speed_counts_decoded_tokens_of_one_sequence_after_the_prefill(monkeypatch):
    clock = itertools.count(100.0, 0.25)
    subject = llama()
    monkeypatch.setattr("helpers.measuring.trace.time.perf_counter", lambda: next(clock))
    generated = subject.generate(subject.new_cache(), steps=9)
    replayed = subject.replay(generated, subject.new_cache())
    assert generated.tokens_per_second == 8 / (8 * 0.25)
    assert replayed.tokens_per_second == 8 / 0.25  # all in one chunk
    assert [b - a for a, b in itertools.pairwise(generated.seconds)] == [0.25] * 8


def test_speed_is_not_a_number_where_nothing_followed_the_prefill():
    subject = llama()
    assert math.isnan(subject.generate(subject.new_cache(), steps=1).tokens_per_second)
    assert math.isnan(replay(subject.model, subject.prompts, 10, subject.new_cache()).tokens_per_second)
    assert math.isnan(Trace(1, [[]]).tokens_per_second)


def test_with_compressions_speed_and_times_are_there():
    subject = llama()
    trace = subject.generate(subject.new_cache(), subject.compressor("H2O"))
    assert trace.tokens_per_second == (subject.steps - 1) / (trace.seconds[-1] - trace.seconds[0])
    assert all(c.scoring_seconds > 0 and c.moving_seconds > 0 for c in trace.compressions.values())
    spent = sum(c.scoring_seconds + c.moving_seconds for c in list(trace.compressions.values())[:-1])
    assert trace.seconds == sorted(trace.seconds) and spent < trace.seconds[-1]
    assert 0 < trace.weights_cost.seconds < trace.seconds[-1]

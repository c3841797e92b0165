"""A text read until memory is out, small: that crash is caught and its words are kept, and no other."""

from types import SimpleNamespace

import pytest
import torch
from transformers import DynamicCache

from helpers.arithmetic import KVShape
from helpers.cache import PagedCache
from helpers.eviction import Compressor
from helpers.experiments import last_words
from helpers.experiments.last_words import curve_of, order_left, read_to_the_end, read_until_the_wall
from helpers.experiments.stand_ins import TINY_CONFIG, random_model, random_policy
from helpers.measuring import Trace
from helpers.measuring.trace import Compression
from helpers.records import load_last_words

TOKEN = 2 * 2 * 2 * 16 * 4  # bytes: K and V, layers, KV heads, head_dim, float32


@pytest.fixture(scope="module")
def loaded():
    model = random_model(TINY_CONFIG)
    tokenizer = SimpleNamespace(decode=lambda ids: " ".join(map(str, ids.tolist())))
    return SimpleNamespace(model=model, tokenizer=tokenizer, shape=KVShape.from_config(model.config))


TEXT = torch.arange(600).remainder(64)[None]


@pytest.mark.parametrize(("stride", "tokens", "needed"), [(16, 320, 1), (32, 320, 2), (7, 315, 1), (48, 288, 3)])
def test_a_pool_refuses_the_first_pass_that_does_not_fit(loaded, stride, tokens, needed):
    pool = PagedCache.for_model(loaded.model, 20, 16, "fp32")
    found = read_until_the_wall(loaded, TEXT, pool, stride)
    assert found.tokens == tokens == pool.get_seq_length()
    assert (
        found.error
        == f"OutOfBlocks: out of blocks: {needed} needed, {20 - -(-tokens // 16)} free, {-(-tokens // 16)} held"
    )
    assert found.curve[0] == (0, 0) and found.curve[-1] == (tokens, -(-tokens // 16) * 16 * TOKEN)
    assert found.most_held == found.curve[-1][1]
    assert found.last_words.split()[-1] == str(TEXT[0, tokens - 1].item())


def test_who_has_room_comes_to_the_end_and_tells_of_each_pass(loaded):
    seen = []
    cache = DynamicCache(config=loaded.model.config)
    found = read_until_the_wall(loaded, TEXT[:, :40], cache, 16, lambda reading: seen.append(reading.tokens))
    assert (found.tokens, found.error, seen) == (40, None, [16, 32, 40])
    assert found.curve == ((0, 0), (16, 16 * TOKEN), (32, 32 * TOKEN), (40, 40 * TOKEN))


class Growing(DynamicCache):
    """Dies in the middle of a pass, in its second layer."""

    def __init__(self, error, **config):
        super().__init__(**config)
        self.error = error

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        if layer_idx == 1 and self.get_seq_length() > 100:
            raise self.error
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)


def test_a_crash_for_memory_is_caught_and_its_words_are_kept(loaded):
    crash = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nSee the manual")
    found = read_until_the_wall(loaded, TEXT, Growing(crash, config=loaded.model.config))
    assert (found.tokens, found.error) == (96, "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_any_other_error_is_nobody_s_wall(loaded):
    with pytest.raises(RuntimeError, match="a bug"):
        read_until_the_wall(loaded, TEXT, Growing(RuntimeError("a bug"), config=loaded.model.config))


def test_a_curve_has_two_points_where_a_compression_gave_bytes_back():
    trace = Trace(1, [[0]], tokens_seen=[1, 2, 3], bytes_held=[10, 20, 15], blocks_held=[1, 2, 2])
    trace.compressions = {1: Compression(2, 9, 5, 1, 8, 0, 0)}
    assert curve_of(trace) == [(1, 10), (2, 20), (2, 12), (3, 15)]


def test_who_evicts_reads_all_of_it_in_a_pool_that_the_other_dies_in(loaded, monkeypatch):
    monkeypatch.setattr(last_words, "STRETCH", 200)
    pool = PagedCache.for_model(loaded.model, 20, 16, "fp32")
    compressor = Compressor(random_policy(loaded.model), 256, 64, "per_layer_per_head", True, False, 16)
    found = read_to_the_end(loaded, TEXT, pool, compressor)
    assert (found.tokens, found.error, len(found.losses)) == (600, None, 3)
    assert found.most_held == 20 * 16 * TOKEN
    left = order_left(pool)
    assert left["order_kept"] and left["row"] == sorted(left["row"]) and len(left["row"]) == pool.alive()
    assert left["row"][-16:] == list(range(584, 600))


# --- The record ------------------------------------------------------------------------------------------------------
def test_the_record_dies_near_the_arithmetic_s_end_and_lives_within_the_pool():
    found = load_last_words()
    assert 0.85 < found.growing.tokens / found.predicted < 1.15  # a process may have pieces left that it uses again
    assert "can't allocate memory" in found.growing.error and str(found.asked_for) in found.growing.error
    blocks, size = found.facts["pool"]
    assert found.evicting.most_held == blocks * size * 46_080 and found.evicting.tokens == 8_192
    assert found.unlimited.most_held == 8_192 * 46_080
    assert len(found.evicting.losses) == len(found.unlimited.losses) == 32
    before = found.facts["first_eviction"] // found.facts["stretch"]
    assert found.evicting.losses[:before] == pytest.approx(found.unlimited.losses[:before], abs=0.002)

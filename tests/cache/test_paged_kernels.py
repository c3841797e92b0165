"""Reading in place: readers against the definition, and a model's steps against the same steps with gathered rows."""

import math
import random

import pytest
import torch
from transformers import DynamicCache

from helpers.cache import PagedCache, attending, paged_kernels
from helpers.cache.paged_kernels import Blocks, flash, flex, gather, installed_reader, why_not
from helpers.decoding import generate
from tests.cache.test_attention import BATCH, FAMILIES, IDS, Notes, model_of, new_paged, read_in_passes


def random_blocks(seed, n_heads=4, n_kv_heads=2, dim=8, size=4, width=3, batch=3, num_blocks=12):
    """A pool in disorder: blocks drawn by lot, some shared, last ones partly filled, NaN in those of nobody."""
    make = torch.Generator().manual_seed(seed)
    rng = random.Random(seed)
    keys, values = torch.randn(2, num_blocks, size, n_kv_heads, dim, generator=make)
    table = torch.stack([torch.randperm(num_blocks - 2, generator=make)[:width] for _ in range(batch)]).int()
    table[-1, 0] = table[0, 0]
    if (table[-1] == table[-1, 0]).sum() > 1:
        table[-1] = table[0]
    keys[-2:], values[-2:] = torch.nan, torch.nan
    lengths = torch.tensor([rng.randint(1, width * size) for _ in range(batch)], dtype=torch.int32)
    query = torch.randn(batch, n_heads, 1, dim, generator=make)
    return query, Blocks(keys, values, table, lengths)


def by_hand(query, blocks, scaling):
    """Softmax over products, number by number."""
    output, size = torch.zeros_like(query), blocks.keys.shape[1]
    group = query.shape[1] // blocks.keys.shape[2]
    for i, length in enumerate(blocks.lengths.tolist()):
        places = [(blocks.block_table[i, row // size].item(), row % size) for row in range(length)]
        for head in range(query.shape[1]):
            q = query[i, head, 0].tolist()
            keys = [blocks.keys[block, slot, head // group].tolist() for block, slot in places]
            values = [blocks.values[block, slot, head // group] for block, slot in places]
            powers = [math.exp(scaling * sum(a * b for a, b in zip(q, key, strict=True))) for key in keys]
            output[i, head, 0] = sum(p * v for p, v in zip(powers, values, strict=True)) / sum(powers)
    return output


# --- The readers -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(6))
def test_gathering_is_the_definition(seed):
    query, blocks = random_blocks(seed)
    assert torch.allclose(gather(query, blocks, 0.4), by_hand(query, blocks, 0.4), atol=1e-5)


def as_documented(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale, enable_gqa, seqused_k, block_table):
    """``varlen_attn`` as its documentation has it: ``[T_q, H_q, D]`` over pages ``[pages, page_size, H_kv, D]``."""
    assert (max_q, cu_seq_k, block_table.dtype, seqused_k.dtype) == (1, None, torch.int32, torch.int32)
    assert (cu_seq_q.dtype, cu_seq_q.tolist()) == (torch.int32, list(range(len(query) + 1)))
    assert max_k >= seqused_k.max() and enable_gqa == (query.shape[1] != key.shape[2])
    assert query.is_contiguous() and key[0].is_contiguous()
    outputs = []
    for i, length in enumerate(seqused_k.tolist()):
        rows = [pages[block_table[i].long()].flatten(0, 1)[:length] for pages in (key, value)]
        keys, values = (part.repeat_interleave(query.shape[1] // key.shape[2], dim=1) for part in rows)
        weights = (scale * torch.einsum("hd,thd->ht", query[i], keys)).softmax(-1)
        outputs.append(torch.einsum("ht,thd->hd", weights, values))
    return torch.stack(outputs)


@pytest.mark.parametrize("seed", range(6))
def test_flash_hands_over_what_the_documentation_asks_for(seed, monkeypatch):
    monkeypatch.setattr(paged_kernels.varlen, "varlen_attn", as_documented)
    query, blocks = random_blocks(seed, n_kv_heads=(2, 4)[seed % 2])
    assert torch.allclose(flash(query, blocks, 0.4), gather(query, blocks, 0.4), atol=1e-5)


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX"), reason="torch compiles it for vector units only"
)
def test_flex_is_right_on_the_library_s_own_compiled_kernel():
    """One compilation serves all: the shapes are the same, the tables and lengths are not."""
    for seed in range(8):
        query, blocks = random_blocks(seed, n_heads=8, dim=32, size=16, width=4, num_blocks=16)
        assert torch.allclose(flex(query, blocks, 0.2), gather(query, blocks, 0.2), atol=1e-5)


# --- Which one is used -----------------------------------------------------------------------------------------------
@pytest.fixture
def asked_anew():
    why_not.cache_clear()
    yield
    why_not.cache_clear()


def test_a_reader_is_believed_only_after_it_was_right(monkeypatch, asked_anew):
    def one_row_less(query, blocks, scaling):
        return gather(query, Blocks(blocks.keys, blocks.values, blocks.block_table, blocks.lengths.clamp_min(2) - 1), 1)

    def broken(query, blocks, scaling):
        raise TypeError("no such argument\nand a stack")

    for name, reader, words in (("wrong", one_row_less, "it is wrong by"), ("broken", broken, "no such argument")):
        monkeypatch.setitem(paged_kernels.READERS, name, reader)
        said = why_not(name, "cpu")
        assert words in said
        assert "\n" not in said
    monkeypatch.setitem(paged_kernels.READERS, "right", gather)
    assert why_not("right", "cpu") is None


def test_a_processor_without_a_paged_kernel_gathers(asked_anew):
    assert installed_reader("cpu", torch.bfloat16) is None
    assert "no FlashAttention that reads pages is installed" in why_not("flash", "cpu")


@pytest.mark.parametrize(
    ("capability", "installed", "activated"),
    [
        ((9, 0), {"flash_attn_interface"}, ["FA3"]),
        ((10, 0), {"flash_attn.cute"}, ["FA4"]),
        ((9, 0), set(), []),
        ((8, 9), {"flash_attn_interface", "flash_attn.cute"}, []),
        ((10, 0), {"flash_attn_interface"}, []),
    ],
)
def test_each_card_has_its_flash_attention(capability, installed, activated, monkeypatch, asked_anew):
    done = []
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(paged_kernels.importlib.util, "find_spec", lambda name: name in installed or None)
    monkeypatch.setattr(torch.nn.attention, "activate_flash_attention_impl", done.append)
    monkeypatch.setattr(paged_kernels, "_error_of", lambda reader, device: 0.001)
    assert installed_reader("cuda", torch.float32) is None  # FlashAttention computes in 16 bits alone
    assert installed_reader("cuda", torch.bfloat16) is (flash if activated else None)
    assert done == activated


# --- A model's steps -------------------------------------------------------------------------------------------------
class Counting:
    """A reader that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, query, blocks, scaling):
        self.calls += 1
        return gather(query, blocks, scaling)


def full_layers(model):
    return PagedCache.for_model(model, 8).shape.count("full")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_in_place_has_the_logits_of_one_that_gathers(family):
    """Sliding layers go on gathering; so do prompts and chunks."""
    model, reader = model_of(family), Counting()
    passes = [7, 1, 1, 3, *[1] * 7]
    with attending(model, reader=reader):
        got = read_in_passes(model, new_paged(model), passes)
    with attending(model):
        wanted = read_in_passes(model, new_paged(model), passes)
    assert torch.allclose(got, wanted, atol=1e-5)
    assert reader.calls == 9 * full_layers(model)


def test_forks_share_blocks_and_are_read_in_place():
    model, reader = model_of("Qwen3"), Counting()
    first = new_paged(model)
    dense = DynamicCache(config=model.config)
    with torch.no_grad(), attending(model, reader=reader):
        model(IDS[:, :9], past_key_values=first)
        second = first.fork()
        logits = [
            model(IDS[:, 9 + i : 10 + i], past_key_values=cache).logits for cache in (first, second) for i in range(6)
        ]
    with torch.no_grad():
        model(IDS[:, :9], past_key_values=dense)
        for i in range(6):
            wanted = model(IDS[:, 9 + i : 10 + i], past_key_values=dense).logits
            assert torch.allclose(logits[i], wanted, atol=1e-4)
            assert torch.allclose(logits[6 + i], wanted, atol=1e-4)
    assert reader.calls == 12 * full_layers(model)


@pytest.mark.parametrize(
    ("kv_format", "evicted", "compacted", "expected"),
    [("fp32", True, False, 0), ("fp32", True, True, 1), ("q8_0", False, False, 0), ("fp16", False, False, 0)],
)
def test_what_does_not_lie_in_order_as_it_is_computed_is_gathered(kv_format, evicted, compacted, expected):
    config = FAMILIES["Llama"] | {"head_dim": 32}
    model, reader = model_of("Llama") if kv_format == "fp32" else _wide(config), Counting()
    cache = PagedCache.for_model(model, 20, 4, kv_format, BATCH)
    with torch.no_grad(), attending(model, reader=reader):
        model(IDS[:, :12], past_key_values=cache)
        if evicted:
            cache.evict(torch.tensor([0, 2, 5, 7, 9]).expand(BATCH, 2, -1))
        if compacted:
            cache.compact()
        model(IDS[:, 12:13], past_key_values=cache)
    assert reader.calls == expected * full_layers(model)


def _wide(config):
    from tests.families import build

    return build(config)


def test_who_wants_the_weights_gets_them_and_who_wants_queries_does_not_stop_it():
    model = model_of("Llama")
    for notes, calls in ((Notes(needs_weights=True), 0), (Notes(needs_queries=True), full_layers(model))):
        reader, cache = Counting(), new_paged(model)
        with torch.no_grad(), attending(model, notes, reader=reader):
            model(IDS[:, :6], past_key_values=cache)
            model(IDS[:, 6:7], past_key_values=cache)
        assert reader.calls == calls
        seen = notes.weights or notes.queries
        assert len(seen) == 2 * full_layers(model)
    assert seen[-1][1].shape[2] == 1


def test_the_installed_kernel_is_used_without_being_asked_for(monkeypatch):
    model, reader = model_of("Qwen3"), Counting()
    monkeypatch.setattr("helpers.cache.attention.installed_reader", lambda device, dtype: reader)
    cache = PagedCache.for_model(model, 30, 4, "fp32", BATCH)
    decoded = generate(model, IDS[:, :8], cache, max_new_tokens=6).tokens
    assert reader.calls == 5 * full_layers(model)
    monkeypatch.undo()
    assert decoded == generate(model, IDS[:, :8], new_paged(model), max_new_tokens=6).tokens


def test_keys_of_another_cache_are_not_taken_for_ours():
    """A note of where rows lie belongs to the keys that came with it, not to whatever attention sees next."""
    model, reader = model_of("Llama"), Counting()
    with torch.no_grad(), attending(model, reader=reader):
        model(IDS[:, :6], past_key_values=new_paged(model))
        model(IDS[:, :1], past_key_values=new_paged(model))
        calls = reader.calls
        dense = DynamicCache(config=model.config)
        model(IDS[:, :6], past_key_values=dense)
        logits = model(IDS[:, 6:7], past_key_values=dense).logits
    assert (calls, reader.calls) == (full_layers(model), full_layers(model))
    assert torch.isfinite(logits).all()


def test_a_reader_outside_attending_is_forgotten():
    model, reader = model_of("Llama"), Counting()
    with attending(model, reader=reader):
        pass
    with torch.no_grad(), attending(model):
        model(IDS[:, :1], past_key_values=new_paged(model))
    assert reader.calls == 0

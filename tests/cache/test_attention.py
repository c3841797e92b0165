"""The attention function against transformers' own eager attention, and against the definition written in loops.

The eager model reads a text once, without a cache, and gives the logits of every token and the weights of every layer.
"""

import functools
import itertools
import math
import random
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import BloomConfig, BloomForCausalLM, DynamicCache, StaticCache

from helpers.cache import PagedCache, attend_with_grid, attending
from helpers.cache.attention import NAME, attend
from helpers.decoding import generate
from helpers.eviction import Compressor, Random
from helpers.measuring.trace import WeightsCost
from tests.cache.test_paged_cache import shuffle
from tests.families import CATALOG, VOCABULARY, WINDOW, build, plain

BATCH, LENGTH = 2, 19
IDS = torch.randint(3, VOCABULARY, (BATCH, LENGTH), generator=torch.Generator().manual_seed(7))
# A wide initialisation, so that attention is sharp and a wrong row shows.
SPREAD = {"initializer_range": 0.3}
FAMILIES = {
    "Llama": plain("llama", head_dim=16, **SPREAD),
    "Llama, a KV head per head": plain("llama", num_key_value_heads=4, head_dim=8, **SPREAD),
    "Llama, one KV head": plain("llama", num_key_value_heads=1, **SPREAD),
    "Qwen2": plain("qwen2", **SPREAD),
    "Qwen3": plain("qwen3", head_dim=16, **SPREAD),
    "Qwen3-MoE": plain(
        "qwen3_moe", head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=8, **SPREAD
    ),
    "Mistral": plain("mistral", sliding_window=None, head_dim=16, **SPREAD),
    "Mistral with a window": plain("mistral", sliding_window=WINDOW, head_dim=16, **SPREAD),
    "Qwen2, window from layer 1 on": plain(
        "qwen2", use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1, **SPREAD
    ),
    "OLMo-2": plain("olmo2", **SPREAD),
    "Granite": plain("granite", attention_multiplier=0.4, **SPREAD),
}
PASSES = {"prefill": [19], "chunks": [5, 1, 10, 3], "steps": [7, *[1] * 12], "one token first": [1, 1, 17]}
REFUSED = {
    "softcap": plain("gemma2", head_dim=16, sliding_window=WINDOW),
    "attention sinks": CATALOG["gpt-oss-20b"],
}


def new_paged(model, batch=BATCH):
    cache = PagedCache.for_model(model, 30, 4, "fp32", batch)
    shuffle(cache)
    return cache


CACHES = {
    "DynamicCache": lambda model: DynamicCache(config=model.config),
    "StaticCache": lambda model: StaticCache(config=model.config, max_cache_len=24),
    "PagedCache": new_paged,
}


@functools.cache
def model_of(family):
    """The family's small model, which never ends a sequence."""
    model = build(FAMILIES[family])
    model.generation_config.eos_token_id = None
    return model


@functools.cache
def eager(family):
    """Logits ``[batch, tokens, vocabulary]``, and per layer the weights ``[batch, n_heads, tokens, tokens]``."""
    model = build(FAMILIES[family])
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(IDS, use_cache=False, output_attentions=True)
    return output.logits, output.attentions


@torch.no_grad()
def read_in_passes(model, cache, passes, ids=IDS):
    parts = ids[:, : sum(passes)].split(passes, dim=1)
    return torch.cat([model(part, past_key_values=cache).logits for part in parts], dim=1)


def close(got, wanted):
    return got.shape == wanted.shape and torch.allclose(got, wanted, atol=1e-4, rtol=1e-5)


class Notes:
    """A watcher that writes down all it sees."""

    def __init__(self, needs_queries=False, needs_weights=False):
        self.needs_queries, self.needs_weights = needs_queries, needs_weights
        self.queries, self.weights = [], []

    def see_queries(self, layer, queries, scaling):
        self.queries.append((layer, queries.clone(), scaling))

    def see_weights(self, layer, weights):
        self.weights.append((layer, weights.clone()))


@contextmanager
def refused(*words):
    """One line, with these words."""
    with pytest.raises(ValueError) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == []


# --- Against eager attention ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("passes", PASSES)
@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_logits_are_those_of_eager_attention(family, cache, passes):
    model = model_of(family)
    with attending(model):
        got = read_in_passes(model, CACHES[cache](model), PASSES[passes])
    assert close(got, eager(family)[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_without_a_cache_too(family):
    model = model_of(family)
    with attending(model), torch.no_grad():
        assert close(model(IDS, use_cache=False).logits, eager(family)[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_references_are_sharp_enough_to_tell_rows_apart(family):
    logits, weights = eager(family)
    assert logits.std() > 0.01  # a hundred times what we call equal
    assert all(layer[:, :, -1].amax(-1).mean() > 2 / LENGTH for layer in weights)


def on_the_text(weights, end):
    """A grid over a cache's rows as one over all tokens before ``end``: rows cut off by a window are 0."""
    rows = weights.shape[-1]
    if rows > end:  # a StaticCache has rows for tokens that are still to come
        assert not weights[..., end:].any()
        return weights[..., :end]
    return torch.nn.functional.pad(weights, (end - rows, 0))


# A StaticCache's rows of a window go round in a ring: no grid over the text.
GRIDS = [(family, cache) for family in FAMILIES for cache in CACHES if not ("window" in family and "Static" in cache)]


@pytest.mark.parametrize("passes", PASSES)
@pytest.mark.parametrize(("family", "cache"), GRIDS)
def test_the_grid_is_the_one_of_eager_attention(family, cache, passes):
    model, notes = model_of(family), Notes(needs_weights=True)
    with attending(model, notes):
        logits = read_in_passes(model, CACHES[cache](model), PASSES[passes])
    wanted_logits, wanted = eager(family)
    assert close(logits, wanted_logits)
    ends = list(itertools.accumulate(PASSES[passes]))
    seen = [(layer, end) for end in ends for layer in range(len(wanted))]
    for (layer, end), (got_layer, weights) in zip(seen, notes.weights, strict=True):
        new = weights.shape[2]
        assert got_layer == layer
        assert close(on_the_text(weights, end), wanted[layer][:, :, end - new : end, :end])
        assert torch.allclose(weights.sum(-1), torch.ones(weights.shape[:-1]), atol=1e-5)


@pytest.mark.parametrize("passes", PASSES)
@pytest.mark.parametrize("cache", CACHES)
def test_the_cost_is_every_grid_s_bytes_and_some_time(cache, passes):
    model, notes, cost = model_of("Qwen3"), Notes(needs_weights=True), WeightsCost()
    with attending(model, notes, cost):
        read_in_passes(model, CACHES[cache](model), PASSES[passes])
    grids = []
    for new, end in zip(PASSES[passes], itertools.accumulate(PASSES[passes]), strict=True):
        rows = 24 if cache == "StaticCache" else end
        grids += [BATCH * 4 * new * rows * 4] * 3  # 4 heads, 4 bytes, 3 layers
    assert (cost.bytes_written, cost.largest) == (sum(grids), max(grids))
    assert cost.seconds > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_the_queries_shown_are_those_behind_the_weights(family):
    model, notes, cache = model_of(family), Notes(needs_queries=True), new_paged(model_of(family))
    with attending(model, notes):
        read_in_passes(model, cache, [LENGTH - 1, 1])
    assert [layer for layer, _, _ in notes.queries] == [0, 1, 2] * 2
    for layer, queries, scaling in notes.queries[3:]:
        keys = cache.read_keys(layer).repeat_interleave(queries.shape[1] // cache.shape.n_kv_heads, dim=1)
        logits = queries @ keys.transpose(-1, -2) * scaling
        if cache.shape.layers[layer].kind == "sliding":
            logits[..., :-WINDOW] = -torch.inf
        assert close(logits.softmax(-1), eager(family)[1][layer][:, :, -1:])


# --- Against the definition -------------------------------------------------------------------------------------------
def attention_in_loops(query, key, value, sees, scaling):
    """Output ``[batch, new, n_heads, dim]`` and weights ``[batch, n_heads, new, rows]``, number by number."""
    batch, n_heads, new, dim = query.shape
    group_size, rows = n_heads // key.shape[1], key.shape[2]
    output, weights = torch.zeros(batch, new, n_heads, dim), torch.zeros(batch, n_heads, new, rows)
    for b, h, i in itertools.product(range(batch), range(n_heads), range(new)):
        k, v = key[b, h // group_size].tolist(), value[b, h // group_size].tolist()
        q = query[b, h, i].tolist()
        odds = [
            math.exp(scaling * sum(x * y for x, y in zip(q, k[j], strict=True))) * sees(b, i, j) for j in range(rows)
        ]
        for j in range(rows):
            weights[b, h, i, j] = odds[j] / sum(odds)
            output[b, i, h] += odds[j] / sum(odds) * torch.tensor(v[j])
    return output, weights


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("seed", range(24))
def test_attention_is_its_definition_number_by_number(seed, watched):
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    batch, n_kv_heads, group_size, dim = (rng.randint(1, 3) for _ in range(4))
    new = rng.choice([1, 1, 2, 3])
    rows = new + rng.randint(0, 4)
    masked = new not in (1, rows) or rng.random() < 0.5
    query = torch.randn(batch, n_kv_heads * group_size, new, dim, generator=generator)
    key, value = (torch.randn(batch, n_kv_heads, rows, dim, generator=generator) for _ in "kv")
    mask = torch.rand(batch, 1, new, rows, generator=generator) < 0.6
    mask[..., 0] = True
    scaling = rng.choice([None, 0.3, 1.7])
    watcher = Notes(needs_weights=watched)
    model = SimpleModel()
    with attending(model, watcher):
        got, none = attend(SimpleNamespace(layer_idx=0), query, key, value, mask if masked else None, scaling)
    sees = (lambda b, i, j: bool(mask[b, 0, i, j])) if masked else (lambda b, i, j: j <= i + rows - new)
    wanted, weights = attention_in_loops(query, key, value, sees, dim**-0.5 if scaling is None else scaling)
    assert none is None and close(got, wanted)
    assert close(attend_with_grid(query, key, value, mask if masked else None, scaling or dim**-0.5)[1], weights)
    assert not watched or close(watcher.weights[0][1], weights)


class SimpleModel:
    """All that ``attending`` asks of a model: where it is, in what numbers, and an implementation to read and set."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, settable=True):
        self.config, self.settable = SimpleNamespace(_attn_implementation="eager"), settable

    def modules(self):
        return []

    def set_attn_implementation(self, name):
        if self.settable:
            self.config._attn_implementation = name


@pytest.mark.parametrize("new", [1, 3, 8])
def test_with_and_without_the_grid_a_static_cache_s_empty_rows_are_not_seen(new):
    query, (key, value) = torch.randn(2, 4, new, 8), torch.randn(2, 2, 2, 12, 8)
    mask = torch.ones(new, 12, dtype=torch.bool).tril()[None, None]
    wanted = attend_with_grid(query, key, value, mask, 0.5)[0].transpose(1, 2)
    for watcher in (None, Notes(needs_weights=True)):
        with attending(SimpleModel(), watcher):
            module = SimpleNamespace(layer_idx=0)
            assert new == 1 or close(attend(module, query, key, value, None, 0.5)[0], wanted)
            assert close(attend(module, query, key, value, mask, 0.5)[0], wanted)


def test_padding_in_another_cache_gives_the_same_with_and_without_the_grid():
    """The padded tokens themselves see no row, and theirs must not spoil the others."""
    model, mask = model_of("Llama"), torch.ones_like(IDS)
    mask[0, :3] = 0
    outputs = []
    for watcher in (None, Notes(needs_weights=True)):
        with attending(model, watcher), torch.no_grad():
            logits = model(IDS, attention_mask=mask, past_key_values=DynamicCache(config=model.config)).logits
        outputs.append(logits[mask.bool()])
    assert close(*outputs)


def test_the_layout_in_which_sdpa_leaves_its_output_does_not_matter(monkeypatch):
    """The memory-efficient kernel of CUDA leaves the heads innermost."""

    def heads_innermost(*args, **options):
        return scaled_dot_product_attention(*args, **options).transpose(1, 2).contiguous().transpose(1, 2)

    monkeypatch.setattr("helpers.cache.attention.scaled_dot_product_attention", heads_innermost)
    for family in FAMILIES:
        with attending(model_of(family)):
            logits = read_in_passes(model_of(family), new_paged(model_of(family)), PASSES["steps"])
        assert close(logits, eager(family)[0])


# --- Who watches, and what is set -------------------------------------------------------------------------------------
def test_without_need_no_grid_is_computed(monkeypatch):
    def never(*args):
        raise AssertionError("a grid was computed")

    monkeypatch.setattr("helpers.cache.attention.attend_with_grid", never)
    for watcher in (None, Notes(), Notes(needs_queries=True)):
        model, cost = model_of("Llama"), WeightsCost()
        with attending(model, watcher, cost):
            read_in_passes(model, new_paged(model), PASSES["chunks"])
        assert cost == WeightsCost()
        assert watcher is None or watcher.weights == []
        assert watcher is None or len(watcher.queries) == (4 * 3 if watcher.needs_queries else 0)


@pytest.mark.parametrize("before", ["sdpa", "eager", NAME])
def test_the_model_gets_its_own_attention_back(before):
    model = build(FAMILIES["Llama"])
    model.set_attn_implementation(before)
    with attending(model):
        assert model.config._attn_implementation == NAME
    assert model.config._attn_implementation == before
    with pytest.raises(KeyError), attending(model):
        raise KeyError
    assert model.config._attn_implementation == before


def test_after_an_exception_nobody_watches_any_more():
    model, notes = model_of("Llama"), Notes(True, True)
    with pytest.raises(KeyError), attending(model, notes):
        raise KeyError
    with attending(model), torch.no_grad():
        model(IDS)
    assert notes.queries == notes.weights == []


def test_of_nested_watchers_the_inner_one_sees_and_then_the_outer_one_again():
    model, other = model_of("Llama"), build(FAMILIES["Qwen3"])
    outer, inner, counts = Notes(True, True), Notes(True, True), []
    nested = [(model, attending(model, inner)), (other, attending(other, inner)), (other, attending(other))]
    with torch.no_grad(), attending(model, outer):
        for reads, context in nested:
            with context:
                reads(IDS)
            counts.append((len(outer.weights), len(inner.weights)))
            assert model.config._attn_implementation == NAME
        model(IDS)
    assert counts == [(0, 3), (0, 6), (0, 6)]
    assert (len(outer.weights), len(inner.weights)) == (3, 6)
    assert (model.config._attn_implementation, other.config._attn_implementation) == ("sdpa", "sdpa")


def test_an_inner_exception_leaves_the_outer_watcher_in_place():
    model, outer = model_of("Llama"), Notes(needs_weights=True)
    with torch.no_grad(), attending(model, outer):
        with pytest.raises(KeyError), attending(model, Notes(needs_weights=True)):
            raise KeyError
        model(IDS)
    assert len(outer.weights) == 3


def test_a_model_whose_attention_cannot_be_chosen_is_refused():
    bloom = BloomForCausalLM(BloomConfig(vocab_size=64, hidden_size=16, n_layer=1, n_head=2)).eval()
    for model in (bloom, SimpleModel(settable=False)):
        before, notes = model.config._attn_implementation, Notes(needs_weights=True)
        with refused(type(model).__name__, "attention be chosen"), attending(model, notes):
            pass
        assert model.config._attn_implementation == before
        with attending(model_of("Llama")), torch.no_grad():
            model_of("Llama")(IDS)
        assert notes.weights == []


# --- What is refused --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("family", REFUSED)
def test_attention_of_another_kind_is_refused(family):
    model = build(REFUSED[family])
    before = model.config._attn_implementation
    with refused("Attention", family.split()[-1]), attending(model), torch.no_grad():
        model(IDS)
    with refused("Attention", family.split()[-1]):
        generate(model, IDS, new_paged(model), max_new_tokens=3)
    assert model.config._attn_implementation == before
    with torch.no_grad():
        assert model(IDS).logits.isfinite().all()


@pytest.mark.parametrize("family", REFUSED)
def test_a_model_that_is_refused_leaves_the_cache_as_it_was(family):
    model = build(REFUSED[family])
    cache = new_paged(model)
    before = cache.stats()
    with refused("Attention"):
        generate(model, IDS, cache, max_new_tokens=3)
    assert cache.stats() == before


GREEDY = {"max_new_tokens": 9, "do_sample": False, "pad_token_id": 0}


def mask_with_zeros(where, length=LENGTH):
    mask = torch.ones(BATCH, length, dtype=torch.long)
    mask[{"left, one sequence": (0, slice(3)), "left, all": (slice(None), slice(2)), "right": (1, -1)}[where]] = 0
    return mask


PADDING = ["left, one sequence", "left, all", "right"]


@torch.no_grad()
def padded_step(model, cache, length, where):
    with attending(model):
        mask = mask_with_zeros(where, cache.tokens_seen + length)
        model(IDS[:, :length], attention_mask=mask, past_key_values=cache)


@pytest.mark.parametrize("where", PADDING)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_padded_prefill_over_a_paged_cache_is_refused(family, where):
    with refused("attention mask", "padding", "PagedCache", "one length"):
        padded_step(model_of(family), new_paged(model_of(family)), LENGTH, where)


@pytest.mark.parametrize("where", PADDING)
@pytest.mark.parametrize("new", [1, 4])
@pytest.mark.parametrize("evicted", [False, True])
def test_padding_in_a_later_step_is_refused(new, where, evicted):
    model = model_of("Qwen3")
    cache = new_paged(model)
    with attending(model):
        read_in_passes(model, cache, [9])
    if evicted:
        cache.evict(torch.tensor([0, 1, 6, 8]).expand(BATCH, cache.shape.n_kv_heads, -1))
    with refused("padding"):
        padded_step(model, cache, new, where)


@pytest.mark.parametrize("prefilled", [0, 9])
@pytest.mark.parametrize("where", PADDING)
def test_a_refused_mask_leaves_the_cache_as_it_was(prefilled, where):
    model = model_of("Qwen3")
    cache = new_paged(model)
    with attending(model), torch.no_grad():
        if prefilled:
            read_in_passes(model, cache, [prefilled])
        before = cache.stats()
        with refused("padding"):
            padded_step(model, cache, 4, where)
        assert cache.stats() == before
        got = model(IDS[:, prefilled:], past_key_values=cache).logits
    assert close(got, eager("Qwen3")[0][:, prefilled:])


def test_transformers_own_loop_is_refused_padding_over_a_paged_cache():
    model = model_of("Llama")
    mask = mask_with_zeros("left, one sequence")
    with refused("padding"), attending(model):
        model.generate(IDS, attention_mask=mask, past_key_values=new_paged(model), **GREEDY)


def test_padding_in_another_cache_is_none_of_our_business():
    model, mask = model_of("Llama"), mask_with_zeros("left, one sequence")
    runs = []
    for implementation in ("eager", NAME):
        model.set_attn_implementation(implementation)
        runs.append(model.generate(IDS, attention_mask=mask, **GREEDY).tolist())
    model.set_attn_implementation("sdpa")
    assert runs[0] == runs[1]


@torch.no_grad()
def test_nor_is_it_after_a_pass_over_a_paged_cache_that_attended_otherwise():
    model, mask = model_of("Llama"), mask_with_zeros("left, one sequence")
    model(IDS, past_key_values=new_paged(model))
    with attending(model):
        got = model(IDS, attention_mask=mask, past_key_values=DynamicCache(config=model.config)).logits
    assert close(got[1], eager("Llama")[0][1])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mask_of_ones_is_no_padding(family):
    model, cache = model_of(family), new_paged(model_of(family))
    got = []
    with attending(model), torch.no_grad():
        for start, end in ((0, 11), (11, 12), (12, LENGTH)):
            mask = torch.ones(BATCH, end, dtype=torch.long)
            got.append(model(IDS[:, start:end], attention_mask=mask, past_key_values=cache).logits)
    assert close(torch.cat(got, dim=1), eager(family)[0])


@pytest.mark.parametrize("family", ["Llama", "Mistral with a window"])
def test_transformers_own_loop_with_a_mask_of_ones_says_the_same_over_both_caches(family):
    model = model_of(family)
    runs = []
    for make in (CACHES["DynamicCache"], new_paged):
        with attending(model):
            ids = model.generate(IDS, attention_mask=torch.ones_like(IDS), past_key_values=make(model), **GREEDY)
        runs.append(ids.tolist())
    assert runs[0] == runs[1]


def run_with_evictions(model, cache):
    compressor = Compressor(Random(), budget=6, interval=4, protect_recent=2)
    return generate(model, IDS[: len(cache.tables), :5], cache, compressor, max_new_tokens=20).tokens


@pytest.mark.parametrize("attended", [False, True])
@pytest.mark.parametrize(
    ("how", "sequences", "words"),
    [
        ({"num_beams": 2}, 2, ["PagedCache", "beam search"]),
        ({"prompt_lookup_num_tokens": 2}, 1, ["PagedCache", "cropped"]),
    ],
)
def test_beam_search_and_assisted_decoding_are_refused_and_the_cache_can_be_reset(how, sequences, words, attended):
    model = model_of("Llama")
    cache, ids = new_paged(model, sequences), IDS[:1, :3].repeat(1, 3)  # candidates are looked up in what repeats
    with refused(*words), attending(model) if attended else nullcontext():
        model.generate(ids, past_key_values=cache, **GREEDY, **how)
    assert model.config._attn_implementation == "sdpa"
    cache.pool.check_integrity(cache.tables)
    cache.reset()
    assert run_with_evictions(model, cache) == run_with_evictions(model, new_paged(model, sequences))


@pytest.mark.parametrize(
    "call", [lambda c: c.crop(2), lambda c: c.crop(-2), lambda c: c.reorder_cache(torch.tensor([1, 0]))]
)
def test_a_cache_asked_to_crop_or_reorder_goes_on_as_if_nothing_had_been_asked(call):
    model = model_of("Llama")
    caches = [new_paged(model) for _ in range(2)]
    for cache in caches:
        run_with_evictions(model, cache)
    with refused("PagedCache cannot be"):
        call(caches[0])
    assert caches[0].stats() == caches[1].stats()
    assert run_with_evictions(model, caches[0]) == run_with_evictions(model, caches[1])

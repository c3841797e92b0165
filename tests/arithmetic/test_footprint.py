"""The arithmetic against the published figures, and against the tensors of real caches."""

import json
import math
from dataclasses import replace
from functools import cache as memoize
from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, DynamicCache

from helpers.arithmetic import (
    CARDS,
    GB,
    KV_LAYOUTS,
    MODELS,
    GiB,
    KiB,
    KVShape,
    LayerKV,
    MemoryBudget,
    decode_ceiling,
    find_card,
    format_bytes,
    max_tokens,
    weights_bytes,
)
from helpers.arithmetic.layers import row_bytes
from helpers.measuring import layer_bytes, state_bytes
from tests.families import FAMILIES, VOCABULARY, WINDOW, build, plain


def shape_of(name):
    return KVShape.from_config(MODELS[name].config)


# --- Published figures and claims ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Llama-3.1-8B", 131_072),
        ("Llama-3.1-70B", 327_680),
        ("Llama-3.1-405B", 516_096),
        ("Qwen3-8B", 147_456),
        ("Qwen3-32B", 262_144),
        ("Qwen2.5-7B", 57_344),
        ("Llama-2-7B", 524_288),
        ("gpt-oss-120b", 73_728),
        # By hand. Gemma-3-27B: 62 layers x 2 x 16 heads x 128 x 2; DeepSeek-V3: 61 x (512 + 64) x 2; Qwen3-Next: its
        # 12 full layers x 2 x 2 heads x 256 x 2; gpt-oss-20b: 24 x 2 x 8 x 64 x 2; Qwen3-0.6B: 28 x 2 x 8 x 128 x 2.
        ("Gemma-3-27B", 507_904),
        ("DeepSeek-V3", 70_272),
        ("Qwen3-Next-80B", 24_576),
        ("gpt-oss-20b", 49_152),
        ("Qwen3-0.6B", 114_688),
        # Dense: layers x 2 x KV heads x head_dim x 2. Gemma-4-31B: 50 x 2 x 16 x 256 x 2 + 10 x 2 x 4 x 512 x 2; E4B:
        # its first 24 layers, 20 x 2 x 2 x 256 x 2 + 4 x 2 x 2 x 512 x 2.
        ("Llama-3.2-3B", 28 * 4 * 8 * 128),
        ("Qwen3-14B", 40 * 4 * 8 * 128),
        ("SmolLM3-3B", 36 * 4 * 4 * 128),
        ("Phi-4", 40 * 4 * 10 * 128),
        ("Mistral-7B-v0.3", 32 * 4 * 8 * 128),
        ("Ministral-3-8B", 34 * 4 * 8 * 128),
        ("Devstral-Small-2-24B", 40 * 4 * 8 * 128),
        ("Devstral-2-123B", 88 * 4 * 8 * 128),
        ("Gemma-4-31B", 901_120),
        ("Gemma-4-E4B", 57_344),
        ("Olmo-3.1-32B", 64 * 4 * 8 * 128),
        ("EXAONE-4.0-32B", 64 * 4 * 8 * 128),
        ("Muse-Glimmer-30B", 52 * 4 * 2 * 128),
        # Mixtures. Gemma-4-26B: 25 x 2 x 8 x 256 x 2 + 5 x 2 x 2 x 512 x 2; latent: layers x (512 + 64) x 2, and 128 x
        # 2 more for the index; V4: 43 x 512 x 2, 21 times 640 x 2 for 4 tokens, 20 times 512 x 2 for 128.
        ("Qwen3-30B-A3B-2507", 48 * 4 * 4 * 128),
        ("Qwen3-235B-A22B-2507", 94 * 4 * 4 * 128),
        ("Qwen3-Coder-480B-A35B", 62 * 4 * 8 * 128),
        ("Gemma-4-26B-A4B", 225_280),
        ("Llama-4-Scout", 48 * 4 * 8 * 128),
        ("GLM-4.7-Flash", 47 * 576 * 2),
        ("GLM-5.1", 78 * (576 + 128) * 2),
        ("DeepSeek-V3.2", 61 * (576 + 128) * 2),
        ("DeepSeek-V4-Flash", 43 * 1_024 + 21 * 1_280 // 4 + 20 * 1_024 // 128),
        ("Kimi-K2.6", 61 * 576 * 2),
        ("MiniMax-M2", 62 * 4 * 8 * 128),
        ("MiniMax-M3", 60 * 4 * 4 * 128 + 57 * 128 * 2),
        # Hybrids: the layers that keep rows alone.
        ("Qwen3.5-9B", 8 * 4 * 4 * 256),
        ("Qwen3.5-397B-A17B", 15 * 4 * 2 * 256),
        ("Qwen3.6-35B-A3B", 10 * 4 * 2 * 256),
        ("Qwen3.8-27B", 16 * 4 * 4 * 256),
        ("Nemotron-3.5-Lightning-30B-A3B", 6 * 4 * 2 * 128),
        ("Kimi-Linear-48B-A3B", 7 * 576 * 2),
        ("Granite-4.0-H-Small", 4 * 4 * 8 * 128),
        ("LFM2-1.2B", 6 * 4 * 8 * 64),
    ],
)
def test_fp16_bytes_per_token(name, expected):
    assert shape_of(name).bytes_per_token() == shape_of(name).bytes_per_token("bf16") == expected
    if name != "DeepSeek-V4-Flash":  # there the first token fills no shared row yet
        assert shape_of(name).bytes(1) == expected


def test_every_model_of_the_catalog_is_in_the_table_above():
    tabled = {case[0] for case in test_fp16_bytes_per_token.pytestmark[0].args[1]}
    assert tabled == set(MODELS)


def test_llama_2_13b_by_the_plain_case():
    assert KVShape(40, 40, 128).bytes_per_token() == 819_200


def test_qwen3_8b_at_the_lengths_of_the_paper():
    gib = [shape_of("Qwen3-8B").bytes(tokens) / GiB for tokens in (32_768, 3_072, 2_048)]
    assert [round(x, 2) for x in gib] == [4.5, 0.42, 0.28]


def test_gemma_3_keeps_only_its_ten_full_layers_growing():
    shape = shape_of("Gemma-3-27B")
    row = 2 * 16 * 128 * 2  # bytes of K and V, one token, one layer
    assert (shape.count("full"), shape.count("sliding")) == (10, 52)
    assert shape.bytes(131_072) == 10 * 131_072 * row + 52 * 1_023 * row


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        ((24 - 18.0) * GiB, 24_576),
        ((24 - 18.0 - 0.75) * GiB, 21_504),
        (24 * GB - 18.0 * GiB, 17_824),  # 17,824.7: the claims table rounds up to the first token that fails
    ],
    ids=["24 GiB", "less the overhead", "decimal 24 GB"],
)
def test_claim_a3_32b_on_a_24_gb_card(free, expected):
    shape = shape_of("Qwen3-32B")
    assert shape.bytes_per_token() == 256 * KiB
    assert max_tokens(free, shape) == expected


def test_claim_a14_12_000_tokens_kept():
    assert shape_of("Qwen3-32B").bytes(12_000) / GiB == pytest.approx(2.93, abs=0.005)


def test_claim_b1_70b_at_128k():
    assert shape_of("Llama-3.1-70B").bytes(131_072) == 40 * GiB == 42_949_672_960


def test_claim_b4_grouped_query_attention_saves_a_factor_8():
    ungrouped = KVShape.from_config(MODELS["Llama-3.1-70B"].config | {"num_key_value_heads": 64})
    assert ungrouped.bytes(131_072) == 8 * shape_of("Llama-3.1-70B").bytes(131_072) == 320 * GiB


def test_claim_b6_the_scales_are_counted():
    shape = KVShape(1, 1, 128)
    assert shape.bytes(1) / shape.bytes(1, kv_format="q8_0") == pytest.approx(1.88, abs=0.005)
    assert shape.bytes(1) / shape.bytes(1, kv_format="q4_0") == pytest.approx(3.56, abs=0.005)


@pytest.mark.parametrize(("kv_format", "expected"), [("fp16", 108_953), ("fp8_e4m3", 217_907), ("q8_0", 205_089)])
def test_claim_b7_34_gib_less_the_overhead(kv_format, expected):
    assert max_tokens((34 - 0.75) * GiB, shape_of("Llama-3.1-70B"), kv_format=kv_format) == expected


def test_claim_b10_four_agents_at_128k():
    need = shape_of("Llama-3.1-70B").bytes(131_072, sequences=4)
    assert need == 160 * GiB
    assert need > find_card("H200").memory


@pytest.mark.parametrize(
    ("card", "weights", "model", "tokens", "expected"),
    [
        ("M4 Max 128GB", 42.5, "Llama-3.1-70B", 0, 12.8),
        ("M4 Max 128GB", 42.5, "Llama-3.1-70B", 131_072, 6.4),
        ("Strix Halo 128GB", 42.5, "Llama-3.1-70B", 0, 6.0),
        ("Strix Halo 128GB", 42.5, "Llama-3.1-70B", 131_072, 3.0),
        ("H200", 42.5, "Llama-3.1-70B", 0, 112.9),
        ("H200", 42.5, "Llama-3.1-70B", 131_072, 56.2),
        ("RTX 4090", 19.8, "Qwen3-32B", 0, 50.9),
        ("RTX 4090", 19.8, "Qwen3-32B", 32_768, 35.5),
        ("M4 Max 128GB", 16.1, "Llama-3.1-8B", 0, 33.9),
        ("Strix Halo 128GB", 16.1, "Llama-3.1-8B", 0, 15.9),
    ],
)
def test_claim_b12_decode_ceilings(card, weights, model, tokens, expected):
    kv_bytes = shape_of(model).bytes(tokens)
    assert decode_ceiling(find_card(card).bandwidth, weights * GB, kv_bytes) == pytest.approx(expected, abs=0.051)


def test_claim_b12_both_fit_into_unified_memory():
    need = MemoryBudget(0.75 * GiB, 42.5 * GB, shape_of("Llama-3.1-70B").bytes(131_072)).total
    assert need < find_card("M4 Max 128GB").memory == find_card("Strix Halo 128GB").memory


def test_the_budget_adds_up():
    budget = MemoryBudget(overhead=1, weights=20, cache_per_sequence=300, sequences=4)
    assert (budget.cache, budget.total) == (1_200, 1_221)


@pytest.mark.parametrize(("name", "gigabytes"), [("Llama-3.1-70B", 42.5), ("Qwen3-32B", 19.8)])
def test_4_bit_weights_are_those_of_the_published_files(name, gigabytes):
    assert weights_bytes(MODELS[name].n_params, "q4_k_m") / GB == pytest.approx(gigabytes, rel=0.005)


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0 B"), (1_023, "1,023 B"), (43_008, "42.0 KiB"), (40 * GiB, "40.0 GiB"), (2_048 * GiB, "2,048.0 GiB")],
)
def test_bytes_as_people_read_them(n, text):
    assert format_bytes(n) == text


# --- The formula against the tensors of real caches ------------------------------------------------------------------
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
# Prefills shorter than, equal to, just beyond and well beyond the window; single steps lead the first one across it.
RUNS = {1: 2, 3: WINDOW, WINDOW - 1: 2, WINDOW: 1, WINDOW + 1: 1, 3 * WINDOW - 3: 3}


@memoize
def small_model(name, kv_format):
    return build(FAMILIES[name], DTYPES[kv_format])


def saved(config, kv_format):
    """The ``config.json`` of the small model in a published file's words, with the dtype that every file names."""
    dtype = {"dtype": str(DTYPES[kv_format]).removeprefix("torch.")}
    if "text_config" in config:
        return config | {"text_config": config["text_config"] | dtype}
    return config | dtype


@torch.inference_mode()
def caches_of_a_run(model, batch, prefill, steps):
    """Yields the tokens seen and the cache, after the prefill and after each single step."""
    cache = DynamicCache(config=model.config)
    for step in range(steps + 1):
        new = prefill if step == 0 else 1
        ids = torch.randint(3, VOCABULARY, (batch, new))
        model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        yield prefill + step, cache


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kv_format", DTYPES)
@pytest.mark.parametrize("name", FAMILIES)
def test_predicted_bytes_are_those_of_the_tensors(name, kv_format, batch):
    model = small_model(name, kv_format)
    shape = KVShape.from_config(model.config)
    for prefill, steps in RUNS.items():
        for tokens, cache in caches_of_a_run(model, batch, prefill, steps):
            by_layer = [batch * layer.rows(tokens) * layer.token_bytes(kv_format) for layer in shape.layers]
            assert by_layer == layer_bytes(cache), f"{tokens} tokens after a prefill of {prefill}"
            for layer, held in zip(shape.layers, cache.layers, strict=True):
                if layer.kind != "none":
                    rows = (batch, layer.n_kv_heads, layer.rows(tokens))
                    assert (held.keys.shape, held.values.shape) == ((*rows, layer.k_dim), (*rows, layer.v_dim))
            assert shape.bytes(tokens, batch, kv_format) == sum(layer_bytes(cache))
            assert batch * shape.fixed_bytes == state_bytes(cache)


def test_the_measured_cache_is_not_empty():
    for _, cache in caches_of_a_run(small_model("Qwen3-Next-80B", "fp32"), 1, 5, 0):
        assert [size > 0 for size in layer_bytes(cache)] == [False, False, False, True] * 2
        assert state_bytes(cache) > 0


@pytest.mark.parametrize("name", FAMILIES)
def test_the_published_file_the_saved_file_and_the_object_give_one_shape(name, tmp_path):
    for kv_format in DTYPES:
        config = small_model(name, kv_format).config
        shape = KVShape.from_config(config)
        assert KVShape.from_config(config.to_diff_dict()) == shape
        config.save_pretrained(tmp_path)
        assert KVShape.from_config(tmp_path) == KVShape.from_config(tmp_path / "config.json") == shape
        published = saved(FAMILIES[name], kv_format)
        assert KVShape.from_config(published) == shape
        (tmp_path / "config.json").write_text(json.dumps(published))
        assert KVShape.from_config(str(tmp_path)) == shape


# transformers' own cache classes say which layer keeps what; reading them needs no weights.
def kinds_in_transformers(config):
    """Per layer: ``full``, ``none``, the window, or the name of another class."""
    plain_kinds = {"DynamicLayer": "full", "DynamicIndexedLayer": "full", "LinearAttentionLayer": "none"}
    plain_kinds |= {"DummyLayer": "none", "MiniMaxM3VLSparseCacheLayer": "full"}
    text = config.get_text_config(decoder=True)
    import_module(type(text).__module__.replace(".configuration_", ".modeling_"))  # it registers layers of its own
    layers = DynamicCache(config=text).layers
    named = ((layer, type(layer).__name__) for layer in layers)
    return [getattr(layer, "sliding_window", plain_kinds.get(name, name)) for layer, name in named]


def kinds_in_footprint(shape):
    named = {"full": "full", "latent": "full", "none": "none", "shared": "none"}
    return [layer.window if layer.kind == "sliding" else named[layer.kind] for layer in shape.layers]


def read_or_refuse(config):
    """The shape, or None if it was refused in one line."""
    try:
        return KVShape.from_config(config)
    except ValueError as error:
        assert "\n" not in str(error)
        return None


@pytest.mark.parametrize("name", MODELS)
def test_the_full_size_catalog_is_read_as_transformers_reads_it(name):
    published = MODELS[name].config
    model_type = {"kimi_k2": "deepseek_v3"}.get(published["model_type"], published["model_type"])
    config = AutoConfig.for_model(**published | {"model_type": model_type})
    assert kinds_in_footprint(shape_of(name)) == kinds_in_transformers(config)
    assert KVShape.from_config(config) == shape_of(name)


@pytest.mark.parametrize(
    "config",
    [
        plain("qwen2", sliding_window=WINDOW),  # not in use
        plain("qwen2", use_sliding_window=True, sliding_window=WINDOW),  # in use from layer 28 on
        plain("qwen3"),  # head_dim 128, not hidden_size / num_attention_heads
        plain("gpt_oss", head_dim=16),  # a window of 128
        plain("mistral", head_dim=16),  # a window of 4,096
        plain("gemma3_text", head_dim=16, num_hidden_layers=7),  # a window of 4,096
        plain("cohere2", num_hidden_layers=5, sliding_window=WINDOW),  # every fourth layer full
        {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "sliding_window": 1024}},  # Gemma-3-4B
    ],
    ids=lambda config: f"{config['model_type']} of {len(config)} fields",
)
def test_what_a_file_leaves_out_is_filled_in_as_transformers_does_or_the_file_is_refused(config):
    shape = read_or_refuse(config)
    assert shape is None or shape == KVShape.from_config(AutoConfig.for_model(**config))


# --- Properties ------------------------------------------------------------------------------------------------------
FORMATS = st.one_of(
    st.sampled_from(sorted(KV_LAYOUTS)), st.tuples(*[st.sampled_from(sorted(KV_LAYOUTS))] * 2)
)  # one name, or a pair for K and V
HEADS, DIMS = st.integers(1, 8), st.sampled_from([32, 64, 128])
LAYERS = {
    "full": st.builds(LayerKV, st.just("full"), HEADS, DIMS, DIMS),
    "latent": st.builds(LayerKV, st.just("latent"), st.just(1), DIMS, DIMS),
    "sliding": st.builds(LayerKV, st.just("sliding"), HEADS, DIMS, DIMS, st.integers(2, 300)),
    "none": st.builds(LayerKV, st.just("none"), HEADS, DIMS, DIMS),
    "shared": st.just(LayerKV("shared", 0, 0, 0)),
    "indexed": st.builds(LayerKV, st.just("latent"), st.just(1), DIMS, DIMS, st.none(), DIMS),
    "one row for several tokens": st.builds(
        LayerKV, st.just("sliding"), st.just(1), DIMS, st.just(0), st.integers(2, 300), DIMS, st.integers(2, 40)
    ),
}


ANY_SHAPE = st.builds(
    lambda layers, fixed_bytes: KVShape(len(layers), 1, 32, tuple(layers), fixed_bytes),
    st.lists(st.one_of(list(LAYERS.values())), min_size=1, max_size=5),
    st.integers(0, 10_000),
)
TOKENS, SEQUENCES = st.integers(0, 2_000), st.integers(1, 40)
fast = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@fast
@given(ANY_SHAPE, TOKENS, SEQUENCES, FORMATS)
def test_bytes_are_linear_in_sequences(shape, tokens, sequences, kv_format):
    assert shape.bytes(tokens, sequences, kv_format) == sequences * shape.bytes(tokens, 1, kv_format)


@fast
@given(ANY_SHAPE, TOKENS, FORMATS)
def test_one_more_token_never_shrinks_the_cache(shape, tokens, kv_format):
    step = shape.bytes(tokens + 1, kv_format=kv_format) - shape.bytes(tokens, kv_format=kv_format)
    rows = sum(layer.token_bytes(kv_format) + layer.shared_row_bytes(kv_format) for layer in shape.layers)
    assert 0 <= step <= rows
    assert shape.bytes_per_token(kv_format) <= rows


@fast
@given(ANY_SHAPE, st.data(), FORMATS)
def test_bytes_per_token_is_the_step_while_every_layer_grows(shape, data, kv_format):
    shape = replace(shape, layers=tuple(replace(layer, window=layer.window and 2_000_000) for layer in shape.layers))
    tokens, together = data.draw(st.integers(0, 100)), math.lcm(*(layer.stride or 1 for layer in shape.layers))
    step = shape.bytes(tokens + together, kv_format=kv_format) - shape.bytes(tokens, kv_format=kv_format)
    assert step == pytest.approx(together * shape.bytes_per_token(kv_format))


def test_a_pair_names_the_format_of_k_then_of_v():
    shape = KVShape(1, 1, 96, (LayerKV("latent", 1, 64, 32),))
    assert shape.bytes(1, kv_format=("q8_0", "fp16")) == 2 * 34 + 32 * 2
    assert shape.bytes(1, kv_format=("fp16", "q8_0")) == 64 * 2 + 34


def test_index_rows_are_in_k_s_format_unless_a_third_is_named():
    shape = KVShape(1, 1, 96, (LayerKV("latent", 1, 64, 32, index_dim=16),))
    assert shape.bytes_per_token() == (64 + 32 + 16) * 2
    assert shape.bytes_per_token(("fp8_e4m3", "fp16")) == 64 + 32 * 2 + 16
    assert shape.bytes_per_token(("fp16", "fp16", "fp8_e4m3")) == (64 + 32) * 2 + 16
    with pytest.raises(ValueError, match="one name or a pair, .* or three"):
        shape.bytes_per_token(("fp16",) * 4)


def test_whole_numbers_of_numpy_count_too():
    tokens = np.arange(4)
    assert [KVShape(1, 1, 32).bytes(t) for t in tokens] == [0, 128, 256, 384]


# Whole bytes and fractions, from less than a single token to far beyond every window.
FREE = st.one_of(st.integers(-1_000, 10**10), st.floats(-1_000, 1e12, allow_nan=False))


@fast
@given(ANY_SHAPE, FREE, SEQUENCES, FORMATS)
@example(KVShape(1, 1, 32), 0, 1, "fp16")
@example(KVShape(1, 1, 32), 127, 1, "fp16")
@example(KVShape(1, 1, 32), 128, 1, "fp16")
@example(KVShape(1, 1, 32, fixed_bytes=1), 128, 1, "fp16")
@example(KVShape(2, 1, 32, (LayerKV("sliding", 1, 32, 32, 2), LayerKV("sliding", 1, 32, 32, 300))), 12_928, 1, "fp16")
@example(KVShape(1, 1, 32, (LayerKV("sliding", 1, 32, 32, window=2),)), 127, 1, "fp16")
@example(KVShape(1, 1, 32, (LayerKV("sliding", 1, 32, 32, window=2),)), 128, 1, "fp16")
def test_max_tokens_is_exact(shape, free, sequences, kv_format):
    found = max_tokens(free, shape, sequences, kv_format)
    left = free - sequences * shape.fixed_bytes
    grows = any(layer.kind in ("full", "latent") or layer.stride for layer in shape.layers)
    held_at_most = shape.bytes(10_000, sequences, kv_format)  # beyond every window
    assert (found == math.inf) == (not grows and held_at_most <= left)
    if found == 0:
        assert left < shape.bytes(1, sequences, kv_format)
    elif found != math.inf:
        assert isinstance(found, int)
        assert shape.bytes(found, sequences, kv_format) <= left < shape.bytes(found + 1, sequences, kv_format)


@fast
@given(
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(sorted(CARDS)),
    SEQUENCES,
    st.sampled_from(["fp16", "q8_0", "q4_0"]),
)
def test_max_tokens_is_exact_on_the_catalog(name, card, sequences, kv_format):
    free = find_card(card).memory - 0.75 * GiB - weights_bytes(MODELS[name].n_params, "q4_k_m")
    shape = shape_of(name)
    found, left = max_tokens(free, shape, sequences, kv_format), free - sequences * shape.fixed_bytes
    assert left < shape.bytes(found + 1, sequences, kv_format)
    assert found == 0 or shape.bytes(found, sequences, kv_format) <= left


def test_recurrent_state_comes_off_first():
    shape = shape_of("Qwen3-Next-80B")
    free = 10 * GiB
    assert shape.fixed_bytes > 0
    assert max_tokens(free, shape, sequences=5) == (free - 5 * shape.fixed_bytes) // (5 * shape.bytes_per_token())


# --- Errors: one line each, with the argument, the value and what it may be ------------------------------------------
PLAIN = KVShape(2, 2, 32)
NO_KV_HEADS = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: KVShape(0, 8, 128), ["n_layers", "0", "1 or more"]),
        (lambda: KVShape(32, -8, 128), ["n_kv_heads", "-8", "1 or more"]),
        (lambda: KVShape(32, 8, 128.0), ["head_dim", "128.0", "whole number"]),
        (lambda: KVShape(3, 8, 128, PLAIN.layers), ["layers", "2", "n_layers", "3"]),
        (lambda: PLAIN.bytes(-1), ["tokens", "-1", "0 or more"]),
        (lambda: PLAIN.bytes(1.5), ["tokens", "1.5", "whole number"]),
        (lambda: PLAIN.bytes(1, sequences=-1), ["sequences", "-1", "0 or more"]),
        (lambda: PLAIN.bytes(1, kv_format="q3"), ["kv_format", "'q3'", *KV_LAYOUTS]),
        (lambda: PLAIN.bytes(1, kv_format=("fp16", "q3")), ["kv_format", "'q3'", *KV_LAYOUTS]),
        (lambda: PLAIN.bytes(1, kv_format=("fp16", "q8_0", "q4_0")), ["kv_format", "q4_0"]),
        (lambda: PLAIN.bytes(1, kv_format=None), ["kv_format", "None", *KV_LAYOUTS]),
        (lambda: PLAIN.bytes_per_token("int8"), ["kv_format", "'int8'", *KV_LAYOUTS]),
        (lambda: row_bytes(24, "q8_0"), ["q8_0", "24", "32"]),
        (lambda: KVShape(2, 2, 24).bytes(1, kv_format="q4_0"), ["q4_0", "24", "32"]),
        (lambda: max_tokens(GiB, PLAIN, sequences=0), ["sequences", "0", "1 or more"]),
        (lambda: max_tokens(GiB, PLAIN, kv_format="q3"), ["kv_format", "'q3'", *KV_LAYOUTS]),
        (lambda: MemoryBudget(-1, 0, 0), ["overhead", "-1", "0 or more"]),
        (lambda: MemoryBudget(0, 0, 0, sequences=-2), ["sequences", "-2", "0 or more"]),
        (lambda: weights_bytes(10, "q9"), ["weight_format", "'q9'", "q4_k_m", "bf16"]),
        (lambda: decode_ceiling(0, 1, 1), ["bandwidth", "0", "above 0"]),
        (lambda: decode_ceiling(1, 0, 0), ["weights", "kv_bytes", "0", "above 0"]),
        (lambda: KVShape.from_config({}), ["config", "num_hidden_layers"]),
        (lambda: KVShape.from_config(NO_KV_HEADS), ["config", "llama", "num_attention_heads"]),
        (lambda: KVShape.from_config("no/such/folder"), ["config", "no/such/folder", "no such file"]),
        (lambda: KVShape.from_config(plain("llama", layer_types=["mamba"] * 3)), ["mamba", "full_attention"]),
        (
            lambda: KVShape.from_config(plain("llama", layer_types=["full_attention"] * 2)),
            ["layer_types", "2", "num_hidden_layers", "3"],
        ),
        (
            lambda: KVShape.from_config(plain("llama", layer_types=["sliding_attention"] * 3)),
            ["config", "llama", "sliding_window"],
        ),
    ],
)
def test_errors_say_which_argument_what_it_was_and_what_it_may_be(call, words):
    with pytest.raises(ValueError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == []

"""A plan's bands, its drafts, and what a step of decoding reads of the caches, against definitions written naively."""

import itertools
import random
from dataclasses import replace

import pytest

from helpers.arithmetic import MODELS, GiB, KVShape, Plan, bytes_of_agents, find_model, weights_bytes
from helpers.arithmetic.drafting import predicting_shape, tokens_per_pass
from helpers.arithmetic.experts import read_experts, weights_read
from helpers.arithmetic.footprint import format_band
from helpers.arithmetic.layers import row_bytes
from helpers.arithmetic.plan import FITS, OVERHEAD, PERHAPS, TOO_LARGE
from helpers.arithmetic.plan_report import report
from helpers.arithmetic.reading import cache_read
from tests.arithmetic.public_configs import PUBLIC, V4_FLASH
from tests.arithmetic.test_public_configs import config_of, named

WITH_LAYERS = replace(MODELS["DeepSeek-V3"], config=MODELS["DeepSeek-V3"].config | {"num_nextn_predict_layers": 1})


# --- What is read of the caches --------------------------------------------------------------------------------------
@pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.name)
def test_what_is_read_is_what_is_held_where_attention_is_dense_and_no_layer_shares(public):
    shape = KVShape.from_config(config_of(public))
    for tokens, sequences in ((0, 1), (100, 1), (9_000, 3)):
        held = shape.bytes(tokens, sequences) + sequences * shape.fixed_bytes
        read = cache_read(shape, tokens, sequences)
        sparse = any(layer.reads for layer in shape.layers)
        shared = any(layer.source is not None for layer in shape.layers)
        assert read == held or (sparse and read < held) or (shared and read > held)


def test_sparse_attention_reads_every_index_row_and_the_rows_that_they_pick():
    shape, tokens = named("DeepSeek-V3.2"), 100_000
    assert cache_read(shape, tokens) == 61 * (tokens * 128 + 2_048 * 576) * 2
    assert cache_read(shape, 2_048) == shape.bytes(2_048)
    m3 = named("MiniMax-M3")  # 3 dense layers; the others read 16 blocks of 128
    assert cache_read(m3, tokens) == 3 * tokens * 2_048 + 57 * (tokens * 256 + 2_048 * 2_048)
    flash = KVShape.from_config(V4_FLASH)  # 21 layers pick 512 of the rows that 4 tokens share, 20 read all of 128's
    picked = 21 * (tokens // 4 * 256 + 512 * 1_024) + 20 * (tokens // 128) * 1_024
    assert cache_read(flash, tokens) == 43 * 127 * 1_024 + picked + flash.fixed_bytes


def test_a_layer_that_shares_reads_the_rows_of_the_layer_that_keeps_them():
    shape = named("Gemma-3n-E4B")
    assert {layer.kind for layer in shape.layers[20:]} == {"shared"}
    read = sum(
        layer.bytes(5_000) if layer.source is None else shape.layers[layer.source].bytes(5_000)
        for layer in shape.layers
    )
    assert cache_read(shape, 5_000) == read > shape.bytes(5_000)
    for layer in shape.layers[20:]:
        assert shape.layers[layer.source].kind == {18: "sliding", 19: "full"}[layer.source]


@pytest.mark.parametrize("name", ["Qwen3-8B", "gpt-oss-20b", "DeepSeek-V3", "Qwen3-Next-80B"])
def test_cascade_attention_reads_what_is_held(name):
    shape = KVShape.from_config(MODELS[name].config)
    for tokens, sequences, prefix in itertools.product((1_000, 9_000), (1, 5), (0, 64, 1_000)):
        once = cache_read(shape, tokens, sequences, "q8_0", read_once=prefix)
        assert once == bytes_of_agents(shape, tokens, sequences, prefix, "q8_0")


def test_sparse_attention_has_nothing_to_read_once():
    shape = named("DeepSeek-V3.2")
    assert cache_read(shape, 9_000, 4, read_once=8_000) == cache_read(shape, 9_000, 4)


def test_a_prefix_longer_than_the_text_is_refused():
    with pytest.raises(ValueError, match="read_once is 11; it must be at most tokens, 10"):
        cache_read(named("DeepSeek-V3.2"), 10, read_once=11)


# --- Speed -----------------------------------------------------------------------------------------------------------
def test_the_speed_is_bandwidth_over_what_is_read():
    plan = Plan("gpt-oss-120b", "mxfp4", "H200", "fp16", 8_192, 6, 4_096)
    mean, model = weights_bytes(1, "mxfp4"), MODELS["gpt-oss-120b"]
    for cascade, same in itertools.product((False, True), repeat=2):
        weights = mean * weights_read(model, 1 if same else 6)
        rows = cache_read(plan.shape, 8_192, 6, read_once=4_096 if cascade else 0)
        speed = plan.speed(8_192, cascade=cascade, same_experts=same)
        assert speed == pytest.approx(4.8e12 / (weights + rows))


def test_the_union_of_chosen_experts_lies_between_the_two_bounds():
    experts, chance = read_experts(MODELS["gpt-oss-120b"].config), random.Random(0)
    for tokens in (1, 2, 6, 40):
        chosen = {e for _ in range(tokens) for e in chance.sample(range(experts.total), experts.chosen)}
        read = experts.layers * experts.size * len(chosen)
        every = experts.layers * experts.size * experts.total
        assert every - experts.idle(1) <= read <= every - experts.idle(tokens)


# --- Drafts ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("n", "a"), [(0, 0.9), (1, 0.5), (4, 0.7), (7, 0.0), (3, 1.0)])
def test_tokens_of_a_pass_are_those_of_many_passes_and_of_the_closed_form(n, a):
    chance, passes = random.Random(1), 40_000
    made = sum(1 + len([*itertools.takewhile(lambda _: chance.random() < a, range(n))]) for _ in range(passes))
    assert tokens_per_pass(n, a) == pytest.approx(made / passes, rel=0.02)
    closed = n + 1 if a == 1 else (1 - a ** (n + 1)) / (1 - a)
    assert tokens_per_pass(n, a) == pytest.approx(closed)


def test_layers_that_predict_keep_rows_of_their_own():
    assert predicting_shape(MODELS["DeepSeek-V3"].config) is None
    assert predicting_shape(WITH_LAYERS.config).bytes(1_000) == 1_000 * 576 * 2
    plan, plain = (Plan(WITH_LAYERS, "fp8", "B200", context=1_000, draft_tokens=n, sequences=2) for n in (3, 0))
    assert plan.cache - plain.cache == 2 * 1_000 * 576 * 2


def test_llama_cpp_s_logged_mtp_cache_and_states_of_qwen_3_8():
    """Logged: 1024.00 MiB for the draft's rows at 262,144 tokens; with 2 and 3 drafted tokens 3 and 4 states."""
    config = next(public.fields for public in PUBLIC if public.name == "Qwen3.8-27B")
    shape = KVShape.from_config(config)
    assert predicting_shape(config | {"mtp_num_hidden_layers": 1}).bytes(262_144) == GiB
    model = replace(MODELS["Qwen3-8B"], config=config | {"vocab_size": 248_320, "tie_word_embeddings": False})
    plan, plain = (Plan(model, "q8_0", "H200", draft_tokens=n) for n in (3, 0))
    assert plan.cache - plain.cache == 3 * shape.fixed_bytes


def test_a_model_that_drafts_is_read_once_for_every_token_it_drafts():
    card, context = "H200", 4_096
    plan = Plan("Qwen3-32B", "bf16", card, context=context, second_model="Qwen3-0.6B", draft_tokens=4, acceptance=0.8)
    alone, helper = Plan("Qwen3-32B", "bf16", card), Plan("Qwen3-0.6B", "q4_k_m", card)
    seconds = 1 / alone.speed(context) + 4 / helper.speed(context)
    assert plan.speed(context) == pytest.approx((1 - 0.8**5) / (1 - 0.8) / seconds)
    assert plan.speed(context) > alone.speed(context)


def test_a_pass_that_checks_drafts_reads_more_experts():
    plan = Plan("gpt-oss-120b", "mxfp4", "H200", draft_tokens=3, acceptance=0.0)
    assert plan.speed(0) < Plan("gpt-oss-120b", "mxfp4", "H200").speed(0)
    assert plan.speed(0, same_experts=True) == Plan("gpt-oss-120b", "mxfp4", "H200").speed(0)


def test_a_second_model_that_drafts_has_a_cache_for_each_sequence():
    rows = KVShape.from_config(MODELS["Qwen3-0.6B"].config).bytes(4_096)
    drafts, beside = (
        Plan("Qwen3-8B", "q8_0", "H200", context=4_096, sequences=3, second_model="Qwen3-0.6B", draft_tokens=n)
        for n in (2, 0)
    )
    assert drafts.second - beside.second == 2 * rows


# --- The overhead as a band ------------------------------------------------------------------------------------------
def test_every_answer_that_depends_on_the_overhead_is_a_band():
    plan = Plan("Qwen3-32B", "q4_k_m", "RTX 4090", "q8_0", 32_768)
    points = [Plan("Qwen3-32B", "q4_k_m", "RTX 4090", "q8_0", 32_768, overhead=size) for size in plan.overhead]
    assert plan.overhead == OVERHEAD and plan.fit == PERHAPS
    assert [point.fit for point in points] == [FITS, TOO_LARGE]
    assert plan.spare == (points[1].spare[0], points[0].spare[0])
    assert plan.room == (points[1].room[0], points[0].room[0])
    assert [b.total for b in plan.budgets] == [p.budgets[0].total for p in points]
    for point in points:
        assert point.spare[0] == point.spare[1] and point.room[0] == point.room[1]
    assert "fits only if the overhead is small" in plan.verdict and f"{plan.room[1]:,} tokens" in report(plan)


@pytest.mark.parametrize("overhead", [-1, (2, 1), (1, 2, 3), (-1, 2)])
def test_an_overhead_out_of_range_is_refused(overhead):
    with pytest.raises(ValueError, match="^overhead is .*; it must be bytes, or a pair"):
        Plan("Qwen3-8B", "q4_0", "L4", overhead=overhead)


@pytest.mark.parametrize(("change", "words"), [({"draft_tokens": -1}, "draft_tokens"), ({"acceptance": 2}, "share")])
def test_drafts_out_of_range_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Plan("Qwen3-8B", "q4_0", "L4", **change)


def test_a_band_is_written_in_one_unit_where_it_can_be():
    assert format_band(0.5 * GiB, 1.5 * GiB) == "0.5 to 1.5 GiB"
    assert format_band(91 * 2**20, 1.1 * GiB) == "91.0 MiB to 1.1 GiB"
    assert format_band(GiB, GiB) == "1.0 GiB" and format_band(3, 500) == "3 B to 500 B"


# --- The page --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (Plan("gpt-oss-120b", "mxfp4", "H200", sequences=4), "if all chose the same, at most"),
        (Plan("gpt-oss-120b", "mxfp4", "H200"), "4 of 128 experts in a layer, and reads 5.1 of 116.8 billion"),
        (Plan("Qwen3-8B", "bf16", "H200", sequences=4, shared_prefix=64), "with cascade attention"),
        (Plan("Qwen3-8B", "bf16", "H200", draft_tokens=2), "a pass gives 2.19 tokens on average"),
    ],
)
def test_the_page_says_what_its_speed_depends_on(plan, words):
    assert words in report(plan) and words not in report(Plan("Qwen3-8B", "bf16", "H200"))


def test_the_page_says_where_attention_is_sparse():
    config = config_of(next(public for public in PUBLIC if public.name == "GLM-5"))
    model = replace(find_model("DeepSeek-V3"), name="GLM-5", config=config, n_params=755 * 10**9)
    assert "by them at most 2,048 rows" in report(Plan(model, "fp8", "B200"))


def test_rows_are_read_in_their_format():
    shape = KVShape.from_config(MODELS["Qwen3-8B"].config)
    assert cache_read(shape, 10, 1, "q4_0") == 36 * 8 * 10 * 2 * row_bytes(128, "q4_0")

"""Published configs and the rows of the list of faults, against figures worked out by hand or printed by an engine."""

import pytest

from helpers.arithmetic import MODELS, GiB, KVShape, MiB
from tests.arithmetic.public_configs import CLASS, PUBLIC
from tests.arithmetic.small_configs import text_classes

B = {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 16, "hidden_size": 128}


def config_of(public):
    """The fields of a published model, as far as they decide the cache."""
    if isinstance(public.fields, dict):
        return public.fields | public.extra
    return text_classes()[public.fields](**{"dtype": "bfloat16", **public.extra}).to_dict()


@pytest.mark.parametrize("public", PUBLIC, ids=lambda public: public.name)
def test_a_published_model_costs_what_it_costs_by_hand(public):
    shape = KVShape.from_config(config_of(public))
    assert (shape.bytes_per_token(), shape.fixed_bytes) == (public.per_token, public.state)


def test_there_are_many_and_of_many_families():
    families = {p.fields if isinstance(p.fields, str) else p.fields["model_type"] for p in PUBLIC}
    assert len(PUBLIC) >= 60 and len(families) >= 50 and {p.source == CLASS for p in PUBLIC} == {True, False}


def named(name):
    return KVShape.from_config(config_of(next(public for public in PUBLIC if public.name == name)))


def test_figures_that_engines_and_their_makers_printed():
    million = 1_048_576
    assert round(named("DeepSeek-V4-Pro").bytes(million) / GiB, 2) == pytest.approx(
        9.62, abs=0.01
    )  # window left out there
    assert round(named("DeepSeek-V3.2").bytes(million) / GiB, 1) == 83.9
    assert round(named("Gemma-4-31B").bytes(131_072) / MiB) == 11_039
    qwen = named("Qwen3.8-27B")
    assert [qwen.bytes(262_144, kv_format=name) / MiB for name in ("fp16", "q8_0")] == [16_384, 8_704]
    assert qwen.bytes(8_192, kv_format="q4_0") / MiB == 144


@pytest.mark.parametrize(
    "public", [public for public in PUBLIC if public.name in MODELS], ids=lambda public: public.name
)
def test_the_catalog_s_row_costs_the_same(public):
    shape = KVShape.from_config(MODELS[public.name].config)
    assert (shape.bytes_per_token(), shape.fixed_bytes) == (public.per_token, public.state)


def test_many_rows_of_the_catalog_are_held_so():
    assert len({public.name for public in PUBLIC} & {*MODELS}) >= 15


# One full layer of B costs 128 bytes per token in 16 bits.
MADE_OF_B = [
    ("minimax_m1", 4, {"attn_type_list": [0, 0, 0, 1]}, 128),
    ("lfm2", 4, {"full_attn_idxs": [2]}, 128),
    ("bailing_moe_linear", 4, {"layer_group_size": 4}, 128),
    ("minicpm_sala", 4, {"mixer_types": ["minicpm4", "lightning-attn", "lightning-attn", "lightning-attn"]}, 128),
    ("hunyuan", 2, {"use_cla": True, "cla_share_factor": 2}, 128),
    ("minimax_m3", 2, {"sparse_attention_config": {"sparse_attention_freq": [0, 1], "sparse_index_dim": 16}}, 288),
    ("step3p5", 1, {"num_key_value_heads": None, "num_attention_groups": 2}, 128),
    ("chatglm", 1, {"num_key_value_heads": None, "head_dim": None, "multi_query_group_num": 2, "kv_channels": 16}, 128),
    ("falcon", 1, {"num_key_value_heads": None, "head_dim": None, "multi_query": True}, 64),
    ("jetmoe", 1, {"head_dim": None, "kv_channels": 32}, 256),
]


@pytest.mark.parametrize(("model_type", "n_layers", "fields", "right"), MADE_OF_B, ids=lambda value: str(value)[:40])
def test_what_the_first_edition_counted_wrongly(model_type, n_layers, fields, right):
    merged = {"model_type": model_type, "num_hidden_layers": n_layers} | B | fields
    given = {name: value for name, value in merged.items() if value is not None}
    assert KVShape.from_config(given).bytes_per_token() == right


def test_layers_that_attend_to_an_image_keep_nothing_of_the_text():
    text = {"num_hidden_layers": 2, "cross_attention_layers": [1]} | B
    assert KVShape.from_config({"model_type": "mllama", "text_config": text}).bytes_per_token() == 128


def test_leftovers_of_another_kind_are_no_layers():
    left = {"mamba_n_heads": 48, "mamba_d_state": 128, "mamba_d_conv": 4, "layer_types": ["attention"] * 40}
    sizes = {"num_hidden_layers": 40, "num_attention_heads": 16, "num_key_value_heads": 4, "hidden_size": 2048}
    shape = KVShape.from_config({"model_type": "granitemoehybrid"} | sizes | left)
    assert (shape.bytes_per_token(), shape.fixed_bytes) == (81_920, 0)


def test_rows_that_differ_by_layer_as_transformers_saves_them():
    sizes = {
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 16,
        "hidden_size": 64,
    }
    kinds = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
    changed = {"per_layer_config": {"1": {"head_dim": 32, "num_key_value_heads": 1}}}
    assert KVShape.from_config({"model_type": "gemma4_text"} | sizes | kinds | changed).bytes_per_token() == 384


def test_blocks_that_attend_and_blocks_that_do_not():
    blocks = [{"attention": {"n_heads_in_group": 4, "no_op": False}}, {"attention": {"no_op": True}}]
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": None, "hidden_size": 512}
    assert KVShape.from_config({"model_type": "nemotron-nas", "block_configs": blocks} | sizes).bytes_per_token() == 512
    kept = [{"attention": {"n_heads_in_group": 8, "no_op": False}}] * 49 + [{"attention": {"no_op": True}}] * 31
    super_49 = {"num_hidden_layers": 80, "num_attention_heads": 64, "hidden_size": 8192, "block_configs": kept}
    assert KVShape.from_config({"model_type": "nemotron-nas"} | super_49).bytes_per_token() == 200_704


def test_a_hint_of_a_dtype_is_no_layer():
    hinted = named("Qwen3.6-35B-A3B")
    config = config_of(next(public for public in PUBLIC if public.name == "Qwen3.6-35B-A3B"))
    del config["mamba_ssm_dtype"]
    assert KVShape.from_config(config) == hinted
    halved = KVShape.from_config(config | {"mamba_ssm_dtype": "bfloat16"})
    assert hinted.fixed_bytes - halved.fixed_bytes == 30 * 32 * 128 * 128 * 2


@pytest.mark.parametrize("place", ["text_config", "llm_config", "thinker_config", "language_config"])
def test_a_language_model_is_found_where_its_file_keeps_it(place):
    inner = {"model_type": "llama", "num_hidden_layers": 3} | B
    assert KVShape.from_config({"model_type": "seeing", place: inner}).bytes_per_token() == 3 * 128
    assert KVShape.from_config({"model_type": "seeing", place: {"text_config": inner}}).bytes_per_token() == 3 * 128

"""The register of families against transformers: its config classes, and what its models' own caches hold."""

import json
import random

import pytest
import torch
from transformers import DynamicCache, logging
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.minimax.modeling_minimax import MiniMaxCache

from helpers.arithmetic import KVShape
from helpers.arithmetic.families import FAMILIES, REFUSED
from tests.arithmetic.small_configs import (
    CLASSES,
    VOCABULARY,
    build,
    cache_after,
    config_of,
    model_class,
    small,
    text_classes,
)

logging.set_verbosity_error()
KNOWN = sorted(set(FAMILIES) & set(text_classes()))
# What transformers 5.23 does not run with a small text alone, for reasons of its own.
NOT_RUN = {
    "chameleon": "its configuration needs a vocabulary map of images",
    "cohere_compass_text": "its rotary embedding needs parameters of the whole model",
    "dbrx": "its attention_config has no rope_theta",
    "deepseek_ocr2_text": "its rotary embedding needs parameters of the whole model",
    "ernie4_5_vl_moe_text": "its experts need the types of tokens",
    "hunyuan_vl_text": "its rotary embedding needs positions of an image",
    "minimax": "it has a cache of its own, tested below",
}


def read_or_refuse(config):
    """The shape, or the error's one line."""
    try:
        return KVShape.from_config(config)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
        return str(error)


def saved_forms(config, folder):
    """What is read from the object, from its saved file and from its saved folder."""
    config.save_pretrained(folder)
    return [read_or_refuse(form) for form in (config, folder / "config.json", str(folder))]


def rows_held(layer):
    """Bytes of the rows in a layer of transformers' cache; one tensor under two names once."""
    named = [getattr(layer, name, None) for name in ("keys", "values", "indexer_keys", "idx_keys")]
    named += getattr(layer, "compressed_kv", {}).values()
    return sum({t.data_ptr(): t.nbytes for t in named if t is not None and t.nbytes}.values())


def state_held(layer):
    """Bytes of its recurrent and convolution states."""
    states = [t for name in ("conv_states", "recurrent_states") for t in getattr(layer, name, {}).values()]
    return sum(t.nbytes for t in states if t is not None)


# --- Three forms, one answer -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_read_the_same_as_an_object_and_as_saved_or_refused_in_the_same_words(name, tmp_path):
    if name == "gemma4_assistant":
        pytest.skip("it has no configuration without arguments")
    config = CONFIG_MAPPING[name]()
    read, *saved = saved_forms(config, tmp_path)
    assert saved == [read, read]
    published = read_or_refuse(config.to_diff_dict())  # only what differs from the class: nearly nothing
    assert isinstance(published, str) or published == read
    if not isinstance(read, str):
        assert kinds_in_register(read) == kinds_in_transformers(config)


def kinds_in_transformers(config):
    """Per layer ``full``, ``none`` or the window, by the layers of transformers' cache."""
    model_class(config.get_text_config(decoder=True))  # some register layers of their own
    layers = DynamicCache(config=config).layers
    window = [getattr(layer, "sliding_window", None) for layer in layers]
    rowless = ("LinearAttentionLayer", "DummyLayer")
    kinds = [
        w or ("none" if type(layer).__name__ in rowless else "full") for w, layer in zip(window, layers, strict=True)
    ]
    images = getattr(config.get_text_config(decoder=True), "cross_attention_layers", ())
    return ["none" if i in images else kind for i, kind in enumerate(kinds)]  # its rows are an image's


def kinds_in_register(shape):
    named = {"latent": "full", "shared": "none"}
    return [layer.window or named.get(layer.kind, layer.kind) for layer in shape.layers]


@pytest.mark.parametrize("name", KNOWN)
def test_the_published_file_the_saved_file_and_the_object_give_one_shape(name, tmp_path):
    published = small(name)
    shape = read_or_refuse(config_of(published))
    assert isinstance(shape, KVShape)
    assert saved_forms(config_of(published), tmp_path) == [shape] * 3
    assert read_or_refuse(json.loads(json.dumps(published))) == shape


@pytest.mark.parametrize("name", KNOWN)
def test_what_a_file_leaves_out_is_filled_in_as_transformers_does_or_the_file_is_refused(name):
    for left_out in small(name).keys() - {"model_type"}:
        published = {field: value for field, value in small(name).items() if field != left_out}
        read = read_or_refuse(published)
        if isinstance(read, str):
            continue
        try:
            config = config_of(published)
        except Exception:  # transformers finds that what is left does not fit together
            continue
        assert read == read_or_refuse(config), left_out


# --- What the model's own cache holds --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [name for name in KNOWN if name not in NOT_RUN])
def test_the_model_s_own_cache_holds_what_was_predicted(name):
    model = build(config_of(small(name)), torch.bfloat16)
    shape, cache = KVShape.from_config(model.config), cache_after(model, prefill=11, steps=1)
    held = [rows_held(layer) for layer in cache.layers]
    predicted = [layer.bytes(12, "bf16") for layer in shape.layers]
    if name == "deepseek_v4":  # a layer that only slides keeps the one row twice, as key and as value
        held[0] //= 2
    else:
        assert [state_held(layer) for layer in cache.layers] == [layer.state for layer in shape.layers]
    assert held == predicted
    assert shape.bytes(12, kv_format="bf16") == sum(predicted)
    assert shape.fixed_bytes == sum(layer.state for layer in shape.layers)


@torch.inference_mode()
def test_minimax_s_own_cache_holds_what_was_predicted():
    model = build(config_of(small("minimax")), torch.bfloat16)
    shape, cache = KVShape.from_config(model.config), MiniMaxCache()
    model(input_ids=torch.randint(3, VOCABULARY, (1, 12)), past_key_values=cache, use_cache=True)
    states = [*cache.linear_cache, []][: shape.n_layers]
    assert [len(state) and state.nbytes for state in states] == [layer.state for layer in shape.layers]
    assert [rows_held(layer) for layer in cache.layers][: shape.n_layers] == [
        layer.bytes(12, "bf16") for layer in shape.layers[: len(cache.layers)]
    ]


def test_what_is_not_run_is_known():
    assert set(NOT_RUN) <= set(KNOWN)
    assert not set(REFUSED) & set(FAMILIES)


# --- Errors in one line ----------------------------------------------------------------------------------------------
def test_a_family_without_a_rule_is_refused_by_name_with_what_made_it_unclear():
    said = read_or_refuse({"model_type": "newcomer", "num_hidden_layers": 2, "lru_width": 64, "hidden_act": "silu"})
    assert (
        said == "the config (model_type 'newcomer') cannot be counted: no rule is known for its family (lru_width 64)"
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"model_type": "exaone4", "sliding_window": 512, "sliding_window_pattern": "LLLG"},
            "pattern 'LLLG'; it must be",
        ),
        ({"model_type": "gemma3_text", "sliding_window": [512, None]}, "has sliding_window [512, None]; it must be"),
        ({"model_type": "llama", "num_key_value_heads": True}, "has num_key_value_heads True; it must be"),
        (
            {"model_type": "llama", "num_key_value_heads": [2, 2, 1, 1]},
            "has num_key_value_heads [2, 2, 1, 1]; it must be",
        ),
        ({"model_type": "llama", "layer_types": ["full_attention"] * 5}, "lists 5 layer_types; num_hidden_layers is 4"),
        (
            {"model_type": "llama", "layer_types": ["linear_attention"] * 4},
            "'linear_attention' is none of full_attention",
        ),
        ({"model_type": "cwm", "sliding_window": 8}, "it has a window and no layer_types"),
        ({"model_type": "falcon", "new_decoder_architecture": True}, "transformers keeps rows of every query head"),
        ({"model_type": "hunyuan_v1_moe", "use_cla": True, "cla_share_factor": 2}, "engines differ"),
        ({"model_type": "jamba"}, "names no mamba_d_state"),
        ({}, "the config names no model_type; the family"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_in_one_line(fields, words):
    plain = {"num_hidden_layers": 4, "num_attention_heads": 8, "head_dim": 16, "hidden_size": 128}
    if fields.get("model_type") == "jamba":
        fields = fields | {"mamba_d_state": None}
    assert words in read_or_refuse(plain | fields)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"model_type": "llama",\n}', "is no JSON: "),
        ('["llama"]', "holds a JSON list; a config.json is an object of fields"),
        ("", "is no JSON: "),
    ],
)
def test_a_broken_file_is_named_in_one_line(text, words, tmp_path):
    (tmp_path / "config.json").write_text(text)
    for path in (tmp_path, tmp_path / "config.json"):
        said = read_or_refuse(path)
        assert str(tmp_path / "config.json") in said and words in said
    assert "no such file" in read_or_refuse(tmp_path / "nothing.json")
    assert read_or_refuse(3) == "config is a int; it may be a dict, a path or a transformers config"


@pytest.mark.parametrize("seed", range(4))
def test_nonsense_in_a_field_is_refused_or_counted_and_never_crashes(seed):
    chance = random.Random(seed)
    nonsense = [None, "a", "8", -1, 0, 2.5, [], [1], {}, True, [None, 2], {"a": 1}]
    for name in KNOWN:
        published = small(name)
        read_or_refuse(published | {chance.choice(sorted(published.keys() - {"model_type"})): chance.choice(nonsense)})

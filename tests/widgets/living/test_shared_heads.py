"""Heads that share: bytes are the formula's, JavaScript lays strips out as Python does, every design stands still."""

import pytest
from transformers import AutoConfig

from helpers.arithmetic.footprint import KVShape
from helpers.models import smollm2
from helpers.widgets.living.shared_heads import (
    LATENT,
    MODELS,
    SMOLLM2_CONFIG,
    SharedHeads,
    config_of,
    count,
    designs,
    strip_places,
)
from tests.widgets.living.node import answers_of

ALL = [(model, n) for model in MODELS for n in designs(model)]


@pytest.mark.parametrize("model", MODELS)
def test_the_published_design_costs_what_the_published_model_costs(model):
    shape = KVShape.from_config(config_of(model))
    frame = count(model, shape.n_kv_heads)
    assert frame["bytes"] * shape.n_layers == shape.bytes_per_token()
    assert frame["published"] == shape.n_kv_heads


@pytest.mark.parametrize(("model", "kv_heads"), ALL)
def test_a_key_and_a_value_of_two_bytes_a_number_per_kv_head(model, kv_heads):
    frame, config = count(model, kv_heads), config_of(model)
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    by_hand = 2 * (512 + 64) if kv_heads == LATENT else kv_heads * 2 * head_dim * 2
    assert frame["bytes"] == by_hand
    assert frame["own"] == config["num_attention_heads"] * 2 * head_dim * 2
    assert f"{by_hand:,} bytes" in frame["line"]
    strips = 1 if kv_heads == LATENT else kv_heads
    assert frame["bytes"] / frame["own"] == pytest.approx(
        strips * (frame["width"] if kv_heads == 0 else 1) / frame["n_heads"]
    )


def test_smollm2_is_drawn_as_it_is():
    config = AutoConfig.from_pretrained(smollm2.convert())
    assert {name: getattr(config, name) for name in SMOLLM2_CONFIG} == SMOLLM2_CONFIG


def test_javascript_lays_strips_out_as_python_does():
    calls = [[designs(model)[0], n] for model, n in ALL]
    assert answers_of("shared_heads.js", "stripPlaces", calls) == [strip_places(*call) for call in calls]


@pytest.mark.parametrize(("model", "kv_heads"), ALL)
def test_every_design_stands_still(model, kv_heads):
    scene = SharedHeads(model, kv_heads).scene()
    assert len(scene.svg()) < 60_000
    assert count(model, kv_heads)["line"] in scene.title


def test_its_pictures_are_counted_beforehand_and_python_agrees():
    picture = SharedHeads()
    for model, frames in picture.data["frames"].items():
        assert frames == [picture.frame({"model": model, "kv_heads": n}) for n in designs(model)]


@pytest.mark.parametrize(
    ("model", "kv_heads", "said"),
    [
        ("Gemma-3-27B", 8, "model is 'Gemma-3-27B'; it may be SmolLM2-135M, Llama-2-7B"),
        ("Qwen2.5-7B", 8, "28, 14, 7, 4, 2, 1 KV heads"),
    ],
)
def test_what_it_cannot_show_is_refused(model, kv_heads, said):
    with pytest.raises(ValueError, match=said):
        SharedHeads(model, kv_heads)

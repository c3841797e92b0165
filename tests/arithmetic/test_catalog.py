"""The catalog against transformers, which knows the models, and against itself."""

import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from helpers.arithmetic import CARDS, KV_LAYOUTS, MODELS, GiB, KVShape, MiB, find_card, find_model
from helpers.arithmetic.catalog import ARCHITECTURES, IN_LESSONS

# As the publishers round it, in billions: a second reference, because a wrong field changes class and n_params alike.
# Where that counts what is not in the row (encoders of pictures and sounds), or is a name more than a count, LOOSE says
# how far it may be off.
PUBLISHED = {
    "Llama-2-7B": 6.74,
    "Llama-3.1-8B": 8.03,
    "Llama-3.1-70B": 70.6,
    "Llama-3.1-405B": 405.9,
    "Qwen2.5-7B": 7.61,
    "Qwen3-0.6B": 0.6,
    "Qwen3-8B": 8.19,
    "Qwen3-32B": 32.8,
    "Gemma-3-27B": 27,
    "DeepSeek-V3": 671,
    "gpt-oss-20b": 20.9,
    "gpt-oss-120b": 116.8,
    "Qwen3-Next-80B": 80,
    "Llama-3.2-3B": 3.21,
    "Qwen3-14B": 14.8,
    "SmolLM3-3B": 3.08,
    "Phi-4": 14.7,
    "Mistral-7B-v0.3": 7.25,
    "Ministral-3-8B": 8.4,
    "Devstral-Small-2-24B": 24,
    "Devstral-2-123B": 123,
    "Gemma-4-31B": 30.7,
    "Gemma-4-E4B": 8,
    "Olmo-3.1-32B": 32,
    "EXAONE-4.0-32B": 32,
    "Qwen3-30B-A3B-2507": 30.5,
    "Qwen3-235B-A22B-2507": 235,
    "Qwen3-Coder-480B-A35B": 480,
    "Gemma-4-26B-A4B": 25.2,
    "Llama-4-Scout": 109,
    "GLM-4.7-Flash": 30,
    "GLM-5.1": 744,
    "DeepSeek-V3.2": 671,
    "DeepSeek-V4-Flash": 284,
    "Kimi-K2.6": 1000,
    "MiniMax-M2": 230,
    "MiniMax-M3": 427,
    "Muse-Glimmer-30B": 29.8,
    "Qwen3.5-9B": 9,
    "Qwen3.5-397B-A17B": 397,
    "Qwen3.6-35B-A3B": 34.66,  # llama.cpp's own count
    "Qwen3.8-27B": 27,
    "Nemotron-3.5-Lightning-30B-A3B": 31.6,
    "Kimi-Linear-48B-A3B": 48,
    "Granite-4.0-H-Small": 32,
    "LFM2-1.2B": 1.17,
}
LOOSE = {"Ministral-3-8B": 0.011, "Devstral-Small-2-24B": 0.02, "Devstral-2-123B": 0.02, "Llama-4-Scout": 0.012}
LOOSE |= {"Gemma-4-E4B": 0.07, "Muse-Glimmer-30B": 0.07, "Kimi-K2.6": 0.03, "Kimi-Linear-48B-A3B": 0.03}
LOOSE |= {"Olmo-3.1-32B": 0.01}
# Bytes in a checkpoint's files of 16 bits, without what predicts ahead (mondegreens/apron, weight-bytes.json), and what
# of them is no parameter of ours: a tied head that is stored all the same, numbers in 32 bits.
FILES = {
    "Qwen3-0.6B": (1_503_264_768, 311_164_928),
    "Qwen3-14B": (29_536_614_400, 0),
    "Qwen3-32B": (65_524_246_528, 0),
    "Qwen3-8B": (16_381_470_720, 0),
    "Llama-3.1-8B": (16_060_522_496, 0),
    "Mistral-7B-v0.3": (14_496_047_104, 0),
    "GLM-4.7-Flash": (62_442_983_168 - 2_556_189_440, 12_032),
    "Nemotron-3.5-Lightning-30B-A3B": (65_826_538_624 - 2_670_652_160, 12_288),
}
TOGETHER = {"Muse-Glimmer-30B": 59_553_253_376}  # text and pictures are one class, of so many bytes in 16 bits
CLASSES = {"kimi_k2": "deepseek_v3"}  # of transformers, where the file's own code is a copy of one


def text_config(name):
    config = MODELS[name].config
    model_type = CLASSES.get(config["model_type"], config["model_type"])
    return AutoConfig.for_model(**config | {"model_type": model_type}).get_text_config()


def sizes(name):
    """Each parameter's size, by its name in the transformers class; without encoders where text has no class."""
    with torch.device("meta"):  # shapes without memory
        if name in TOGETHER:
            model = AutoModelForImageTextToText.from_config(AutoConfig.for_model(**MODELS[name].config))
        else:
            model = AutoModelForCausalLM.from_config(text_config(name))
    return {name: parameter.numel() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("name", MODELS)
def test_n_params_is_the_count_of_the_transformers_class(name):
    text = [size for part, size in sizes(name).items() if "vision" not in part and "projector" not in part]
    assert sum(text) == MODELS[name].n_params
    assert MODELS[name].n_params / 1e9 == pytest.approx(PUBLISHED[name], rel=LOOSE.get(name, 0.007))


@pytest.mark.parametrize("name", TOGETHER)
def test_a_class_of_text_and_pictures_is_as_large_as_its_files(name):
    assert 2 * sum(sizes(name).values()) == TOGETHER[name]


@pytest.mark.parametrize("name", FILES)
def test_n_params_are_what_the_files_hold(name):
    held, beside = FILES[name]
    assert held - beside <= 2 * MODELS[name].n_params <= held


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("Gemma-3-27B", {"full_attention": 10, "sliding_attention": 52}),
        ("Qwen2.5-7B", {"full_attention": 28}),  # its sliding_window is switched off
        ("Qwen3-32B", {"full_attention": 64}),
        ("Qwen3-Next-80B", {"full_attention": 12, "linear_attention": 36}),
        ("gpt-oss-20b", {"full_attention": 12, "sliding_attention": 12}),
        ("gpt-oss-120b", {"full_attention": 18, "sliding_attention": 18}),
        ("Gemma-4-26B-A4B", {"full_attention": 5, "sliding_attention": 25}),
        ("Qwen3.5-9B", {"full_attention": 8, "linear_attention": 24}),
        ("Llama-4-Scout", {"full_attention": 12, "chunked_attention": 36}),
        ("Kimi-Linear-48B-A3B", {"full_attention": 7, "linear_attention": 20}),
    ],
)
def test_layer_types_as_transformers_reads_the_config(name, layers):
    assert Counter(text_config(name).layer_types) == layers


def test_gpt_oss_alternates_and_starts_with_a_window():
    assert text_config("gpt-oss-120b").layer_types[:3] == ["sliding_attention", "full_attention", "sliding_attention"]


def test_the_catalog_is_light():
    code = "import sys, helpers.arithmetic.catalog; print(*{'torch', 'transformers', 'numpy'} & set(sys.modules))"
    fresh = [sys.executable, "-c", code]
    imported = subprocess.run(fresh, cwd=Path(__file__).parents[2], check=True, stdout=subprocess.PIPE, text=True)
    assert imported.stdout.split() == []


@pytest.mark.parametrize(
    "entry", [*MODELS.values(), *CARDS.values(), *ARCHITECTURES.values()], ids=lambda entry: entry.name
)
def test_every_entry_has_a_source_and_a_date(entry):
    assert entry.source.strip()
    assert date.fromisoformat(entry.date)


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_a_card_multiplies_what_its_architecture_does(card):
    architecture = ARCHITECTURES[card.architecture]
    assert (card.fp8, card.nvfp4) == (architecture.fp8, architecture.nvfp4)
    assert architecture.maker == ("NVIDIA" if "NVIDIA" in card.source else "Apple" if "Apple" in card.source else "AMD")


def test_what_the_cards_of_the_lessons_multiply():
    assert {name for name in CARDS if CARDS[name].nvfp4} >= {"RTX 5090", "B200", "DGX Spark"}
    assert not any(CARDS[name].fp8 for name in ("RTX 3090", "A100 80GB", "RX 7900 XTX", "Strix Halo 128GB"))
    assert all(CARDS[name].fp8 and not CARDS[name].nvfp4 for name in ("RTX 4090", "H200", "RX 9070 XT", "MI300X"))


def test_bits_per_element():
    bits = {name: layout.bits for name, layout in KV_LAYOUTS.items()}
    expected = {"fp32": 32, "fp16": 16, "bf16": 16, "fp8_e4m3": 8, "q8_0": 8.5, "q5_0": 5.5, "q4_0": 4.5, "nvfp4": 4.5}
    assert bits == expected


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_what_the_driver_shows_is_a_little_less_than_the_vendor_says(card):
    assert 0.93 * card.memory <= card.driver_memory <= card.memory  # error correction takes a sixteenth
    assert (card.shown_mib is None) == (card.shown_by == "")


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_only_a_machine_that_shares_its_memory_gives_a_part_of_it_by_default(card):
    assert card.default_memory <= card.driver_memory
    assert (card.default_mib is None) == (card.told == "") and (card.unified or card.default_mib is None)


@pytest.mark.parametrize(("name", "shown"), [("RTX 3090", 24_576), ("RTX 4090", 24_564), ("L4", 23_034)])
def test_memory_is_read_as_gib(name, shown):
    card = CARDS[name]
    assert card.memory_gb * 10**9 < card.driver_memory == shown * MiB <= card.memory == 24 * GiB


# llama.cpp prints a working set in millions of bytes.
@pytest.mark.parametrize(
    ("name", "printed"), [("M4 Max 128GB", 115_448.73), ("M3 Max 64GB", 55_662.79), ("M4 32GB", 26_800.60)]
)
def test_a_mac_s_default_is_what_metal_recommends(name, printed):
    assert CARDS[name].default_memory == pytest.approx(printed * 10**6, abs=MiB)


def test_a_strix_halo_gives_half_of_its_memory_until_told():
    assert 0.48 < CARDS["Strix Halo 128GB"].default_memory / CARDS["Strix Halo 128GB"].memory < 0.5


def test_the_lessons_models_come_first_and_the_kinds_of_today_are_there():
    assert tuple(MODELS)[: len(IN_LESSONS)] == IN_LESSONS and set(MODELS) == set(PUBLISHED)
    shapes = [KVShape.from_config(model.config) for name, model in MODELS.items() if name not in IN_LESSONS]
    assert {"full", "sliding", "latent"} <= {layer.kind for shape in shapes for layer in shape.layers}
    assert sum(shape.fixed_bytes > 0 for shape in shapes) >= 8


def test_bandwidth_is_decimal():
    assert CARDS["RTX 4090"].bandwidth == 384 // 8 * 21 * 10**9


def test_find_ignores_case():
    assert find_model("qwen3-8b") is MODELS["Qwen3-8B"]
    assert find_card("rtx 4090") is CARDS["RTX 4090"]


@pytest.mark.parametrize(
    ("find", "wanted", "closest"),
    [
        (find_model, "Qwen3 8B", "Qwen3-8B"),
        (find_model, "llama 70b", "Llama-3.1-70B"),
        (find_card, "H100", "H100 SXM 80GB"),
        (find_card, "GTX\n4090", "RTX 4090"),
    ],
)
def test_an_unknown_name_gets_one_line_with_the_closest(find, wanted, closest):
    with pytest.raises(ValueError) as error:
        find(wanted)
    message = str(error.value)
    assert "\n" not in message
    assert repr(wanted) in message
    assert f"the closest is {closest!r}" in message

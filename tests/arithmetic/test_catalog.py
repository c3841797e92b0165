"""The catalog against transformers, which knows the models, and against itself."""

import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from helpers.arithmetic import CARDS, KV_LAYOUTS, MODELS, GiB, find_card, find_model

# As the publishers round it, in billions: a second reference, because a wrong field changes class and n_params alike.
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
}


def text_config(name):
    return AutoConfig.for_model(**MODELS[name].config).get_text_config()


@pytest.mark.parametrize("name", MODELS)
def test_n_params_is_the_count_of_the_transformers_class(name):
    with torch.device("meta"):  # shapes without memory
        model = AutoModelForCausalLM.from_config(text_config(name))
    assert sum(parameter.numel() for parameter in model.parameters()) == MODELS[name].n_params
    assert MODELS[name].n_params / 1e9 == pytest.approx(PUBLISHED[name], rel=0.007)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("Gemma-3-27B", {"full_attention": 10, "sliding_attention": 52}),
        ("Qwen2.5-7B", {"full_attention": 28}),  # its sliding_window is switched off
        ("Qwen3-32B", {"full_attention": 64}),
        ("Qwen3-Next-80B", {"full_attention": 12, "linear_attention": 36}),
        ("gpt-oss-20b", {"full_attention": 12, "sliding_attention": 12}),
        ("gpt-oss-120b", {"full_attention": 18, "sliding_attention": 18}),
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


@pytest.mark.parametrize("entry", [*MODELS.values(), *CARDS.values()], ids=lambda entry: entry.name)
def test_every_entry_has_a_source_and_a_date(entry):
    assert entry.source.strip()
    assert date.fromisoformat(entry.date)


def test_bits_per_element():
    bits = {name: layout.bits for name, layout in KV_LAYOUTS.items()}
    expected = {"fp32": 32, "fp16": 16, "bf16": 16, "fp8_e4m3": 8, "q8_0": 8.5, "q5_0": 5.5, "q4_0": 4.5, "nvfp4": 4.5}
    assert bits == expected


# What nvidia-smi shows, in MiB: our reading is never less, and the decimal one is too small.
@pytest.mark.parametrize(("name", "shown"), [("RTX 3090", 24_576), ("RTX 4090", 24_564), ("L4", 23_034)])
def test_memory_is_read_as_gib(name, shown):
    card = CARDS[name]
    assert card.memory_gb * 10**9 < shown * 2**20 <= card.memory == 24 * GiB


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

"""Parameters counted from a config alone, against transformers' own classes and the catalog."""

import pytest

from helpers.arithmetic import MODELS
from helpers.arithmetic.parameters import PLAIN, parameters_of
from tests.arithmetic.small_configs import small
from tests.arithmetic.test_experts import built

CHANGES = ({}, {"attention_bias": True, "mlp_bias": True}, {"tie_word_embeddings": True})


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("name", PLAIN)
def test_it_is_what_the_class_has(name, change):
    published = small(name) | change
    count = sum(parameter.numel() for parameter in built(published).parameters())
    assert parameters_of(published) == count


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_catalog_s_figure_or_none(name):
    assert parameters_of(MODELS[name].config) in (None, MODELS[name].n_params)


def test_most_of_the_catalog_s_dense_models_are_plain():
    assert parameters_of(MODELS["Llama-3.1-405B"].config) == 405_853_388_800
    assert parameters_of(MODELS["Qwen3-8B"].config) == 8_190_735_360


@pytest.mark.parametrize("name", ["gpt_oss", "deepseek_v3", "gemma3_text", "falcon_h1"])
def test_another_family_is_not_guessed(name):
    assert parameters_of(small(name)) is None


def test_nor_are_experts_in_some_layers_alone():
    assert parameters_of(small("qwen3_moe") | {"mlp_only_layers": [1]}) is None

"""What is read of the weights, against the modules of transformers' own classes, and against published figures."""

import pytest
import torch
from torch import nn

from helpers.arithmetic import MODELS
from helpers.arithmetic.catalog import Model
from helpers.arithmetic.experts import MIXTURES, TIED, looked_up, read_experts, weights_read
from helpers.arithmetic.families import FAMILIES, known_fields
from tests.arithmetic.small_configs import config_of, model_class, small, text_classes

KNOWN = sorted(set(FAMILIES) & set(text_classes()))
# What transformers 5.23 does not build from a small text config alone.
NOT_BUILT = {"chameleon", "cohere_compass_text", "dbrx", "deepseek_ocr2_text", "ernie4_5_vl_moe_text"}
LEARNED_POSITIONS = {"biogpt", "gpt2", "gpt_bigcode", "gpt_neo", "opt"}
PADDED = {"mllama_text_model": 8, "molmo2_text": 128, "moshi": 1}  # rows beside the vocabulary, of images and the like
GEMMA = {"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 8}
MORE = {  # experts that the small configs leave out, and those that only some layers have
    "gemma4_text": GEMMA,
    "ernie4_5_moe": {"num_hidden_layers": 7, "moe_layer_start_index": 2, "moe_layer_end_index": 5},
    "jamba": {"num_hidden_layers": 8, "expert_layer_period": 3, "expert_layer_offset": 2},
    "llama4_text": {"interleave_moe_layer_step": 2},
    "qwen3_moe": {"decoder_sparse_step": 2, "mlp_only_layers": [1]},
    "qwen2_moe": {"decoder_sparse_step": 1, "mlp_only_layers": [0, 2]},
    "deepseek_v3": {"first_k_dense_replace": 3},
    "glm_moe_dsa": {"mlp_layer_types": ["dense", "sparse", "dense", "sparse"]},
    "minimax_m3_vl_text": {"mlp_layer_types": ["dense", "sparse", "sparse", "sparse"]},
    "step3p5": {"moe_layers_enum": "1,3"},
    "nemotron_h": {"moe_latent_size": 24},
}


def built(published):
    """The model on the meta device, without a byte of memory."""
    config = config_of(published)
    with torch.device("meta"):
        return model_class(config)._from_config(config)


def is_of_experts(name, dim):
    """Whether a parameter belongs to the experts among which a token chooses, by its name in transformers."""
    if ".mlp.input_linear" in name or ".mlp.output_linear" in name:  # JetMoe's; its attention has some as well
        return True
    before, _, after = name.rpartition("experts.")
    return before.endswith(".") and dim > 1 and "router" not in after


def parameters_of_experts(model, total):
    """Parameters that belong to one of ``total`` experts of a layer, and layers that have some."""
    found, layers = 0, set()
    for name, parameter in model.named_parameters():
        if is_of_experts(name, parameter.dim()):
            real = min(parameter.shape[0], total)  # LongCat's class has room for its experts without weights as well
            found += parameter.numel() // parameter.shape[0] * real
            layers.add(int(next(part for part in name.split(".") if part.isdecimal())))
    return found, len(layers)


BUILT = [(name, {}) for name in KNOWN if name not in NOT_BUILT]


@pytest.mark.parametrize(("name", "changes"), [*BUILT, *MORE.items()], ids=str)
def test_experts_are_those_of_the_model_s_own_modules(name, changes):
    published = small(name) | changes
    model, experts = built(published), read_experts(published)
    assert read_experts(model.config) == experts
    found, layers = parameters_of_experts(model, experts.total if experts else 0)
    if experts is None:
        assert found == 0
        return
    assert (experts.layers, experts.layers * experts.total * experts.size) == (layers, found)
    chosen = {getattr(m, n) for m in model.modules() for n in ("top_k", "num_experts_per_tok") if hasattr(m, n)}
    assert chosen in ({experts.chosen}, set())
    assert experts.idle() == found * (experts.total - experts.chosen) // experts.total
    assert experts.idle(experts.total) == 0


def test_every_family_of_transformers_with_experts_is_in_the_register_or_refused():
    with_experts = set()
    for name in set(KNOWN) - NOT_BUILT:
        model = built(small(name) | (GEMMA if name == "gemma4_text" else {}))
        if any("experts." in parameter for parameter, _ in model.named_parameters()):
            with_experts.add(name)
    assert with_experts == {name for name in MIXTURES if name in KNOWN} - NOT_BUILT


@pytest.mark.parametrize("name", [name for name in KNOWN if name not in NOT_BUILT | LEARNED_POSITIONS])
def test_what_is_looked_up_is_every_table_of_embeddings_that_is_no_output_head(name):
    model = built(small(name))
    tables = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    if name == "phi4_multimodal":
        tables = tables[:1]  # the others are of images and of sound
    head = model.get_output_embeddings()
    tied = known_fields(model.config).get("tie_word_embeddings") if head is None else head.weight is tables[0]
    width = tables[0].shape[1]
    extra = 0 if tied else PADDED.get(name, 0) * width
    assert looked_up(model.config) + extra == sum(t.numel() for t in tables) - (tables[0].numel() if tied else 0)


@pytest.mark.parametrize("name", KNOWN)
def test_what_a_file_leaves_out_of_tied_embeddings_is_filled_in_as_transformers_does(name):
    try:
        assert bool(getattr(text_classes()[name](), "tie_word_embeddings", False)) == (name in TIED)
    except (AttributeError, ValueError):
        pytest.skip("it has no configuration without arguments")


# Billions of parameters in use per token, as the models' names and papers round them (without the embedding table).
@pytest.mark.parametrize(("name", "active"), [("DeepSeek-V3", 37), ("gpt-oss-120b", 5.1), ("Qwen3-Next-80B", 3)])
def test_experts_that_are_not_chosen_are_not_read(name, active):
    model = MODELS[name]
    embedding = model.config["vocab_size"] * model.config["hidden_size"]
    assert weights_read(model) == pytest.approx(active * 1e9, rel=0.2)
    assert weights_read(model) < weights_read(model, 2) < weights_read(model, 1_000) == model.n_params - embedding


# Families whose class defaults are a published checkpoint's: billions in all and in use, as its maker rounds them.
PUBLISHED = {
    "mixtral": (46.7, 12.9),
    "ernie4_5_moe": (21, 3),
    "jamba": (52, 12),
    "llama4_text": (109, 17),
    "kimi_linear": (48, 3),
    "minimax_m2": (230, 10),
    "deepseek_v32": (671, 37),
    "deepseek_v4": (284, 13),
    "glm_moe_dsa": (744, 40),
    "mimo_v2_flash": (309, 15),
    "qwen3_5_moe_text": (35, 3),
    "step3p5": (196, 11),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_in_use_is_what_the_makers_say(name):
    config, (all_of_them, active) = text_classes()[name](), PUBLISHED[name]
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in model_class(config)._from_config(config).parameters())
    assert count == pytest.approx(all_of_them * 1e9, rel=0.04)
    assert weights_read(Model(name, config.to_dict(), count, "", "")) == pytest.approx(active * 1e9, rel=0.13)


def test_a_file_of_a_family_without_a_class_must_say_which_layers_have_experts():
    fields = {"model_type": "bailing_moe_v2", "num_hidden_layers": 4, "num_attention_heads": 4, "hidden_size": 64}
    fields |= {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    with pytest.raises(ValueError, match="nothing says which of its layers have experts"):
        read_experts(fields)
    assert read_experts(fields | {"first_k_dense_replace": 1}).layers == 3


def test_a_dense_model_reads_its_weights_and_one_row_of_a_table_that_is_its_own():
    tied, own = MODELS["Gemma-3-27B"], MODELS["Llama-3.1-8B"]
    assert weights_read(tied) == tied.n_params
    assert weights_read(own) == weights_read(own, 8) == own.n_params - 128_256 * 4_096


DBRX = {"model_type": "dbrx", "n_layers": 40, "n_heads": 48, "d_model": 6144, "vocab_size": 100_352}
MIXTRAL = {"model_type": "mixtral", "num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096}
MIXTRAL |= {"intermediate_size": 14_336, "vocab_size": 32_000, "tie_word_embeddings": False}
QWEN = MODELS["Qwen3-8B"].config
HUNYUAN = {"model_type": "hunyuan_v1_moe", "num_hidden_layers": 2, "num_attention_heads": 8, "hidden_size": 64}
HUNYUAN |= {"intermediate_size": 32, "num_experts": 4}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (MIXTRAL, "its experts are not named"),
        (MIXTRAL | {"num_local_experts": 8}, "how many experts a token chooses is unclear"),
        (MIXTRAL | {"num_local_experts": 8, "num_experts_per_tok": 9}, "how many experts a token chooses is unclear"),
        (MIXTRAL | {"num_local_experts": 8, "num_experts": 4}, "it names two different numbers of experts"),
        (MIXTRAL | {"num_local_experts": "8"}, "has num_local_experts '8'; it must be a whole number"),
        (DBRX | {"ffn_config": {"moe_num_experts": 16, "moe_top_k": 4}}, "no rule is known for its experts, moe_num"),
        (QWEN | {"num_experts": 128}, "no rule is known for its experts, num_experts"),
        (HUNYUAN | {"moe_topk": [1, 2]}, "has moe_topk [1, 2]; it must be a whole number"),
        (QWEN | {"vocab_size": None}, "names no vocab_size"),
        (QWEN | {"tie_word_embeddings": "no"}, "has tie_word_embeddings 'no'; it must be true or false"),
    ],
)
def test_what_is_unclear_is_refused_in_one_line(config, words):
    with pytest.raises(ValueError, match="^the config [^\n]*$") as error:
        weights_read(Model("own", config, 8 * 10**9, "", ""))
    assert words in str(error.value)


def test_a_list_with_one_number_for_all_layers_is_that_number():
    listed = HUNYUAN | {"moe_topk": [2, 2], "num_experts": [4, 4]}
    assert read_experts(listed) == read_experts(HUNYUAN | {"moe_topk": 2})


def test_more_experts_than_parameters_are_refused():
    with pytest.raises(ValueError, match="exceed 1,000,000 parameters"):
        weights_read(Model("own", MIXTRAL | {"num_local_experts": 8, "num_experts_per_tok": 2}, 10**6, "", ""))

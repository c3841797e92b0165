"""What a plan's page gives to engines: every option has a source, and what one cannot run is said, not printed."""

import itertools
import json
import re
import shlex

import pytest
import yaml

from helpers.arithmetic import CARDS, KV_LAYOUTS, MODELS, Plan
from helpers.arithmetic.engine_settings import INTERVAL, LLAMA_CPP_FORMATS, VLLM_FORMATS, settings
from helpers.arithmetic.plan_report import report
from helpers.arithmetic.positions import positions_of
from tests.arithmetic.engine_options import OPTIONS


def blocks(text):
    """What stands in fences, each with the word behind its opening."""
    return re.findall(r"```(\w*)\n(.*?)\n```", text, re.DOTALL)


def command_options(command):
    """Every option and variable of a command with its value, '' where it has none."""
    found, words = {}, shlex.split(command.replace("\\\n", " "))
    for word, after in itertools.pairwise([*words, "-"]):
        if word.startswith("-"):
            found[word] = "" if after.startswith("-") and not after[1:].isdigit() else after
        elif "=" in word:
            name, _, found[name] = word.partition("=")
    return found


def flat(fields, before=""):
    """The fields of a config file by dotted names."""
    found = {}
    for name, value in fields.items():
        found |= flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: str(value)}
    return found


def options_of(text):
    """All options that an engine is given."""
    found = {}
    for kind, body in blocks(text):
        found |= flat(yaml.safe_load(body)) if kind == "yaml" else command_options(body)
    return found


def plans():
    """Plans of every card and format, kept or not, shared or not; and those with YaRN."""
    for card, kv_format, kept, prefix in itertools.product(CARDS, KV_LAYOUTS, (None, 100, 4_096), (0, 512)):
        yield Plan("Qwen3-8B", "q4_0", card, kv_format, 8_192, 2, prefix, kept=kept)
    yield from (Plan(name, "q4_0", "B200", context=model.yarn.tokens) for name, model in MODELS.items() if model.yarn)


def test_every_option_is_in_the_list_of_sources_and_every_source_is_used():
    listed = {(option.engine, option.name): option for option in OPTIONS}
    assert len(listed) == len(OPTIONS)
    used = set()
    for plan in plans():
        for engine, text in settings(plan).items():
            for name, value in options_of(text).items():
                assert re.fullmatch(listed[engine, name].values, value), (engine, name, value)
                used.add((engine, name))
    assert used == set(listed)


def test_every_source_says_where_and_when():
    for option in OPTIONS:
        assert "." in option.source and option.says and re.fullmatch(r"2026-\d\d-\d\d", option.date)


def test_the_options_say_what_the_plan_says():
    plan = Plan("Qwen3-8B", "bf16", "B200", "fp16", 16_384, 3, kept=4_096)
    found = {engine: options_of(text) for engine, text in settings(plan).items()}
    budget = str(4_096 - INTERVAL)
    assert found["vLLM"]["TRIATTN_RUNTIME_KV_BUDGET"] == budget
    assert (found["vLLM"]["--max-model-len"], found["vLLM"]["--max-num-seqs"]) == ("16384", "3")
    assert found["TensorRT-LLM"]["kv_cache_compression_config.budget"] == budget
    assert (found["TensorRT-LLM"]["max_seq_len"], found["TensorRT-LLM"]["max_batch_size"]) == ("16384", "3")
    assert found["llama.cpp"] == {} and "--context-shift" in settings(plan)["llama.cpp"]


@pytest.mark.parametrize("card", CARDS)
def test_tensorrt_llm_s_share_holds_the_cache_and_little_more(card):
    plan = Plan("Qwen3-8B", "q4_0", card, "fp16", 16_384, 2)
    found = options_of(settings(plan)["TensorRT-LLM"])
    assert bool(found) == (CARDS[card].source.startswith("NVIDIA"))
    if found:
        room = plan.machine.driver_memory - plan.weights - plan.overhead
        share = float(found["kv_cache_config.free_gpu_memory_fraction"])
        assert plan.cache <= share * room <= plan.cache + 0.011 * room


@pytest.mark.parametrize(
    ("engine", "change", "why"),
    [
        ("vLLM", {"card": "M4 Max 128GB"}, "does not run on Apple's GPUs"),
        ("vLLM", {"kv_format": "nvfp4"}, "on Blackwell alone, and the card is RTX 4090"),
        ("vLLM", {"kv_format": "q5_0"}, "cannot store rows as q5_0"),
        ("vLLM", {"kept": 100}, "100 tokens leave no room"),
        ("vLLM", {"kept": 4_096, "shared_prefix": 64}, "cannot do both"),
        ("llama.cpp", {"kept": 4_096}, "evicts no tokens inside a thought"),
        ("llama.cpp", {"shared_prefix": 64}, "once for each sequence"),
        ("llama.cpp", {"kv_format": "nvfp4"}, "cannot store rows as nvfp4"),
        ("TensorRT-LLM", {"card": "RX 7900 XTX"}, "NVIDIA's cards alone"),
        ("TensorRT-LLM", {"kept": 4_096}, "B200 and B300 alone, and the card is RTX 4090"),
        ("TensorRT-LLM", {"kept": 4_096, "card": "B200", "kv_format": "fp8_e4m3"}, "rows of 16 bits alone"),
        ("TensorRT-LLM", {"kept": 2_048, "card": "B200", "model": "Llama-2-7B"}, "Llama-2-7B has 1"),
        ("TensorRT-LLM", {"kept": 128, "card": "B200"}, "128 tokens leave no room"),
        ("every engine", {"context": 131_073}, "ends at 40,960 positions, and this plan needs 131,073: no engine"),
        ("every engine", {"context": 131_073}, "YaRN stretches them to 131,072 (Qwen3's documentation"),
        (
            "every engine",
            {"context": 16_385, "model": "Phi-4"},
            "needs stretched rotary positions (YaRN); the model's own",
        ),
        ("llama.cpp", {"context": 262_145, "model": "Qwen3.5-9B"}, "nothing says that they stretch this model's"),
    ],
)
def test_an_engine_that_cannot_run_the_plan_gets_the_reason_and_no_command(engine, change, why):
    usual = {"model": "Qwen3-8B", "weight_format": "q4_0", "card": "RTX 4090", "context": 4_096, "sequences": 2}
    text = settings(Plan(**usual | change))[engine]
    assert why in text and "```" not in text and "\n" not in text


def test_a_plan_that_does_not_fit_says_so_beside_its_commands():
    said = ["an engine stops" in report(Plan("Qwen3-32B", "q4_k_m", card, context=32_768)) for card in CARDS]
    fits = [Plan("Qwen3-32B", "q4_k_m", card, context=32_768).fits for card in CARDS]
    assert said == [not one for one in fits] and len(set(fits)) == 2


def test_a_context_beyond_the_config_gets_yarn_and_the_page_says_so():
    assert settings(Plan("Qwen3-8B", "q4_0", "H200", context=40_960)).keys() == {"vLLM", "llama.cpp", "TensorRT-LLM"}
    said = settings(Plan("Qwen3-8B", "q4_0", "H200", context=40_961))
    assert "ends at 40,960 positions, and this plan needs 40,961: that takes YaRN" in said["every engine"]
    llama = options_of(said["llama.cpp"])
    assert (llama["--rope-scaling"], llama["--rope-scale"], llama["--yarn-orig-ctx"]) == ("yarn", "4", "32768")
    overrides = json.loads(options_of(said["vLLM"])["--hf-overrides"])
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768, "rope_theta": 1_000_000}
    assert overrides == {"rope_parameters": yarn} and json.dumps(yarn) in said["every engine"]
    assert "this plan needs 40,961: that takes YaRN" in report(Plan("Qwen3-8B", "q4_0", "H200", context=40_961))


def test_a_model_whose_text_is_one_of_its_parts_is_stretched_there():
    said = settings(Plan("Qwen3.5-9B", "q4_0", "H200", context=1_010_000))
    assert list(json.loads(options_of(said["vLLM"])["--hf-overrides"])) == ["text_config"]
    assert options_of(said["vLLM"])["VLLM_ALLOW_LONG_MAX_MODEL_LEN"] == "1"
    assert "in its `text_config`" in said["every engine"]


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.yarn])
def test_yarn_reaches_beyond_the_config_and_as_far_as_its_factor(name):
    yarn = MODELS[name].yarn
    stretched = yarn.parameters["factor"] * yarn.parameters["original_max_position_embeddings"]
    assert positions_of(Plan(name, "q4_0", "H200")) < yarn.tokens <= stretched and yarn.source


def test_positions_are_the_config_s_or_reach_as_far_as_they_are_stretched():
    known = {name: positions_of(Plan(name, "q4_0", "H200")) for name in MODELS}
    assert known["Qwen3-8B"] == 40_960 and known["Kimi-Linear-48B-A3B"] == 1_048_576
    assert [name for name, positions in known.items() if positions is None] == ["Gemma-3-27B"]
    qwen = MODELS["Qwen3-8B"]
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}
    for field in ("rope_scaling", "rope_parameters"):
        model = type(qwen)(qwen.name, qwen.config | {field: yarn}, qwen.n_params, qwen.source, qwen.date)
        assert positions_of(Plan(model, "q4_0", "H200")) == 131_072


def test_formats_are_those_of_the_catalog():
    assert {*VLLM_FORMATS, *LLAMA_CPP_FORMATS} == set(KV_LAYOUTS)

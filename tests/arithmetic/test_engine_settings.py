"""What a plan's page gives to engines: every option has a source, and what one cannot run is said, not printed."""

import itertools
import json
import re
import shlex
from dataclasses import replace

import pytest
import yaml

from helpers.arithmetic import CARDS, KV_LAYOUTS, MODELS, Plan
from helpers.arithmetic.engine_settings import INTERVAL, LLAMA_CPP_FORMATS, VLLM_FORMATS, settings
from helpers.arithmetic.plan import FITS, PERHAPS, TOO_LARGE
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
        if word == "-m" and "sglang" in command:  # Python's own, which runs a module
            continue
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
    for model, second in (("Qwen3-8B", None), ("Qwen3-8B", "Qwen3-0.6B"), (with_drafts(), None)):
        yield Plan(model, "q4_0", "H200", context=8_192, second_model=second, draft_tokens=3)


def with_drafts():
    """DeepSeek-V3 as its file describes it, with the layer that drafts."""
    model = MODELS["DeepSeek-V3"]
    return replace(model, config=model.config | {"num_nextn_predict_layers": 1})


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
    plan = Plan("Qwen3-8B", "q4_0", card, "fp16", 4_096, 2)  # which fits them all
    found = options_of(settings(plan)["TensorRT-LLM"])
    assert bool(found) == (CARDS[card].source.startswith("NVIDIA"))
    if found:
        room = plan.machine.driver_memory - plan.weights - plan.overhead[1]
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
        ("vLLM", {"kept": 4_096, "draft_tokens": 2}, "cannot do both"),
        ("SGLang", {"card": "M4 Max 128GB"}, "NVIDIA's and AMD's cards"),
        ("SGLang", {"kv_format": "nvfp4"}, "cannot store rows as nvfp4"),
        ("SGLang", {"kept": 4_096}, "evicts no tokens inside a thought"),
        ("SGLang", {"draft_tokens": 2}, "SGLang's options for drafts are not listed here."),
        ("TensorRT-LLM", {"draft_tokens": 2}, "TensorRT-LLM's options for drafts are not listed here."),
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


@pytest.mark.parametrize("kv_format", LLAMA_CPP_FORMATS)
@pytest.mark.parametrize("card", ["RTX 4090", "RX 7900 XTX", "M4 Max 128GB"])
def test_a_format_without_a_kernel_in_stock_builds_of_llama_cpp_is_named_beside_the_command(card, kv_format):
    """CUDA and ROCm builds have none for q5_0 (issue 28455); Metal's kernels want K and V alike, as every plan has."""
    text = settings(Plan("Qwen3-8B", "q4_0", card, kv_format, 4_096))["llama.cpp"]
    found = options_of(text)
    assert found["--cache-type-k"] == found["--cache-type-v"]
    warned = "no kernel of its own for q5_0, and is slow: build it with `-DGGML_CUDA_FA_QUANTS=q5_0-q5_0`" in text
    assert warned == ("no kernel of its own" in text) == (kv_format == "q5_0" and card != "M4 Max 128GB")


def test_a_plan_that_does_not_fit_says_so_beside_its_commands():
    plans = [Plan("Qwen3-32B", "q4_k_m", card, f, 32_768) for card in CARDS for f in ("fp16", "q8_0")]
    said = [("It does not fit: with" in report(plan), "It may not fit: if" in report(plan)) for plan in plans]
    assert said == [(plan.fit == TOO_LARGE, plan.fit == PERHAPS) for plan in plans]
    assert {plan.fit for plan in plans} == {FITS, PERHAPS, TOO_LARGE}


def test_drafts_reach_the_engines_that_have_options_for_them():
    def found(model, **more):
        plan = Plan(model, "q4_0", "B200", context=8_192, draft_tokens=3, **more)
        return {engine: options_of(text) for engine, text in settings(plan).items()}

    own, second = found(with_drafts()), found("Qwen3-8B", second_model="Qwen3-0.6B")
    assert json.loads(own["vLLM"]["--speculative-config"]) == {"method": "mtp", "num_speculative_tokens": 3}
    assert json.loads(second["vLLM"]["--speculative-config"])["model"] == "DRAFT"
    assert (own["llama.cpp"]["--spec-type"], own["llama.cpp"]["--spec-draft-n-max"]) == ("draft-mtp", "3")
    assert second["llama.cpp"]["--model-draft"] == "DRAFT.gguf"
    assert second["llama.cpp"]["--spec-type"] == "draft-simple"
    assert found("Qwen3-8B")["llama.cpp"]["--spec-ngram-simple-size-m"] == "3"
    assert own["SGLang"] == own["TensorRT-LLM"] == {}


def test_sglang_s_static_share_holds_weights_and_cache():
    for sequences in (1, 8):
        plan = Plan("Qwen3-8B", "bf16", "L4", "fp8_e4m3", 8_192, sequences)
        found = options_of(settings(plan)["SGLang"])
        static = float(found["--mem-fraction-static"]) * plan.machine.driver_memory
        assert plan.weights + plan.cache <= static <= plan.weights + plan.cache + 0.011 * plan.machine.driver_memory
        assert (found["--context-length"], found["--max-running-requests"]) == ("8192", str(sequences))


def test_a_context_beyond_the_config_gets_yarn_and_the_page_says_so():
    assert settings(Plan("Qwen3-8B", "q4_0", "H200", context=40_960)).keys() == {
        "vLLM",
        "llama.cpp",
        "SGLang",
        "TensorRT-LLM",
    }
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

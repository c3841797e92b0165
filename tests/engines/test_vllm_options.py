"""vLLM's own parser takes the command that a plan's page prints, where its environment is beside this one."""

import itertools
import json
import os
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.arithmetic import MODELS, Plan
from helpers.arithmetic.engine_settings import VLLM_FORMATS, settings

ENVIRONMENT = Path(__file__).parents[2] / ".venv-vllm"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CHILD = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
for line in sys.stdin:
    given = parser.parse_args(json.loads(line))
    print("given", json.dumps({name: str(value) for name, value in vars(given).items()}), flush=True)
"""
WITH_LAYERS = replace(MODELS["DeepSeek-V3"], config=MODELS["DeepSeek-V3"].config | {"num_nextn_predict_layers": 1})


def plans():
    """Plans of every format, with tokens kept, with a prefix, with drafts of all three kinds."""
    for kv_format, prefix in itertools.product(VLLM_FORMATS, (0, 512)):
        yield Plan("Qwen3-8B", "bf16", "B200", kv_format, 8_192, 2, prefix)
    yield Plan("Qwen3-8B", "bf16", "B200", context=8_192, kept=4_096)
    for model, second in (("Qwen3-8B", None), ("Qwen3-8B", "Qwen3-0.6B"), (WITH_LAYERS, None)):
        yield Plan(model, "q4_0", "H200", context=8_192, second_model=second, draft_tokens=3)


def words_of(plan):
    """The words of the printed command behind ``vllm serve``."""
    [command] = re.findall(r"```\n(.*?)\n```", settings(plan)["vLLM"], re.DOTALL)
    words = shlex.split(command.replace("\\\n", " "))
    return words[words.index("serve") + 1 :]


def test_every_plan_prints_a_command():
    assert all(words_of(plan)[0] == "MODEL" for plan in plans())


def test_vllm_s_own_parser_takes_every_command():
    if not PYTHON.exists():
        pytest.skip(f"there is no {ENVIRONMENT.name}, an environment with vLLM, beside this one")
    asked = [words_of(plan) for plan in plans()]
    lines = "".join(json.dumps(words) + "\n" for words in asked)
    done = subprocess.run([PYTHON, "-c", CHILD], input=lines, capture_output=True, text=True)
    given = [json.loads(line.removeprefix("given ")) for line in done.stdout.splitlines() if line.startswith("given ")]
    assert len(given) == len(asked), done.stderr[-2_000:]
    for plan, found in zip(plans(), given, strict=True):
        assert found["model_tag"] == "MODEL"
        assert (found["max_model_len"], found["max_num_seqs"]) == (str(plan.context), str(plan.sequences))
        assert found["kv_cache_dtype"] == VLLM_FORMATS[plan.kv_format]
        assert ("num_speculative_tokens" in found["speculative_config"]) == (plan.draft_tokens > 0)

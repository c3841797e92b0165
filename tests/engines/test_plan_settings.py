"""llama.cpp, started with what a plan's page says, keeps the cache that the plan counts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import helpers
from helpers.arithmetic import MiB, Plan
from helpers.arithmetic.checkpoint import read_checkpoint
from helpers.arithmetic.engine_settings import LLAMA_CPP_FORMATS, settings
from helpers.engines.llama_cpp import _read_when_written
from helpers.engines.llama_cpp_log import read_log
from tests.arithmetic.test_engine_settings import options_of

REASONER = Path(helpers.__file__).parent / "models" / "reasoner"
# Each option as common/arg.cpp of llama.cpp sets it.
CHILD = """
import json, os, sys, xllamacpp
given = json.loads(sys.stdin.readline())
params = xllamacpp.CommonParams()
print(json.dumps({"cache_ram": params.cache_ram_mib, "context_shift": params.ctx_shift}), flush=True)
kind = lambda name: getattr(xllamacpp.ggml_type, "GGML_TYPE_" + name.upper())
params.model.path = given.pop("-m")
params.n_ctx = int(given.pop("--ctx-size"))
params.n_parallel = int(given.pop("--parallel"))
params.cache_type_k, params.cache_type_v = kind(given.pop("--cache-type-k")), kind(given.pop("--cache-type-v"))
attention = {"on": "LLAMA_FLASH_ATTN_TYPE_ENABLED"}[given.pop("--flash-attn")]
params.flash_attn_type = getattr(xllamacpp.llama_flash_attn_type, attention)
params.n_gpu_layers = {"all": -2}[given.pop("--gpu-layers")]
params.cache_ram_mib = int(given.pop("--cache-ram"))
params.ctx_shift = given.pop("--no-context-shift") != ""
assert not given, given
assert (params.cache_ram_mib, params.ctx_shift) == (0, False)
params.hostnames, params.port, params.verbosity, params.warmup = ["127.0.0.1"], 0, 4, False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)
"""


@pytest.mark.parametrize("kv_format", LLAMA_CPP_FORMATS)
def test_the_command_keeps_what_the_plan_counts(reasoner_gguf, kv_format, tmp_path):
    plan = Plan(read_checkpoint(REASONER), "bf16", "L4", kv_format, context=768, sequences=2)
    options = options_of(settings(plan)["llama.cpp"]) | {"-m": str(reasoner_gguf)}
    defaults, said = _start(options, tmp_path / "log")
    assert defaults == {"cache_ram": 8_192, "context_shift": False}  # as the page says
    room = read_log(said).room
    assert (room.cells, room.caches, room.kv_mib) == (768, 2, round(plan.cache / MiB, 2))


def _start(options: dict[str, str], log: Path) -> tuple[dict[str, int], str]:
    """The defaults that llama.cpp names and its whole log, which it writes behind what it answers."""
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as child,
    ):
        child.stdin.write(json.dumps(options) + "\n")
        child.stdin.flush()
        defaults, address = child.stdout.readline(), child.stdout.readline().strip()
        said = _read_when_written(log, address or None)
        child.kill()
    assert address, said[-2_000:]
    return json.loads(defaults), said

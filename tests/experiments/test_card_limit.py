"""Watch it die, small: full attention ends at the very token at which blocks are out; with TriAttention it goes on."""

import dataclasses
import json
import runpy
import subprocess
import sys
import types
import warnings
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache

from helpers.arithmetic import MODELS, GiB, KVShape, MiB, find_model, weights_bytes
from helpers.arithmetic.catalog import IN_LESSONS
from helpers.experiments import card_limit
from helpers.experiments.bytes_per_sequence import scoring_bytes, slot_bytes
from helpers.experiments.card_limit import BLOCKS, EVICTING, TINY, Plan, blocks_that_fit, capped, thin, watch
from helpers.experiments.stand_ins import random_model
from helpers.machine import address_space
from helpers.machine.device import is_out_of_memory
from helpers.measuring import weight_bytes
from helpers.records import load_card_limit

PLAIN = [
    name
    for name, model in MODELS.items()
    if name in IN_LESSONS
    and KVShape.from_config(model.config).count("full") == KVShape.from_config(model.config).n_layers
    and "text_config" not in model.config
]


@pytest.fixture(scope="module")
def model():
    return random_model(thin(TINY.config))


# --- The runs --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("stride", [16, 7, 1])
def test_full_attention_dies_at_the_last_slot_and_triattention_passes_it(stride):
    full, tri = watch(dataclasses.replace(TINY, stride=stride), "cpu")
    assert [full["name"], tri["name"]] == [BLOCKS, EVICTING]
    assert (full["tokens"], full["finished"]) == (20 * 16, False)
    assert full["error"] == "OutOfBlocks: out of blocks: 1 needed, 0 free, 20 held"
    assert (tri["tokens"], tri["finished"], tri["error"]) == (512, True, None)
    token = KVShape.from_config(TINY.config).bytes_per_token("bf16")
    assert full["bytes_held"] == 320 * token
    assert tri["bytes_held"] == (96 + 32) * token  # the peak of the saw-tooth
    assert tri["blocks_freed"] == (512 - 96) // 32 * 2


def test_the_curve_climbs_to_the_wall_or_saws(model):
    full, tri = watch(TINY, "cpu")
    token = KVShape.from_config(TINY.config).bytes_per_token("bf16")
    assert all(held == -(-seen // 16) * 16 * token for seen, held in full["curve"])
    assert [seen for seen, _ in full["curve"]] == sorted({seen for seen, _ in full["curve"]})
    assert max(held for seen, held in tri["curve"] if seen > 128) == 128 * token
    assert tri["curve"][-1] == [512, 96 * token]
    teeth = [(a, b) for a, b in zip(tri["curve"], tri["curve"][1:], strict=False) if a[0] == b[0]]
    assert [(seen, held - low) for (seen, held), (_, low) in teeth] == [(t, 32 * token) for t in range(128, 513, 32)]


def test_nearly_all_tokens_may_be_made_up_but_each_pass_decodes_one(model, monkeypatch):
    passes, predict_next = [], card_limit.predict_next
    monkeypatch.setattr(
        card_limit, "predict_next", lambda m, ids, c: (passes.append(ids.shape), predict_next(m, ids, c))[1]
    )
    next(watch(TINY, "cpu"))
    assert passes[:20] == [(1, 1)] * 20
    assert len(passes) == 320 // 16 + 1  # the last one meets the wall


class Growing(DynamicCache):
    """Dies in the middle of a pass, in its second layer, as a GPU does."""

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        if layer_idx == 1 and self.get_seq_length() > 100:
            raise torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ...\nSee the manual"
            )
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)


def test_a_gpu_s_own_crash_is_caught_and_its_words_are_kept(model):
    line = card_limit.run(model, TINY, Growing(config=model.config))
    assert (line["finished"], line["tokens"]) == (False, 96)
    assert line["error"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has ..."
    assert line["bytes_held"] == 96 * KVShape.from_config(TINY.config).bytes_per_token("fp32")


def test_a_cpu_s_own_crash_is_known_by_its_words():
    with pytest.raises(RuntimeError) as crash:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(crash.value) and card_limit.is_wall(crash.value)
    assert not is_out_of_memory(RuntimeError("a bug")) and not card_limit.is_wall(MemoryError())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_rows_have_16_bits_wherever_they_are(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert card_limit.dtype_of(device) == {"cpu": torch.bfloat16, "cuda": torch.float16}[device]


def test_any_other_error_is_nobody_s_wall(model):
    class Broken(DynamicCache):
        def update(self, *args, **kwargs):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        card_limit.run(model, TINY, Broken(config=model.config))


# --- The twin, the cap, the pool -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", PLAIN)
def test_the_thin_twin_keeps_the_rows_and_weighs_next_to_nothing(name):
    published = find_model(name)
    twin, shape = thin(published.config), KVShape.from_config(published.config)
    assert KVShape.from_config(twin) == shape
    if name == card_limit.MODEL:
        with torch.device("meta"):
            weight = weight_bytes(random_model(twin, "meta", torch.bfloat16))
        assert shape.bytes_per_token("bf16") == 256 * 1024
        assert weight < 0.01 * weights_bytes(published.n_params, "q4_k_m")


@pytest.fixture
def card(monkeypatch):
    """A GPU of 80 GiB that is not there: the fractions of it that PyTorch was allowed."""
    fractions = []
    properties = types.SimpleNamespace(total_memory=80 * GiB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", fractions.append)
    return fractions


def test_the_cap_is_lifted_again_whatever_happens(card):
    with pytest.raises(KeyError), capped("cuda", 24 * GiB):
        assert card == [0.3]
        raise KeyError
    assert card == [0.3, 1.0]


def test_a_cap_that_cannot_be_had_is_refused(card, monkeypatch):
    with pytest.raises(ValueError, match="the cap is 96.0 GiB; this GPU has 80.0 GiB"), capped("cuda", 96 * GiB):
        pass
    assert card == []
    monkeypatch.setattr(address_space, "resource", None)
    with pytest.raises(ValueError, match="a cap on a CPU needs Linux"), capped("cpu", 24 * GiB):
        pass


def test_caches_for_which_a_machine_has_no_memory_are_refused(monkeypatch):
    monkeypatch.setattr(card_limit, "capped", lambda *_: nullcontext())
    monkeypatch.setattr(card_limit, "free_memory", lambda device: GiB)
    plan = dataclasses.replace(TINY, weights=GiB, cap=3 * GiB)
    with pytest.raises(ValueError, match="leaves 2.0 GiB beside the weights; this machine has 1.0 GiB free"):
        next(watch(plan, "cpu"))


def test_without_a_wall_there_is_nothing_to_watch():
    with pytest.raises(ValueError, match="neither a cap nor num_blocks"):
        dataclasses.replace(TINY, num_blocks=None)


def test_the_pool_takes_what_the_cap_leaves(model, monkeypatch):
    monkeypatch.setattr(card_limit, "_bytes_left", lambda plan, device: plan.cap - 2**20)
    one = 16 * slot_bytes(KVShape.from_config(TINY.config), 4, scored=False)
    work = 128 * (slot_bytes(KVShape.from_config(TINY.config), 4, scored=True) - one // 16)
    work += scoring_bytes(KVShape.from_config(TINY.config), 128)
    plan = dataclasses.replace(TINY, cap=card_limit.ACTIVATIONS + 2**20 + work + 9 * one)
    assert blocks_that_fit(model, plan) == 9
    assert blocks_that_fit(model, dataclasses.replace(plan, cap=plan.cap - 1)) == 8
    with pytest.raises(ValueError, match="budget is 96: under .* the cache has"):
        blocks_that_fit(model, dataclasses.replace(plan, cap=plan.cap - 2 * one))


def test_what_the_cap_leaves_is_asked_of_the_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3 * GiB)
    monkeypatch.setattr(address_space, "bytes_left", lambda: GiB)
    plan = dataclasses.replace(TINY, cap=24 * GiB)
    assert [card_limit._bytes_left(plan, device) for device in ("cuda", "cpu")] == [21 * GiB, GiB]


# --- A process under a cap, in a process of its own ------------------------------------------------------------------
ROOT = Path(__file__).parents[2]
CAPPED = """
import json, resource
from helpers.experiments import card_limit
from helpers.experiments.card_limit import TINY, Plan, watch
from helpers.arithmetic.catalog import MiB

card_limit.ACTIVATIONS = 40 * MiB
config = TINY.config | {"num_hidden_layers": 8, "head_dim": 32}
plan = Plan(config, weights=200 * MiB, cap=300 * MiB, tokens=60_000, budget=2048, interval=1024, stride=1024)
lines = list(watch(plan, "cpu"))
print(json.dumps([lines, resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY]))
"""
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits a process so")


def in_its_own_process(code):
    """One thread, since each takes some of the address space."""
    code = f"import torch\ntorch.set_num_threads(1)\n{code}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@linux_only
def test_on_a_cpu_the_process_itself_runs_out_of_memory():
    (growing, full, tri), lifted = json.loads(in_its_own_process(CAPPED))
    token = 2 * 8 * 2 * 32 * 2  # K and V, layers, KV heads, head_dim, bytes
    fit = 100 * MiB // token
    assert growing["error"].startswith("RuntimeError: ") and "can't allocate memory" in growing["error"]
    # Kernels take some of the address space for each new length, on some processors a quarter of it (38,912 of 51,200).
    assert 0.5 * fit <= growing["tokens"] <= fit
    assert growing["bytes_held"] == growing["tokens"] * token
    assert full["error"].startswith("OutOfBlocks") and full["tokens"] == 16 * full["num_blocks"] < fit
    assert (tri["finished"], tri["tokens"], tri["bytes_held"]) == (True, 60_000, 3072 * token)
    assert lifted


@linux_only
def test_a_limit_of_the_system_s_own_is_respected():
    code = """
import resource
from helpers.machine.address_space import limited
from helpers.arithmetic.catalog import GiB
resource.setrlimit(resource.RLIMIT_AS, (8 * GiB, 8 * GiB))
try:
    with limited(24 * GiB):
        pass
except ValueError as error:
    print(error)
print(resource.getrlimit(resource.RLIMIT_AS)[0] // GiB)
"""
    assert in_its_own_process(code) == "the cap is more than this system allows the process (ulimit -v)\n8\n"


# --- The record ------------------------------------------------------------------------------------------------------
def test_the_record_is_of_the_plan_that_the_claim_speaks_of():
    found = load_card_limit()
    model = find_model(card_limit.MODEL)
    weights = int(weights_bytes(model.n_params, card_limit.WEIGHT_FORMAT))
    assert Plan(**found.plan) == Plan(model.config, weights, 24 * GiB, stride=found.plan["stride"])
    assert found.facts["command"].startswith("python -m helpers.experiments.card_limit --device ")
    assert found.facts["ends"] == [run.tokens for run in found.runs.values() if run.error]


# --- The command -----------------------------------------------------------------------------------------------------
def command(monkeypatch, *words):
    """What ``python -m helpers.experiments.card_limit`` does, in this process."""
    monkeypatch.setattr(sys, "argv", ["-", "--device", "cpu", *words])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the module is there already, runpy remarks
        runpy.run_module("helpers.experiments.card_limit", run_name="__main__")


def test_the_command_saves_what_it_watched(tmp_path, monkeypatch, capsys):
    command(monkeypatch, "--tiny", "--out", str(tmp_path / "x.json"))
    out = capsys.readouterr().out
    saved = json.loads((tmp_path / "x.json").read_text())
    assert saved["command"] == "python -m helpers.experiments.card_limit --device cpu --tiny"
    assert saved["ends"] == [320]
    assert [line["finished"] for line in saved["lines"]] == [False, True]
    assert "out of blocks" in out


def test_where_nothing_can_be_limited_the_command_says_so_in_one_line(monkeypatch):
    monkeypatch.setattr(address_space, "resource", None)
    with pytest.raises(SystemExit) as end:
        command(monkeypatch, "--cap", "24")
    assert end.value.code == "a cap on a CPU needs Linux; try --tiny, where a small pool is the wall"

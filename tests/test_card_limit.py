"""Watch it die, small: full attention ends at the very token at which blocks are out; with TriAttention it goes on."""

import dataclasses
import json
import runpy
import sys
import types
import warnings

import pytest
import torch
from transformers import DynamicCache

from helpers import card_limit
from helpers.bench import random_model
from helpers.capacity import slot_bytes
from helpers.card_limit import BLOCKS, EVICTING, TINY, blocks_that_fit, capped, thin, watch
from helpers.catalog import MODELS, GiB, find_model
from helpers.footprint import KVShape, weights_bytes
from helpers.measure import weight_bytes

PLAIN = [
    name
    for name, model in MODELS.items()
    if KVShape.from_config(model.config).count("full") == KVShape.from_config(model.config).n_layers
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
    token = KVShape.from_config(TINY.config).bytes_per_token("fp32")
    assert full["bytes_held"] == 320 * token
    assert tri["bytes_held"] == (96 + 32) * token  # the peak of the saw-tooth
    assert tri["blocks_freed"] == (512 - 96) // 32 * 2


def test_the_curve_climbs_to_the_wall_or_saws(model):
    full, tri = watch(TINY, "cpu")
    token = KVShape.from_config(TINY.config).bytes_per_token("fp32")
    assert all(held == -(-seen // 16) * 16 * token for seen, held in full["curve"])
    assert [seen for seen, _ in full["curve"]] == sorted({seen for seen, _ in full["curve"]})
    assert max(held for seen, held in tri["curve"] if seen > 128) == 128 * token
    assert tri["curve"][-1][0] == 512


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


def test_a_cap_that_cannot_be_had_is_refused(card):
    with pytest.raises(ValueError, match="the cap is 96.0 GiB; this GPU has 80.0 GiB"), capped("cuda", 96 * GiB):
        pass
    with pytest.raises(ValueError, match="a cap needs a GPU"), capped("cpu", 24 * GiB):
        pass
    assert card == []


def test_without_a_wall_there_is_nothing_to_watch():
    with pytest.raises(ValueError, match="neither a cap nor num_blocks"):
        dataclasses.replace(TINY, num_blocks=None)


def test_the_pool_takes_what_the_cap_leaves(model, monkeypatch):
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2**20)
    one = 16 * slot_bytes(KVShape.from_config(TINY.config), 4, scored=False)
    work = 128 * (slot_bytes(KVShape.from_config(TINY.config), 4, scored=True) - one // 16)
    plan = dataclasses.replace(TINY, cap=card_limit.ACTIVATIONS + 2**20 + work + 9 * one)
    assert blocks_that_fit(model, plan) == 9
    assert blocks_that_fit(model, dataclasses.replace(plan, cap=plan.cap - 1)) == 8
    with pytest.raises(ValueError, match="budget is 96: under .* the cache has"):
        blocks_that_fit(model, dataclasses.replace(plan, cap=plan.cap - 2 * one))


# --- The command -----------------------------------------------------------------------------------------------------
def command(monkeypatch, *words):
    """What ``python -m helpers.card_limit`` does, in this process."""
    monkeypatch.setattr(sys, "argv", ["-", "--device", "cpu", *words])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the module is there already, runpy remarks
        runpy.run_module("helpers.card_limit", run_name="__main__")


def test_the_command_saves_what_it_watched(tmp_path, monkeypatch, capsys):
    command(monkeypatch, "--tiny", "--out", str(tmp_path / "x.json"))
    out = capsys.readouterr().out
    saved = json.loads((tmp_path / "x.json").read_text())
    assert saved["command"] == "python -m helpers.card_limit --device cpu --tiny"
    assert saved["ends"] == [320]
    assert [line["finished"] for line in saved["lines"]] == [False, True]
    assert "out of blocks" in out


def test_without_a_gpu_the_command_says_so_in_one_line(monkeypatch):
    with pytest.raises(SystemExit) as end:
        command(monkeypatch, "--cap", "24")
    assert end.value.code == "a cap needs a GPU; on cpu try --tiny, where a small pool is the wall"

"""The price of the grid, measured small: it is what the arithmetic says, and memory that runs out is a line."""

import json
import runpy
import sys
import warnings

import pytest
import torch

from helpers.arithmetic import find_model
from helpers.experiments import walls
from helpers.experiments.walls import TINY, Heads, grid_lines


def test_with_the_grid_the_largest_tensor_is_the_grid_and_without_the_output():
    lines = list(grid_lines(TINY, (64, 128), "cpu"))
    assert [(line["length"], line["queries"], line["way"]) for line in lines] == [
        (64, 64, "with the grid"), (64, 64, "without"), (128, 128, "with the grid"), (128, 128, "without"),
    ]  # fmt: skip
    for line in lines:
        output = 4 * 16 * line["length"] * 4
        assert line["grid_bytes"] == 4 * line["length"] ** 2 * 4
        assert line["largest"] == (line["grid_bytes"] if line["way"] == "with the grid" else output)
        assert line["seconds"] > 0
        assert line["error"] is None


def test_a_decoded_token_has_one_line_of_weights_per_head():
    lines = list(grid_lines(TINY, (64,), "cpu", new=1))
    assert [(line["queries"], line["grid_bytes"]) for line in lines] == [(1, 4 * 64 * 4)] * 2


def test_both_ways_compute_the_same_attention(monkeypatch):
    computed = []
    monkeypatch.setattr(walls, "_price", lambda device, call: computed.append(call()) or {})
    for new in (None, 1):
        list(grid_lines(TINY, (64,), "cpu", new))
    for (with_grid, _), without in (computed[:2], computed[2:]):
        assert torch.allclose(with_grid, without, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 128 GiB."),
        (RuntimeError, "DefaultCPUAllocator: can't allocate memory: you tried to allocate 137438953472 bytes."),
    ],
)
def test_memory_that_runs_out_is_a_line_of_the_table(kind, said, monkeypatch):
    def die(*args):
        raise kind(f"{said}\nMore.")

    monkeypatch.setattr(walls, "attend_with_grid", die)
    dead, alive = grid_lines(TINY, (64,), "cpu")
    assert dead["error"] == said
    assert dead["seconds"] is dead["largest"] is None
    assert dead["grid_bytes"] == 4 * 64 * 64 * 4
    assert alive["error"] is None


def test_any_other_error_is_no_line(monkeypatch):
    def die(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr(walls, "attend_with_grid", die)
    with pytest.raises(RuntimeError, match="a bug"):
        next(grid_lines(TINY, (64,), "cpu"))


def test_a_published_layer():
    assert Heads.of(find_model("Qwen3-8B").config) == Heads(32, 8, 128)


def command(monkeypatch, *words):
    """What ``python -m helpers.experiments.walls`` does, in this process."""
    monkeypatch.setattr(sys, "argv", ["-", "--device", "cpu", *words])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the module is there already, runpy remarks
        runpy.run_module("helpers.experiments.walls", run_name="__main__")


def test_the_command_saves_what_it_prints(tmp_path, monkeypatch, capsys):
    command(monkeypatch, "--tiny", "--out", str(tmp_path / "x.json"))
    assert "decoded token; length 64" in capsys.readouterr().out
    saved = json.loads((tmp_path / "x.json").read_text())
    assert saved["command"] == "python -m helpers.experiments.walls --device cpu --tiny"
    assert [len(saved[part]) for part in ("prompt", "decoded token")] == [4, 4]
    assert (saved["dtype"], saved["heads"]) == ("float32", {"n_heads": 4, "n_kv_heads": 2, "head_dim": 16})


@pytest.mark.parametrize(
    ("words", "said"), [(["--shape", "Qwen9"], "no model 'Qwen9'"), (["--lengths", "1"], "lengths is 1")]
)
def test_the_command_says_in_one_line_what_is_wrong(words, said, monkeypatch):
    with pytest.raises(SystemExit, match=said) as end:
        command(monkeypatch, *words)
    assert "\n" not in end.value.code

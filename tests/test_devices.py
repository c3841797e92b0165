"""Measuring on a device: waited for where time is taken, ceilings counted rightly, reports that name the machine."""

import argparse
import json
import types

import pytest
import torch

from helpers.machine import device


@pytest.fixture
def waits(monkeypatch):
    """A GPU that is not there: what was asked of it, in order."""
    asked = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: asked.append("wait"))
    return asked


def test_synchronize_does_nothing_on_a_cpu_and_waits_for_a_gpu(waits):
    device.synchronize("cpu")
    assert waits == []
    device.synchronize(torch.device("cuda", 0))
    assert waits == ["wait"]


def test_time_is_taken_from_an_idle_gpu_to_an_idle_gpu(waits):
    device.seconds_of("cuda", lambda: waits.append("run"))
    assert waits == ["wait", "run", "wait"]


def test_a_median_warms_up_and_waits_within_every_repeat(waits):
    device.median_seconds_on("cuda", lambda: waits.append("run"), repeats=3)
    assert waits == ["wait", *["run", "wait"] * 4]


def test_a_copy_counts_each_byte_read_and_written(monkeypatch):
    monkeypatch.setattr(device, "median_seconds_on", lambda device, run, repeats=5: (run(), 0.5)[1])
    assert device.copy_bandwidth("cpu", size=1000) == 2 * 1000 * device.COPIES / 0.5


def test_a_copy_s_bandwidth_is_of_a_sensible_size():
    assert 1e8 < device.copy_bandwidth("cpu", size=2**22) < 1e13


def test_a_limit_plays_a_smaller_card(monkeypatch):
    monkeypatch.setattr(device, "free_memory", lambda device: {"cpu": 100, "cuda": 200}[device])
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert [device.free_bytes("cpu"), device.free_bytes("cpu", 60), device.free_bytes("cuda:0", 300)] == [
        100,
        60,
        200,
    ]


def test_peak_bytes_are_beyond_what_was_there(monkeypatch, waits):
    assert device.peak_bytes("cpu", lambda: None) is None
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: waits.append("reset"))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 30)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 100)
    assert device.peak_bytes("cuda", lambda: waits.append("run")) == 70
    assert waits == ["reset", "run", "wait"]


def test_the_busiest_part_is_what_takes_the_time():
    large = torch.randn(400, 400)
    parts = device.busiest("cpu", lambda: [large @ large for _ in range(20)])
    assert parts["parts"][0][0] == "aten::mm"
    assert parts["parts"] == sorted(parts["parts"], key=lambda part: -part[1])
    assert parts["seconds"] >= sum(seconds for _, seconds in parts["parts"]) * 0.999


# --- What stands beside the figures -----------------------------------------------------------------------------------
def test_a_gpu_s_facts_name_driver_cuda_and_memory(monkeypatch):
    card = types.SimpleNamespace(major=9, minor=0, total_memory=141 * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    answer = types.SimpleNamespace(stdout="580.1\n580.1\n")
    monkeypatch.setattr(device.subprocess, "run", lambda *args, **kwargs: answer)
    facts = device.describe_device("cuda")
    assert (facts["driver"], facts["capability"], facts["gpu_bytes"]) == ("580.1", "9.0", 141 * 10**9)
    assert "cuda" in facts
    answer.stdout = ""
    assert device.describe_device("cuda")["driver"] == "unknown"


def test_without_nvidia_s_tool_the_driver_is_unknown(monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(device.subprocess, "run", missing)
    assert device._driver() == "unknown"


def test_a_cpu_s_facts_ask_no_gpu():
    report = device.new_report("do it")
    assert report["command"] == "do it"
    assert {"cpu", "torch", "transformers", "threads"} <= set(report["machine"])
    assert report["machine"]["device"] == "cpu"
    assert "driver" not in report["machine"]


@pytest.fixture
def parser():
    parser = device.new_parser("What it does.\n\nMore.")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--budgets", type=int, nargs="+", default=[1, 2])
    return parser


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], "python -m helpers.x --device cpu"),
        (["--tiny"], "python -m helpers.x --device cpu --tiny"),
        (["--budgets", "3", "4"], "python -m helpers.x --device cpu --budgets 3 4"),
        (["--budgets", "1", "2", "--batch-size", "8"], "python -m helpers.x --device cpu --batch-size 8"),
        (["--out", "/somebody/s/folder"], "python -m helpers.x --device cpu"),
    ],
)
def test_the_command_repeats_the_run_and_names_nobody_s_folder(parser, words, command):
    options = parser.parse_args(["--device", "cpu", *words])
    assert device.command_of("helpers.x", parser, options) == command
    again = parser.parse_args(command.split()[3:])
    assert vars(again) | {"out": None} == vars(options) | {"out": None}


@pytest.mark.parametrize(
    ("device", "tiny", "named", "saved"),
    [
        ("cpu", False, False, None),
        ("cuda", True, False, None),
        ("cuda", False, False, "x.json"),
        ("cpu", True, True, "own.json"),
        ("cuda", False, True, "own.json"),
    ],
)
def test_only_a_full_run_on_a_gpu_is_saved_among_the_data(device, tiny, named, saved, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(device, "DATA", tmp_path)
    options = argparse.Namespace(device=device, tiny=tiny, out=tmp_path / "own.json" if named else None)
    device.finish({"a": 1}, options, "x.json")
    assert [path.name for path in tmp_path.iterdir()] == ([saved] if saved else [])
    assert ("not saved" in capsys.readouterr().out) == (saved is None)
    if saved:
        assert json.loads((tmp_path / saved).read_text()) == {"a": 1}

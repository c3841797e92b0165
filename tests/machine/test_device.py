"""Measuring on a device: waited for where time is taken, ceilings counted rightly."""

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
    monkeypatch.setitem(device.COPY_BYTES, "cpu", 1000)
    assert device.copy_bandwidth("cpu") == 2 * 1000 * device.COPIES / 0.5


def test_a_copy_s_bandwidth_is_of_a_sensible_size(monkeypatch):
    monkeypatch.setitem(device.COPY_BYTES, "cpu", 2**22)
    assert 1e8 < device.copy_bandwidth("cpu") < 1e13


def test_a_limit_plays_a_smaller_card(monkeypatch):
    monkeypatch.setattr(device, "free_memory", lambda device: {"cpu": 100, "cuda": 200}[device])
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    asked = (("cpu", None), ("cpu", 60), ("cuda:0", 300))
    assert [device.free_bytes(*each) for each in asked] == [100, 60, 200]


def test_the_busiest_part_is_what_takes_the_time():
    large = torch.randn(400, 400)
    parts = device.busiest("cpu", lambda: [large @ large for _ in range(20)])
    assert parts["parts"][0][0] == "aten::mm"
    assert parts["parts"] == sorted(parts["parts"], key=lambda part: -part[1])
    assert parts["seconds"] >= sum(seconds for _, seconds in parts["parts"]) * 0.999


def test_a_process_holds_what_lies_in_main_memory_and_on_a_gpu(monkeypatch):
    before = device.held_memory("cpu")
    assert before > 10 * 2**20
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2**50)
    assert device.held_memory("cpu") < 2**50 < device.held_memory("cuda")

"""What stands beside every figure: the machine, and the GPU in it."""

import types

import torch

from helpers.machine import description


def test_a_gpu_s_facts_name_driver_cuda_and_memory(monkeypatch):
    card = types.SimpleNamespace(major=9, minor=0, total_memory=141 * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    answer = types.SimpleNamespace(stdout="580.1\n580.1\n")
    monkeypatch.setattr(description.subprocess, "run", lambda *args, **kwargs: answer)
    facts = description.describe_device("cuda")
    assert (facts["driver"], facts["capability"], facts["gpu_bytes"]) == ("580.1", "9.0", 141 * 10**9)
    assert "cuda" in facts
    answer.stdout = ""
    assert description.describe_device("cuda")["driver"] == "unknown"


def test_without_nvidia_s_tool_the_driver_is_unknown(monkeypatch):
    def missing(*args, **kwargs):
        raise FileNotFoundError

    monkeypatch.setattr(description.subprocess, "run", missing)
    assert description._driver() == "unknown"


def test_describe_machine_leaves_nothing_empty(monkeypatch):
    assert set(description.describe_machine()) == {"cpu", "cores", "gpu", "python", "torch", "transformers"}
    assert all(str(value).strip() for value in description.describe_machine().values())
    monkeypatch.setattr(description, "_lines", lambda path: [])  # as on Windows and macOS
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert all(str(value).strip() for value in description.describe_machine().values())

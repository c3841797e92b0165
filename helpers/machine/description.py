"""What stands beside every saved figure: the machine, its device, and the versions that matter."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch
import transformers

from helpers.machine.device import is_cuda


def describe_device(device: str | torch.device) -> dict[str, Any]:
    """The machine, and the device in it: on a GPU its driver, CUDA's version, its memory and compute capability too."""
    facts = describe_machine() | {"threads": torch.get_num_threads(), "device": torch.device(device).type}
    if not is_cuda(device):
        return facts
    properties = torch.cuda.get_device_properties(device)
    return facts | {
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "capability": f"{properties.major}.{properties.minor}",
        "gpu_bytes": properties.total_memory,
    }


def _driver() -> str:
    """The version of NVIDIA's driver, as its own tool says it."""
    question = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(question, capture_output=True, text=True, timeout=60).stdout.split()
    except OSError:
        return "unknown"
    return said[0] if said else "unknown"


def describe_machine() -> dict[str, str | int]:
    """What stands beside every saved measurement: processor, cores, accelerator, and the versions that matter."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in _lines(cpuinfo) if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 1,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []

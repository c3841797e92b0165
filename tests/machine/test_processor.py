"""The switches with which ``make test-processors`` makes this processor another one are seen."""

import os
import re
from pathlib import Path

import torch

from helpers.models.loading import ALL_THREADS

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()
FAR = dict(re.findall(r"(\w+)=(\w+)", " ".join(re.findall(r"^FAR [:+]= (.*)", MAKEFILE, re.MULTILINE))))


def test_torch_computes_as_it_was_told_to():
    told = os.environ.get("ATEN_CPU_CAPABILITY", torch.backends.cpu.get_cpu_capability())
    assert torch.backends.cpu.get_cpu_capability() == told.upper().replace("_", " ")
    assert int(os.environ["OMP_NUM_THREADS"]) == ALL_THREADS


def test_far_away_all_switches_are_on():
    assert set(FAR) > {"ATEN_CPU_CAPABILITY", "MKL_CBWR", "OPENBLAS_CORETYPE"} and FAR["OMP_NUM_THREADS"] == "2"

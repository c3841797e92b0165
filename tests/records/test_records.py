"""Every saved measurement stands in the register, says how it came about, and is read by its own file."""

import importlib
import json
import re
import sys

import pytest

from helpers.records import RECORDS
from helpers.records.__main__ import ROOT, describe, shown_in
from helpers.records.measured import FOLDER, Measured, read

EXPERIMENTS = ROOT / "helpers" / "experiments"


def test_register_files_and_readers_are_the_same_names():
    assert list(RECORDS) == sorted(path.stem for path in FOLDER.glob("*.json"))
    readers = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "__main__", "measured", "texts"}
    assert {name: load.__module__ for name, load in RECORDS.items()} == {n: f"helpers.records.{n}" for n in readers}


def test_every_experiment_that_can_be_run_has_a_record():
    runnable = {path.stem for path in EXPERIMENTS.glob("*.py") if "\ndef main()" in path.read_text(encoding="utf-8")}
    beside_their_weights = {"train_reasoner", "train_english_reasoner"}
    assert runnable - beside_their_weights == set(RECORDS)


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_names_its_command_its_date_and_its_machine(name):
    report = read(name)
    assert re.match(rf"python -m helpers\.experiments\.{name}( --|$)", report["command"])
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", report["date"])
    assert {"cpu", "cores", "gpu", "python", "torch", "transformers"} <= report["machine"].keys()


@pytest.mark.parametrize("name", RECORDS)
def test_its_reader_reads_it(name):
    found, report = RECORDS[name](), read(name)
    assert isinstance(found, Measured)
    assert found.facts.items() <= report.items()
    assert report["machine"]["torch"] in found.made_on and report["date"] in found.made_on


@pytest.mark.parametrize("name", RECORDS)
def test_its_command_is_there(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["-", "--help"])
    with pytest.raises(SystemExit) as end:
        importlib.import_module(f"helpers.experiments.{name}").main()
    said = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0
    assert said.startswith(f"usage: python -m helpers.experiments.{name} ")
    assert f"becomes helpers/records/{name}.json" in said


# --- On what it was made ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("device", "made_on"),
    [
        ({"device": "cpu", "threads": 2}, "a processor, 2 threads, torch 2.13.0, 2026-11-22"),
        ({"device": "cpu", "threads": 1}, "a processor, 1 thread, torch 2.13.0, 2026-11-22"),
        ({"device": "cuda", "threads": 2}, "a card, torch 2.13.0, 2026-11-22"),
        ({}, "a processor, torch 2.13.0, 2026-11-22"),  # as early reports have it
    ],
)
def test_a_caption_names_the_device_that_was_measured(device, made_on):
    machine = {"cpu": "a processor", "gpu": "a card", "torch": "2.13.0"} | device
    found = Measured({"date": "2026-11-22", "machine": machine})
    assert (found.made_on, found.on_gpu) == (made_on, device.get("device") == "cuda")


# --- Who shows it ----------------------------------------------------------------------------------------------------
def test_all_but_the_bench_are_shown_and_its_description_says_where():
    # llama.cpp's and SmolLM2's are measured; the lessons that tell them are yet to be written.
    unseen = [name for name, load in RECORDS.items() if not shown_in(load.__name__)]
    assert unseen == ["memory_speed"]
    assert describe("memory_speed").splitlines()[:2] == [
        "memory_speed: How quick the memory system is, against its goals.",
        "    shown in no lesson",
    ]
    assert describe("sweep").endswith(f"\n    {read('sweep')['command']}")


@pytest.mark.parametrize(
    ("code", "shows"),
    [
        ("from helpers.records import load_x, load_y\nload_x()", True),
        ("from helpers.pictures.frames import draw", True),
        ("from helpers.pictures import others, frames as f", True),
        ("from helpers.pictures import others", False),
        ("from helpers.other import frames", False),
        ("from helpers.records import load_xyz", False),
    ],
)
def test_a_record_is_shown_where_it_is_loaded_itself_or_by_a_helper(code, shows, tmp_path):
    for folder in ("helpers/pictures", "helpers/records", "labs/masters"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "helpers/pictures/frames.py").write_text("from helpers.records import load_x\n")
    (tmp_path / "helpers/pictures/others.py").write_text("from helpers.records import load_xyz\n")
    (tmp_path / "helpers/records/x.py").write_text("def load_x(): ...\n")
    cells = [
        {"cell_type": "markdown", "source": ["load_x()"]},
        {"cell_type": "code", "source": code.splitlines(keepends=True)},
    ]
    (tmp_path / "labs/masters/lab_7_of_the_2nd_kind.ipynb").write_text(json.dumps({"cells": cells}))
    assert shown_in("load_x", tmp_path) == (["lab 7"] if shows else [])

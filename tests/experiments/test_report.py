"""Reports name the machine and the command that repeats them, and are saved where they should be."""

import json

import pytest

from helpers.experiments import report


def test_a_cpu_s_facts_ask_no_gpu():
    made = report.new_report("do it")
    assert made["command"] == "do it"
    assert {"cpu", "torch", "transformers", "threads"} <= set(made["machine"])
    assert made["machine"]["device"] == "cpu"
    assert "driver" not in made["machine"]


def parser_of(for_gpu):
    parser = report.new_parser("x", "What it does.\n\nMore.", for_gpu)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--budgets", type=int, nargs="+", default=[1, 2])
    return parser


ON_CPU = "--device cpu"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", ""),
        ("--budgets 3 4", "--budgets 3 4"),
        ("--budgets 1 2 --batch-size 8", "--batch-size 8"),
        ("--out /somebody/s/folder", ""),
        (ON_CPU, ON_CPU),
        (f"{ON_CPU} --tiny", f"{ON_CPU} --tiny"),
        (f"{ON_CPU} --budgets 1 2 --batch-size 8", f"{ON_CPU} --batch-size 8"),
        (f"--budgets 3 4 {ON_CPU}", f"{ON_CPU} --budgets 3 4"),
    ],
)
def test_the_command_repeats_the_run_and_names_nobody_s_folder(words, said):
    parser = parser_of(for_gpu=ON_CPU in words)
    options = parser.parse_args(words.split())
    command = report.command_of(parser, options)
    assert command == f"python -m helpers.experiments.x {said}".strip()
    again = parser.parse_args(command.split()[3:])
    assert vars(again) | {"out": None} == vars(options) | {"out": None}


@pytest.mark.parametrize(
    ("words", "saved"),
    [
        (None, "x.json"),
        (["--device", "cpu"], None),
        (["--device", "cuda", "--tiny"], None),
        (["--device", "cuda"], "x.json"),
        (["--device", "cpu", "--tiny", "--out"], "own.json"),
        (["--device", "cuda", "--out"], "own.json"),
    ],
)
def test_what_only_a_gpu_s_figures_make_a_record_of_is_saved_from_a_full_run_on_one(
    words, saved, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    words, for_gpu = words or [], words is not None
    place = [str(tmp_path / "own.json")] if "--out" in words else []
    report.finish({"a": 1}, parser_of(for_gpu).parse_args([*words, *place]))
    assert [path.name for path in tmp_path.iterdir()] == ([saved] if saved else [])
    assert ("not saved" in capsys.readouterr().out) == (saved is None)
    if saved:
        assert json.loads((tmp_path / saved).read_text()) == {"a": 1}


def test_a_record_is_laid_out_in_lines_that_can_be_compared(tmp_path):
    saved = {"a": {"b": [1, 2]}, "cells": [{"c": [1.5, None]}, {"c": []}], "none": [], "log": ["x", "y"]}
    path = tmp_path / "folder" / "x.json"
    report.save(saved, path)
    assert path.read_text().splitlines() == [
        "{", '"a": {"b": [1, 2]},', '"cells": [', '{"c": [1.5, null]},', '{"c": []}', "],",
        '"none": [],', '"log": [', '"x",', '"y"', "]", "}",
    ]  # fmt: skip
    assert json.loads(path.read_text()) == saved

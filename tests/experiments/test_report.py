"""Reports name the machine and the command that repeats them, and are saved where they should be."""

import argparse
import json

import pytest

from helpers.experiments import report


def test_a_cpu_s_facts_ask_no_gpu():
    made = report.new_report("do it")
    assert made["command"] == "do it"
    assert {"cpu", "torch", "transformers", "threads"} <= set(made["machine"])
    assert made["machine"]["device"] == "cpu"
    assert "driver" not in made["machine"]


@pytest.fixture
def parser():
    parser = report.new_parser("What it does.\n\nMore.")
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
    assert report.command_of("helpers.x", parser, options) == command
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
    monkeypatch.setattr(report, "RECORDS", tmp_path)
    options = argparse.Namespace(device=device, tiny=tiny, out=tmp_path / "own.json" if named else None)
    report.finish({"a": 1}, options, "x.json")
    assert [path.name for path in tmp_path.iterdir()] == ([saved] if saved else [])
    assert ("not saved" in capsys.readouterr().out) == (saved is None)
    if saved:
        assert json.loads((tmp_path / saved).read_text()) == {"a": 1}

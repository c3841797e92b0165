"""What all experiments share: the command line, the head of a report, and the record that it becomes.

``helpers/experiments/NAME.py``, run as ``python -m helpers.experiments.NAME``, writes ``helpers/records/NAME.json``.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

import torch

from helpers.machine.description import describe_device
from helpers.machine.device import is_cuda, pick_device
from helpers.records.measured import FOLDER

CHOICES = ("cuda", "cpu")


def new_parser(name: str, doc: str, for_gpu: bool = False) -> argparse.ArgumentParser:
    """The command line of an experiment, with what all have: where to save.

    Args:
        name: of the experiment's file, and of its record.
        doc: the file's docstring, of which the first line is shown.
        for_gpu: True where only a GPU's figures make a record: the device can be chosen then, and a size for a trial.
    """
    parser = argparse.ArgumentParser(f"python -m helpers.experiments.{name}", description=doc.splitlines()[0])
    parser.set_defaults(record=FOLDER / f"{name}.json", for_gpu=for_gpu)
    when = "a full run on cuda" if for_gpu else "it"
    parser.add_argument(
        "--out", type=Path, help=f"where to save; by default {when} becomes helpers/records/{name}.json"
    )
    if for_gpu:
        parser.add_argument("--device", choices=CHOICES, default="cuda" if pick_device() == "cuda" else "cpu")
        parser.add_argument("--tiny", action="store_true", help="a size that takes seconds, to see that it runs")
    return parser


def command_of(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """The command line that repeats a run: the device, if there is a choice, and what differs from the defaults."""
    words = [parser.prog]
    for name, value in vars(options).items():
        if name == "out" or (name != "device" and value == parser.get_default(name)):
            continue
        values = "" if value is True else " ".join(map(str, value if isinstance(value, list) else [value]))
        words.append(f"--{name.replace('_', '-')} {values}".strip())
    return " ".join(words)


def new_report(command: str, device: str | torch.device = "cpu") -> dict[str, Any]:
    """What stands at the head of saved measurements: the command that repeats them, the day, and the machine."""
    today = datetime.date.today().isoformat()
    return {"command": command, "date": today, "machine": describe_device(device)}


def finish(report: dict[str, Any], options: argparse.Namespace) -> None:
    """Save a report where the options say; with no place named it becomes the record, if it is worth one."""
    is_the_real_one = not options.for_gpu or (is_cuda(options.device) and not options.tiny)
    path = options.out or (options.record if is_the_real_one else None)
    if path is None:
        print("not saved: only a full run on cuda goes to helpers/records; name a place with --out")
        return
    save(report, path)
    print(f"saved to {path}")


def save(report: dict[str, Any], path: Path) -> None:
    """Write a report as JSON: an entry per line, and of a list each of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = (f"{json.dumps(name)}: {_in_lines(value)}" for name, value in report.items())
    path.write_text("{\n" + ",\n".join(entries) + "\n}\n", encoding="utf-8")


def _in_lines(value: Any) -> str:
    if not isinstance(value, list | tuple) or not value:
        return json.dumps(value)
    return "[\n" + ",\n".join(map(json.dumps, value)) + "\n]"

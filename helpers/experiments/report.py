"""What all experiments share: the command line, the head of a report, and where it is saved."""

from __future__ import annotations

import argparse
import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from helpers.machine.description import describe_device
from helpers.machine.device import is_cuda, pick_device
from helpers.records.measured import RECORDS

CHOICES = ("cuda", "cpu")


def new_report(command: str, device: str | torch.device = "cpu") -> dict[str, Any]:
    """What stands at the head of saved measurements: the command that repeats them, the day, and the machine."""
    today = datetime.date.today().isoformat()
    return {"command": command, "date": today, "machine": describe_device(device)}


def save(report: dict[str, Any], path: Path) -> None:
    """Write a report as JSON."""
    path.write_text(json.dumps(report, indent=1) + "\n")


def new_parser(description: str) -> argparse.ArgumentParser:
    """A command line with what all measurements have: the device, a size that takes seconds, and where to save."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--device", choices=CHOICES, default="cuda" if pick_device() == "cuda" else "cpu")
    parser.add_argument("--tiny", action="store_true", help="a size that takes seconds, to see that it runs")
    parser.add_argument("--out", type=Path, help="where to save; by default a full run on cuda goes to helpers/records")
    return parser


def command_of(module: str, parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """The command line that repeats a run: what differs from the defaults, and the device in any case."""
    words = [f"python -m {module} --device {options.device}"]
    for name, value in vars(options).items():
        if name in ("device", "out") or value == parser.get_default(name):
            continue
        values = "" if value is True else " ".join(map(str, value if isinstance(value, list) else [value]))
        words.append(f"--{name.replace('_', '-')} {values}".strip())
    return " ".join(words)


def finish(report: dict[str, Any], options: argparse.Namespace, name: str) -> None:
    """Save a report where the options say; a tiny run, or one on a CPU, only where a place is named."""
    is_the_real_one = is_cuda(options.device) and not options.tiny
    path = options.out or (RECORDS / name if is_the_real_one else None)
    if path is None:
        print("not saved: only a full run on cuda goes to helpers/records; name a place with --out")
        return
    save(report, path)
    print(f"saved to {path}")


@dataclass(frozen=True)
class Row:
    """One line of the table: what was compared, the ratio, and the goal where there is one."""

    what: str
    figure: str
    goal: str = ""
    reached: bool | None = None

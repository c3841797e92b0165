"""What all saved measurements share: where they lie, how they are read, and on what they were made.

The files hold the last run of their command, on whatever machine it ran; who shows them says on which.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def read(name: str) -> dict[str, Any]:
    """The report of the experiment ``helpers.experiments.NAME``, as it was saved."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Measured:
    """How figures were made: ``facts`` holds the command that repeats them, the date and the machine."""

    facts: dict[str, Any]

    @property
    def on_gpu(self) -> bool:
        """True where a GPU was measured."""
        return self.facts["machine"].get("device") == "cuda"  # early reports, of a CPU, name no device

    @property
    def made_on(self) -> str:
        """Machine, version and date, for a caption."""
        machine = self.facts["machine"]
        device = machine["gpu"] if self.on_gpu else machine["cpu"]
        if not self.on_gpu and "threads" in machine:  # nor do all early ones name these
            device += f", {machine['threads']} thread{'s' * (machine['threads'] != 1)}"
        return f"{device}, torch {machine['torch']}, {self.facts['date']}"

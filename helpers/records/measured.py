"""What all saved measurements share: where they lie, and on what they were made.

The files hold the last run of their command, on whatever machine it ran; who shows them says on which.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).parent


@dataclass(frozen=True)
class Measured:
    """How figures were made: ``facts`` holds the command that repeats them, the date and the machine."""

    facts: dict[str, Any]

    @property
    def on_gpu(self) -> bool:
        """True where a GPU was measured."""
        return self.facts["machine"]["device"] == "cuda"

    @property
    def made_on(self) -> str:
        """Machine, version and date, for a caption."""
        machine = self.facts["machine"]
        device = machine["gpu"]
        if not self.on_gpu:
            device = f"{machine['cpu']}, {machine['threads']} thread{'s' * (machine['threads'] != 1)}"
        return f"{device}, torch {machine['torch']}, {self.facts['date']}"

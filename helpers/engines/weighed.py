"""An engine weighed: what its process holds once it is ready, and what of that is weights, cache and the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from helpers.arithmetic.catalog import MiB
from helpers.engines.engine import Figures
from helpers.engines.llama_cpp import LlamaCpp


@dataclass(frozen=True)
class Weighed:
    """llama.cpp, ready to be asked, before anybody has said a word to it.

    Attributes:
        file: bytes of the model's file.
        held: bytes that the engine's process holds in main memory, by the operating system.
        figures: what the engine says of itself.
    """

    file: int
    held: int
    figures: Figures

    @property
    def terms(self) -> dict[str, float]:
        """Bytes by term, by the engine's own lines; ``the program`` is what it says nothing of."""
        said = {
            "compute buffer": (self.figures.compute_mib or 0) * MiB,
            "weights": (self.figures.model_mib or 0) * MiB,
            "KV cache": self.figures.room.kv_mib * MiB,
        }
        return {"the program": max(0.0, self.held - sum(said.values()))} | said

    @property
    def overhead(self) -> float:
        """Bytes that are neither weights nor cache."""
        return self.terms["the program"] + self.terms["compute buffer"]


def weigh(model_path: str | Path, **options: Any) -> Weighed:
    """Start llama.cpp on a GGUF file, weigh its process, and stop it; ``options`` are those of ``LlamaCpp``.

    What lies on a GPU, the operating system does not count.
    """
    with LlamaCpp(model_path, **options) as engine:
        held = psutil.Process(engine.pid).memory_info().rss
        return Weighed(Path(model_path).stat().st_size, held, engine.figures())

"""One sum from outside: what llama.cpp's process takes, with one sequence and with several, beside its own lines.

``python -m helpers.experiments.engine_total`` starts it on SmolLM2, with room for 2,048 tokens a sequence, lets it
answer once, and asks the system what the process holds.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import psutil
from tqdm import tqdm

from helpers.arithmetic.catalog import MiB
from helpers.engines.llama_cpp import LlamaCpp
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.models.smollm2 import gguf_path

CONTEXT = 2048  # of one sequence
RUNS = ((1, False), (2, False), (4, False), (8, False), (4, True))
PROMPT = "Why is the sky blue?"


def measure(sequences: int, unified: bool, context: int = CONTEXT) -> dict[str, Any]:
    """Start it, let it answer, and read its lines and its process."""
    cells = context if unified else sequences * context
    with LlamaCpp(gguf_path(), cells, sequences=sequences, unified=unified) as engine:
        engine.ask(PROMPT, max_tokens=8)
        figures, held = engine.figures(), psutil.Process(engine.pid).memory_info().rss
    return {
        "sequences": sequences,
        "unified": unified,
        "model_mib": figures.model_mib,
        "kv_mib": figures.room.kv_mib,
        "compute_mib": figures.compute_mib,
        "process_mib": round(held / MiB, 1),
    }


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("engine_total", __doc__)
    options = parser.parse_args()
    runs = [measure(*run) for run in tqdm(RUNS, unit="start")]
    head = new_report(command_of(parser, options))
    head["machine"]["xllamacpp"] = version("xllamacpp")
    finish(head | {"context": CONTEXT, "runs": runs}, options)


if __name__ == "__main__":
    main()

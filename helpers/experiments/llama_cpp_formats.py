"""What KV formats cost the reasoner in llama.cpp, whose kernels are not ours: the engine's side of lesson 05's table.

``python -m helpers.experiments.llama_cpp_formats`` has llama.cpp work the first worksheets of that table (see
``fidelity``), one at a time and each token its own, and counts as the table does: right is a worksheet of which every
token is. llama.cpp multiplies in other orders, and by queries that it quantizes too where K is quantized.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from helpers.engines.llama_cpp import LlamaCpp
from helpers.engines.reasoner_gguf import write_reasoner_gguf
from helpers.experiments.fidelity import N_LINES, SEED, weights_hash
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.models.loading import Loaded, gold_and_length, load_reasoner
from helpers.models.worksheets import Worksheet, grade, make_worksheets

PAIRS = (
    ("fp16", "fp16"),
    ("q8_0", "q8_0"),
    ("q5_0", "q5_0"),
    ("q4_0", "q4_0"),
    ("q8_0", "q4_0"),
    ("q4_0", "q8_0"),
)
CONTEXT = 1024


def measure_pair(path: Path, loaded: Loaded, sheets: Sequence[Worksheet], kv_format: tuple[str, str]) -> dict[str, Any]:
    """What llama.cpp makes of the worksheets with one pair of formats; ``path`` is the reasoner's GGUF file."""
    token_ids, prompt_length = gold_and_length(loaded, sheets)
    right, answered = "", 0
    with LlamaCpp(path, CONTEXT, kv_format) as engine:
        for sheet, ids in zip(sheets, token_ids.tolist(), strict=True):
            gold = ids[prompt_length:]
            answer = engine.ask(ids[:prompt_length], len(gold) + 1)  # <eos> is one more
            right += "01"[list(answer.tokens[: len(gold)]) == gold]  # one digit per worksheet
            answered += grade(sheet, answer.text)
        kv_mib = engine.figures().room.kv_mib
    return {"k": kv_format[0], "v": kv_format[1], "right": right, "answered": answered, "kv_mib": kv_mib}


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("llama_cpp_formats", __doc__)
    parser.add_argument("--worksheets", type=int, default=60)
    options = parser.parse_args()
    loaded, sheets = load_reasoner(), make_worksheets(options.worksheets, N_LINES, SEED)
    with tempfile.TemporaryDirectory() as folder:
        path = write_reasoner_gguf(Path(folder) / "reasoner.gguf")
        pairs = [measure_pair(path, loaded, sheets, pair) for pair in tqdm(PAIRS)]
    head = new_report(command_of(parser, options))
    head["machine"]["xllamacpp"] = version("xllamacpp")
    facts = {
        "weights_sha256": weights_hash(),
        "worksheets": {"count": options.worksheets, "n_lines": N_LINES, "seed": SEED},
        "pairs": pairs,
    }
    finish(head | facts, options)


if __name__ == "__main__":
    main()

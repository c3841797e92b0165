"""What KV formats cost the reasoner in answers when rows are turned first: the other half of ``fidelity``'s table.

``python -m helpers.experiments.turned_answers`` has the reasoner read that table's worksheets over a cache that turns
each row by a Hadamard matrix before it is stored (see ``kv_format_loss``). llama.cpp does so where a row has a multiple
of 64 numbers; the reasoner's have 32, so there they are not turned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm

from helpers.experiments.fidelity import BATCH, N_LINES, SEED, weights_hash
from helpers.experiments.kv_format_loss import TURNED, LossyCache, Storing
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.models.loading import Loaded, gold_and_length, load_reasoner
from helpers.models.worksheets import Worksheet, make_worksheets

PAIRS = (("q8_0", "q8_0"), ("q5_0", "q5_0"), ("q4_0", "q4_0"), ("q4_0", "fp16"), ("fp16", "q4_0"))


@torch.inference_mode()
def wrong_tokens(
    loaded: Loaded, sheets: Sequence[Worksheet], kv_format: tuple[str, str], turned: bool = True
) -> list[int]:
    """Tokens of thought and answer that each worksheet gets wrong while it is fed the right ones, read at once."""
    token_ids, prompt_length = gold_and_length(loaded, sheets)
    sides = [Storing(side, name, turned and name in TURNED) for side, name in zip("kv", kv_format, strict=True)]
    cache = LossyCache(loaded.model.config, *sides)
    said = loaded.model(token_ids, past_key_values=cache).logits[:, prompt_length - 1 : -1].argmax(-1)
    return (said != token_ids[:, prompt_length:]).sum(1).tolist()


def measure_pair(loaded: Loaded, sheets: Sequence[Worksheet], kv_format: tuple[str, str]) -> dict[str, Any]:
    """One line of the record: answers and wrong tokens for a format of K and one of V, quantized rows turned."""
    batches = (sheets[first : first + BATCH] for first in range(0, len(sheets), BATCH))
    wrong = [count for batch in batches for count in wrong_tokens(loaded, batch, kv_format)]
    right = "".join("01"[not count] for count in wrong)  # one digit per worksheet
    return {"k": kv_format[0], "v": kv_format[1], "right": right, "wrong_tokens": sum(wrong)}


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("turned_answers", __doc__)
    parser.add_argument("--worksheets", type=int, default=128)
    options = parser.parse_args()
    loaded, sheets = load_reasoner(), make_worksheets(options.worksheets, N_LINES, SEED)
    facts = {
        "weights_sha256": weights_hash(),
        "worksheets": {"count": options.worksheets, "n_lines": N_LINES, "seed": SEED},
        "pairs": [measure_pair(loaded, sheets, pair) for pair in tqdm(PAIRS)],
    }
    finish(new_report(command_of(parser, options)) | facts, options)


if __name__ == "__main__":
    main()

"""One row of keys of a real model, to be stored in every format: ``python -m helpers.experiments.kv_row``.

SmolLM2 reads a sentence; the row is what one KV head of one layer then keeps of one word, as the cache holds it.
"""

from __future__ import annotations

import torch

from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.models.loading import load_smollm2

TEXT, WORD = "The cat sat on the mat.", " cat"
LAYER, HEAD = 18, 1  # the first 32 numbers have one that stands out, the last 32 have none


@torch.inference_mode()
def key_row() -> list[float]:
    """The row's numbers, rounded to three decimals, which every processor agrees on."""
    loaded = load_smollm2()
    token_ids = loaded.tokenizer(TEXT, return_tensors="pt").input_ids
    place = [loaded.tokenizer.decode(token) for token in token_ids[0]].index(WORD)
    cache = loaded.model(token_ids, use_cache=True).past_key_values
    return [round(number, 3) for number in cache.layers[LAYER].keys[0, HEAD, place].tolist()]


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("kv_row", __doc__)
    options = parser.parse_args()
    facts = {"text": TEXT, "word": WORD, "layer": LAYER, "head": HEAD, "row": key_row()}
    finish(new_report(command_of(parser, options)) | facts, options)


if __name__ == "__main__":
    main()

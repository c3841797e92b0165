"""How true a KV format is to the rows it stores: error of rows, of attention's output, and of answers.

Every pair of formats, one for K and one for V, on the reasoner: ``python -m helpers.experiments.fidelity`` measures
them all and saves the table that lesson 05 and lab 2 read. All pairs replay the same worksheets, so differences are
paired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from tqdm import tqdm
from transformers import DynamicCache

from helpers.arithmetic.layers import KVFormat, split_format
from helpers.cache.attention import attend_with_grid, attending
from helpers.cache.block_pool import blocks_for
from helpers.cache.kv_formats import decode, encode, nvfp4_tensor_scale
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.judged import BLOCK_SIZE, judge
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.models.loading import Loaded, gold_and_length, load_reasoner
from helpers.models.worksheets import WEIGHTS, Worksheet, make_worksheets

FORMATS = ("fp16", "q8_0", "fp8_e4m3", "q5_0", "q4_0", "nvfp4")
N_LINES, SEED, BATCH = 40, 3, 32
TAIL = 0.999  # one output in a thousand errs by more


@dataclass(frozen=True)
class Heard:
    """What one layer's attention was given for a text.

    Attributes:
        queries: rotated, ``[batch, n_heads, tokens, head_dim]``.
        keys, values: ``[batch, n_kv_heads, tokens, head_dim]``; the keys are rotated, as a cache keeps them.
        scaling: the factor of the products of queries and keys.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    scaling: float


class _Ear:
    needs_queries, needs_weights = True, False

    def __init__(self) -> None:
        self.heard: list[tuple[torch.Tensor, float]] = []

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        self.heard.append((queries.float(), scaling))

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        raise NotImplementedError


@torch.inference_mode()
def listen(model: Any, token_ids: torch.Tensor) -> list[Heard]:
    """Read a text ``[batch, tokens]`` and note what attention is given in each layer, in float32."""
    ear, cache = _Ear(), DynamicCache(config=model.config)
    with attending(model, ear):
        model(token_ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    rows = [(layer.keys.float(), layer.values.float()) for layer in cache.layers]
    return [Heard(queries, *kv, scaling) for (queries, scaling), kv in zip(ear.heard, rows, strict=True)]


def round_trip(rows: torch.Tensor, kv_format: str) -> torch.Tensor:
    """Rows ``[..., head_dim]`` as they are read back once they were stored in a format."""
    scale = nvfp4_tensor_scale(rows) if kv_format == "nvfp4" else 1.0
    return decode(encode(rows, kv_format, scale), kv_format, scale)


def relative_error(read: torch.Tensor, rows: torch.Tensor) -> float:
    """Root mean square of the error over that of the rows: 0.01 is an error of 1%."""
    return ((read - rows).pow(2).mean() / rows.pow(2).mean()).sqrt().item()


def output_errors(heard: Heard, kv_format: KVFormat) -> torch.Tensor:
    """How far attention's output moves when K and V are stored in a format, each output by itself.

    Returns:
        Length of the difference over the length of the output, ``[batch, n_heads, tokens]``.
    """
    k_format, v_format = split_format(kv_format)
    keys, values = round_trip(heard.keys, k_format), round_trip(heard.values, v_format)
    true, _ = attend_with_grid(heard.queries, heard.keys, heard.values, None, heard.scaling)
    stored, _ = attend_with_grid(heard.queries, keys, values, None, heard.scaling)
    return (stored - true).norm(dim=-1) / true.norm(dim=-1)


def wrong_tokens(loaded: Loaded, sheets: Sequence[Worksheet], kv_format: KVFormat) -> list[int]:
    """Tokens of thought and answer that each worksheet gets wrong while it is fed the right ones (``replay``)."""
    token_ids, prompt_length = gold_and_length(loaded, sheets)
    num_blocks = len(sheets) * blocks_for(token_ids.shape[1], BLOCK_SIZE)
    cache = PagedCache.for_model(loaded.model, num_blocks, BLOCK_SIZE, kv_format, len(sheets))
    return (~judge(loaded, token_ids, prompt_length, cache).right).sum(dim=1).tolist()


def weights_hash() -> str:
    """SHA-256 of the reasoner's weights, by which a saved table says which reasoner it measured."""
    return hashlib.sha256((WEIGHTS / "model.safetensors").read_bytes()).hexdigest()


def measure_rows(heard: Sequence[Heard], kv_format: str) -> dict[str, float]:
    """Relative error of keys and of values, the mean over layers."""
    errors = [
        [relative_error(round_trip(rows, kv_format), rows) for rows in (layer.keys, layer.values)] for layer in heard
    ]
    keys, values = (sum(each) / len(each) for each in zip(*errors, strict=True))
    return {"keys": keys, "values": values}


def measure_outputs(heard: Sequence[Heard], kv_format: KVFormat, first: int) -> dict[str, float]:
    """Error of attention's output over all layers, heads and tokens from ``first`` on: its median, and its tail."""
    errors = torch.cat([output_errors(layer, kv_format)[..., first:].flatten() for layer in heard])
    median, tail = errors.quantile(torch.tensor([0.5, TAIL])).tolist()
    return {"median": median, "tail": tail}


def measure_pair(loaded: Loaded, sheets: Sequence[Worksheet], kv_format: tuple[str, str]) -> dict[str, Any]:
    """One line of the table: answers, wrong tokens and the error of attention's output for one pair of formats."""
    wrong = [
        count
        for first in range(0, len(sheets), BATCH)
        for count in wrong_tokens(loaded, sheets[first : first + BATCH], kv_format)
    ]
    token_ids, prompt_length = gold_and_length(loaded, sheets[:4])
    outputs = measure_outputs(listen(loaded.model, token_ids), kv_format, prompt_length)
    right = "".join("01"[not count] for count in wrong)  # one digit per worksheet
    return {"k": kv_format[0], "v": kv_format[1], "right": right, "wrong_tokens": sum(wrong), **outputs}


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("fidelity", __doc__)
    parser.add_argument("--worksheets", type=int, default=128)
    options = parser.parse_args()
    loaded, sheets = load_reasoner(), make_worksheets(options.worksheets, N_LINES, SEED)
    token_ids, prompt_length = gold_and_length(loaded, sheets[:4])
    heard = listen(loaded.model, token_ids)
    measured = {
        "weights_sha256": weights_hash(),
        "worksheets": {"count": options.worksheets, "n_lines": N_LINES, "seed": SEED},
        "decoded_tokens": token_ids.shape[1] - prompt_length,
        "rows": {name: measure_rows(heard, name) for name in FORMATS},
        "pairs": [measure_pair(loaded, sheets, pair) for pair in tqdm(list(product(FORMATS, FORMATS)))],
    }
    finish(new_report(command_of(parser, options)) | measured, options)


if __name__ == "__main__":
    main()

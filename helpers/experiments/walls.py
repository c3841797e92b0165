"""The price of attention's weights on a device: ``python -m helpers.experiments.walls`` on a GPU.

One layer's attention with the grid of weights, which is the second wall of the two that lesson 08 is about, and without
it (SDPA), for a whole prompt and for one decoded token. All numbers are random; time and bytes do not depend on them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from helpers.arithmetic.catalog import find_model
from helpers.arithmetic.footprint import KVShape, format_bytes, require_count
from helpers.cache.attention import attend_with_grid
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.machine.device import is_out_of_memory, median_seconds_on, pick_dtype, release
from helpers.machine.largest_tensor import largest_tensor

LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768)
REPEATS = 5
MEANING = {
    "seconds": "median of one layer's call",
    "largest": "bytes of the largest tensor that is made on the way; null where memory ran out",
    "grid_bytes": "bytes of one layer's grid in float32, by arithmetic",
}


@dataclass(frozen=True)
class Heads:
    """One attention layer.

    Attributes:
        n_heads: query heads.
        n_kv_heads: KV heads.
        head_dim: numbers per row.
    """

    n_heads: int
    n_kv_heads: int
    head_dim: int

    @classmethod
    def of(cls, config: dict[str, Any]) -> Heads:
        """Those of a ``config.json``."""
        shape = KVShape.from_config(config)
        return cls(config["num_attention_heads"], shape.n_kv_heads, shape.head_dim)


TINY = Heads(4, 2, 16)


def grid_lines(heads: Heads, lengths: tuple[int, ...], device: str, new: int | None = None) -> Iterator[dict[str, Any]]:
    """Attention with the grid and without it over each number of rows.

    Args:
        heads: the layer.
        lengths: rows of K and V.
        device: where.
        new: queries, the last ones; None for a whole prompt, one query per row.
    """
    for length in lengths:
        queries = new or length
        q, k, v = _inputs(heads, queries, length, device)
        scaling, causal = heads.head_dim**-0.5, queries > 1
        ways: dict[str, Callable[[], Any]] = {
            "with the grid": lambda q=q, k=k, v=v, s=scaling: attend_with_grid(q, k, v, None, s),
            "without": lambda q=q, k=k, v=v, c=causal: scaled_dot_product_attention(
                q, k, v, is_causal=c, enable_gqa=True
            ),
        }
        sizes = {"length": length, "queries": queries, "grid_bytes": 4 * heads.n_heads * queries * length}
        for way, call in ways.items():
            yield sizes | {"way": way} | _price(device, call)


def measure(heads: Heads, lengths: tuple[int, ...], device: str) -> dict[str, Any]:
    """Both parts, each a list of lines, printed as they come."""
    parts = {
        "prompt": grid_lines(heads, lengths, device),
        "decoded token": grid_lines(heads, lengths, device, new=1),
    }
    measured = {}
    for name, lines in parts.items():
        measured[name] = []
        for line in lines:
            print(name, *(f"{key} {_readable(key, value)}" for key, value in line.items()), sep="; ", flush=True)
            measured[name].append(line)
    return measured


def main() -> None:
    """Run from the command line, print and save."""
    parser = new_parser("walls", __doc__, for_gpu=True)
    parser.add_argument(
        "--shape", default="Qwen3-8B", help="a model of helpers/arithmetic/catalog, of which one layer is taken"
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    options = parser.parse_args()
    try:
        heads, lengths = _sizes_of(options)
    except ValueError as error:
        sys.exit(str(error))
    report = new_report(command_of(parser, options), options.device)
    facts = {"heads": vars(heads), "dtype": str(pick_dtype(options.device)).removeprefix("torch.")}
    measured = measure(heads, lengths, options.device)
    finish(report | facts | {"meaning": MEANING} | measured, options)


def _sizes_of(options: argparse.Namespace) -> tuple[Heads, tuple[int, ...]]:
    if options.tiny:
        return TINY, (64, 128)
    lengths = tuple(require_count("lengths", length, least=2) for length in options.lengths)
    return Heads.of(find_model(options.shape).config), lengths


def _inputs(heads: Heads, queries: int, rows: int, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random queries ``[1, n_heads, queries, head_dim]``, keys and values ``[1, n_kv_heads, rows, head_dim]``."""
    sizes = ((heads.n_heads, queries), (heads.n_kv_heads, rows), (heads.n_kv_heads, rows))
    dtype = pick_dtype(device)
    q, k, v = (torch.randn(1, n, length, heads.head_dim, device=device, dtype=dtype) for n, length in sizes)
    return q, k, v


@torch.inference_mode()
def _price(device: str, call: Callable[[], Any]) -> dict[str, Any]:
    """Seconds and bytes of a call, or what the device said when its memory was out."""
    try:
        seconds = median_seconds_on(device, call, REPEATS)
        return {"seconds": seconds, "largest": largest_tensor(call), "error": None}
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).splitlines()[0]
    finally:
        release(device)
    return {"seconds": None, "largest": None, "error": said}


def _readable(key: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{1e3 * value:.3f} ms" if "seconds" in key else f"{value:.1e}"
    return format_bytes(value) if isinstance(value, int) and ("bytes" in key or key == "largest") else str(value)


if __name__ == "__main__":
    main()

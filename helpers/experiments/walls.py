"""The two walls of lesson 07 on a device: ``python -m helpers.experiments.walls`` on a GPU.

Wall 1 is order: what it takes to read rows that lie in no order, and to close holes, by sliding or from the tail.
Wall 2 is the grid of attention weights: one layer's attention with the grid and without (SDPA), for a whole prompt and
for one decoded token. All numbers are random; time and bytes do not depend on them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from helpers.arithmetic.catalog import find_model
from helpers.arithmetic.footprint import KVShape, format_bytes, require_count
from helpers.arithmetic.holes import fill_holes, slide_forward
from helpers.cache.attention import attend_with_grid
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.machine.device import copy_bandwidth, is_out_of_memory, median_seconds_on, peak_bytes, pick_dtype, release
from helpers.machine.largest_tensor import largest_tensor

LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768)
MOVES = ((2176, 2048), (3200, 3072), (16000, 1600))  # rows before an eviction and after it; the last is article B's
REPEATS = 5
MEANING = {
    "seconds": "median of one layer's call",
    "largest": "bytes of the largest tensor that is made on the way; null where memory ran out",
    "peak_bytes": "the most that PyTorch held at once beyond the inputs; null on a CPU",
    "grid_bytes": "bytes of one layer's grid in float32, by arithmetic",
    "moved_bytes": "bytes of K and V that are copied in one layer, each read once and written once",
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
    """Wall 2: attention with the grid and without it over each number of rows.

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


def order_lines(heads: Heads, lengths: tuple[int, ...], device: str) -> Iterator[dict[str, Any]]:
    """Wall 1: rows read in order and in no order, and how far attention's output then moves."""
    for length in lengths:
        q, k, v = _inputs(heads, 1, length, device)
        rows = k[0].transpose(0, 1).contiguous()  # [length, n_kv_heads, head_dim], as a pool keeps them
        in_order = torch.arange(length, device=device)
        shuffled = torch.randperm(length, device=device)
        right = scaled_dot_product_attention(q, k, v, enable_gqa=True).float()
        other = scaled_dot_product_attention(q, k[:, :, shuffled], v[:, :, shuffled], enable_gqa=True).float()
        yield {
            "length": length,
            "in_order_seconds": median_seconds_on(device, lambda r=rows, i=in_order: r.index_select(0, i), REPEATS),
            "shuffled_seconds": median_seconds_on(device, lambda r=rows, i=shuffled: r.index_select(0, i), REPEATS),
            "output_differs": ((other - right).norm() / right.norm()).item(),
        }


def move_lines(heads: Heads, moves: tuple[tuple[int, int], ...], device: str) -> Iterator[dict[str, Any]]:
    """Wall 1: closing the holes of an eviction in one layer, survivors chosen by chance, one choice for all heads."""
    for before, after in moves:
        kept = torch.randperm(before, generator=torch.Generator().manual_seed(0))[:after].sort().values
        slots: list[int | None] = [None] * before
        for place in kept.tolist():
            slots[place] = place
        rows = _inputs(heads, 1, before, device)[1][0].transpose(0, 1).contiguous()
        for way, close in (("slide forward", slide_forward), ("fill from the tail", fill_holes)):
            closed, copies = close(slots)
            sources, targets = moves_of(closed).to(device)
            seconds = median_seconds_on(device, lambda r=rows, s=sources, t=targets: r.index_copy_(0, t, r[s]), REPEATS)
            row_bytes = 2 * rows[0].nbytes  # K and V
            line = {"before": before, "after": after, "way": way, "copies": copies, "seconds": 2 * seconds}
            yield line | {"moved_bytes": 2 * copies * row_bytes}


def moves_of(closed: Sequence[int | None]) -> torch.Tensor:
    """The slots that rows leave and those they come to, ``[2, copies]``, when token i lay in slot i before."""
    moved = [(token, place) for place, token in enumerate(closed) if token != place]
    return torch.tensor(moved).T.contiguous()


def measure(heads: Heads, lengths: tuple[int, ...], moves: tuple[tuple[int, int], ...], device: str) -> dict[str, Any]:
    """All parts, each a list of lines, printed as they come."""
    parts = {
        "prompt": grid_lines(heads, lengths, device),
        "decoded token": grid_lines(heads, lengths, device, new=1),
        "order": order_lines(heads, lengths, device),
        "moves": move_lines(heads, moves, device),
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
    parser = new_parser(__doc__)
    parser.add_argument(
        "--shape", default="Qwen3-8B", help="a model of helpers/arithmetic/catalog.py, of which one layer is taken"
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    options = parser.parse_args()
    try:
        heads, lengths, moves = _sizes_of(options)
    except ValueError as error:
        sys.exit(str(error))
    report = new_report(command_of("helpers.experiments.walls", parser, options), options.device)
    facts = {"heads": vars(heads), "dtype": str(pick_dtype(options.device)).removeprefix("torch.")}
    bandwidth = {"copy_bandwidth": copy_bandwidth(options.device)}
    measured = measure(heads, lengths, moves, options.device)
    finish(report | facts | bandwidth | {"meaning": MEANING} | measured, options, "walls.json")


def _sizes_of(options: argparse.Namespace) -> tuple[Heads, tuple[int, ...], tuple[tuple[int, int], ...]]:
    if options.tiny:
        return TINY, (64, 128), ((48, 32),)
    lengths = tuple(require_count("lengths", length, least=2) for length in options.lengths)
    return Heads.of(find_model(options.shape).config), lengths, MOVES


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
        return {
            "seconds": seconds,
            "largest": largest_tensor(call),
            "peak_bytes": peak_bytes(device, call),
            "error": None,
        }
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        said = str(error).splitlines()[0]
    finally:
        release(device)
    return {"seconds": None, "largest": None, "peak_bytes": None, "error": said}


def _readable(key: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{1e3 * value:.3f} ms" if "seconds" in key else f"{value:.1e}"
    return format_bytes(value) if isinstance(value, int) and ("bytes" in key or key == "largest") else str(value)


if __name__ == "__main__":
    main()

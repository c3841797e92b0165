"""Watch it die: a 32B model's thought on a card of 24 GB, ``python -m helpers.card_limit --cap 24`` on a larger GPU.

PyTorch is forbidden more than the cap. A ballast stands for the 4-bit weights: so many bytes that nobody reads. Beside
it runs a thin twin, a real model with the layers and KV heads of the large one and next to no width, so that the cache
is the large model's to the byte. Full attention goes on until memory is out; with TriAttention the same run goes on.

Most tokens are not decoded: their rows are random, for memory does not ask what is in it. The twin decodes one token in
so many (``--stride``), or every one with ``--stride 1``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from helpers.attention import attending
from helpers.bench import append_random, random_model, random_policy
from helpers.block_pool import OutOfBlocks, blocks_for
from helpers.capacity import format_of, slot_bytes
from helpers.catalog import GiB, MiB, find_model
from helpers.devices import command_of, finish, is_cuda, new_parser, new_report, release, synchronize
from helpers.eviction import Compressor
from helpers.footprint import KVShape, format_bytes, require_count, weights_bytes
from helpers.generate import predict_next
from helpers.measure import layer_bytes, weight_bytes
from helpers.models import pick_dtype
from helpers.paged_cache import PagedCache
from helpers.throughput import TINY_CONFIG

MODEL, CAP, TOKENS, BUDGET, STRIDE = "Qwen3-32B", 24, 32768, 12_000, 128  # the budget: what A14's authors recommend
WEIGHT_FORMAT = "q4_k_m"
INTERVAL, BLOCK_SIZE = 128, 16
ACTIVATIONS = 128 * MiB  # what one token's way through the twin takes beside the cache, the libraries' own included
GROWING, BLOCKS, EVICTING = "full attention, a cache that grows", "full attention, blocks", "TriAttention, blocks"
MEANING = {
    "tokens": "tokens seen when it ended; ends has those of the runs that died, which is claim A3",
    "curve": "[tokens seen, bytes of K and V held], after each pass and before a compression",
    "allocated": "bytes of all tensors on the GPU at the peak, the ballast included; null on a CPU",
}


@dataclass(frozen=True)
class Plan:
    """What is watched.

    Attributes:
        config: the ``config.json`` of the large model.
        weights: bytes of its weights.
        cap: bytes that all of it may take; None for no cap, where ``num_blocks`` is the wall.
        tokens: length of the thought.
        budget: of TriAttention.
        interval: tokens between two compressions.
        stride: one token in so many is decoded.
        num_blocks: blocks of the pool; None for as many as fit under the cap.

    Raises:
        ValueError: if a size is out of range, or there is neither a cap nor a number of blocks.
    """

    config: dict[str, Any] = field(repr=False)
    weights: int
    cap: int | None
    tokens: int = TOKENS
    budget: int = BUDGET
    interval: int = INTERVAL
    stride: int = STRIDE
    num_blocks: int | None = None

    def __post_init__(self) -> None:
        for name in ("tokens", "budget", "interval", "stride"):
            require_count(name, getattr(self, name), least=1)
        if self.cap is None and self.num_blocks is None:
            raise ValueError("there is neither a cap nor num_blocks; one of them must be the wall")


TINY = Plan(TINY_CONFIG, weights=MiB, cap=None, tokens=512, budget=96, interval=32, stride=16, num_blocks=20)


def thin(config: dict[str, Any]) -> dict[str, Any]:
    """A model with the same rows of K and V per token, and nearly no weights: narrow, and of 64 words."""
    narrow = {"hidden_size": 64, "intermediate_size": 64, "vocab_size": 64, "tie_word_embeddings": True}
    return config | narrow | {"head_dim": KVShape.from_config(config).head_dim}


@contextmanager
def capped(device: str, cap: int | None) -> Iterator[None]:
    """Let PyTorch have ``cap`` bytes of the GPU and no more, until the end of the block. The driver's own come on top.

    Raises:
        ValueError: if the GPU has less than that, or there is none.
    """
    if cap is None:
        yield
        return
    if not is_cuda(device):
        raise ValueError(f"a cap needs a GPU; on {device} try --tiny, where a small pool is the wall")
    total = torch.cuda.get_device_properties(device).total_memory
    if cap > total:
        raise ValueError(f"the cap is {format_bytes(cap)}; this GPU has {format_bytes(total)}")
    torch.cuda.set_per_process_memory_fraction(cap / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def watch(plan: Plan, device: str) -> Iterator[dict[str, Any]]:
    """The three runs, one after the other, as they end: a cache that grows (on a GPU), blocks, blocks with eviction.

    Raises:
        ValueError: if the GPU is smaller than the cap, or weights and budget do not fit under it.
    """
    with capped(device, plan.cap):
        model = random_model(thin(plan.config), device, pick_dtype(device))
        ballast = torch.zeros(max(0, plan.weights - weight_bytes(model)), dtype=torch.uint8, device=device)
        if plan.cap is not None:
            yield {"name": GROWING} | run(model, plan, DynamicCache(config=model.config))
        num_blocks = plan.num_blocks or blocks_that_fit(model, plan)
        for name in (BLOCKS, EVICTING):
            release(device)
            cache = PagedCache.for_model(model, num_blocks, BLOCK_SIZE, format_of(model.dtype))
            line = run(model, plan, cache, compressor_for(model, plan) if name == EVICTING else None)
            yield {"name": name} | line | {"num_blocks": num_blocks, "ballast": ballast.nbytes}
            del cache


@torch.inference_mode()
def run(model: Any, plan: Plan, cache: Any, compressor: Compressor | None = None) -> dict[str, Any]:
    """Read on until the thought is complete, or memory is out: the crash is caught, and what it said is kept."""
    device, token = model.device, torch.ones(1, dtype=torch.long, device=model.device)
    curve, seen, freed, error = [], 0, 0, None
    if is_cuda(device):
        torch.cuda.reset_peak_memory_stats(device)
    if compressor is not None:
        compressor.begin(cache, 0)
    try:
        with attending(model):
            while seen < plan.tokens:
                count = _next_count(plan, cache, seen, compressor)
                append_random(cache, model, count - 1)
                token = predict_next(model, token[:, None], cache)
                seen += count
                curve.append([seen, _bytes_held(cache)])
                compression = compressor and compressor.after_pass(cache)
                freed += compression.blocks_freed if compression else 0
            synchronize(device)
    except (OutOfBlocks, torch.OutOfMemoryError) as crash:
        error = f"{type(crash).__name__}: {str(crash).splitlines()[0]}"
    return {
        "finished": error is None,
        "error": error,
        "tokens": seen,
        "bytes_held": max((held for _, held in curve), default=0),
        "blocks_freed": freed,
        "allocated": torch.cuda.max_memory_allocated(device) if is_cuda(device) else None,
        "curve": curve,
    }


def compressor_for(model: Any, plan: Plan) -> Compressor:
    """TriAttention with made-up statistics, which counts the prompt as part of the thought."""
    recent = min(16, plan.budget // 2)
    return Compressor(random_policy(model), plan.budget, plan.interval, protect_prompt=False, protect_recent=recent)


def blocks_that_fit(model: Any, plan: Plan) -> int:
    """Blocks of a pool that takes what the cap leaves beside weights, activations and the work of a compression.

    Raises:
        ValueError: if the budget does not fit.
    """
    shape, itemsize = KVShape.from_config(model.config), model.dtype.itemsize
    release(model.device)
    peak = plan.budget + plan.interval
    scoring = peak * (slot_bytes(shape, itemsize, scored=True) - slot_bytes(shape, itemsize, scored=False))
    left = plan.cap - torch.cuda.memory_reserved(model.device) - ACTIVATIONS - scoring
    num_blocks = left // (BLOCK_SIZE * slot_bytes(shape, itemsize, scored=False))
    if num_blocks < blocks_for(peak, BLOCK_SIZE):
        raise ValueError(
            f"budget is {plan.budget}: under {format_bytes(plan.cap)} the cache has {format_bytes(max(0, left))}"
        )
    return num_blocks


def print_line(line: dict[str, Any]) -> None:
    """One run for people."""
    end = "finished" if line["finished"] else line["error"]
    print(
        f"{line['name']:36} {line['tokens']:7,} tokens, {format_bytes(line['bytes_held']):>10} of cache: {end}",
        flush=True,
    )


def main() -> None:
    """Run from the command line, print and save."""
    parser = new_parser(__doc__)
    parser.add_argument("--cap", type=float, default=CAP, help="GiB")
    parser.add_argument("--model", default=MODEL, help="a model of helpers/catalog.py")
    parser.add_argument("--weights", type=float, help=f"GiB of its weights; else what {WEIGHT_FORMAT} takes")
    parser.add_argument("--tokens", type=int, default=TOKENS)
    parser.add_argument("--budget", type=int, default=BUDGET)
    parser.add_argument("--stride", type=int, default=STRIDE, help="one token in so many is decoded")
    options = parser.parse_args()
    lines = []
    try:
        plan = _plan_of(options)
        for line in watch(plan, options.device):
            print_line(line)
            lines.append(line)
    except (ValueError, torch.OutOfMemoryError) as error:
        sys.exit(str(error).splitlines()[0])
    head = new_report(command_of("helpers.card_limit", parser, options), options.device)
    ends = [line["tokens"] for line in lines if not line["finished"]]
    finish(head | {"plan": asdict(plan), "meaning": MEANING, "ends": ends, "lines": lines}, options, "card_limit.json")


def _plan_of(options: argparse.Namespace) -> Plan:
    if options.tiny:
        return TINY
    model = find_model(options.model)
    in_format = weights_bytes(model.n_params, WEIGHT_FORMAT)
    weights = in_format if options.weights is None else options.weights * GiB
    sizes = (options.tokens, options.budget, INTERVAL, options.stride)
    return Plan(model.config, int(weights), int(options.cap * GiB), *sizes)


def _next_count(plan: Plan, cache: Any, seen: int, compressor: Compressor | None) -> int:
    """Tokens of the next pass; one by one where the wall is near, so that it is met at the very token."""
    count = min(plan.stride, plan.tokens - seen)
    if compressor is not None:
        count = min(count, compressor.room(cache))
    if isinstance(cache, PagedCache) and cache.pool.num_free_blocks < blocks_for(count, BLOCK_SIZE):
        return 1
    return count


def _bytes_held(cache: Any) -> int:
    return cache.stats().bytes_held if isinstance(cache, PagedCache) else sum(layer_bytes(cache))


if __name__ == "__main__":
    main()

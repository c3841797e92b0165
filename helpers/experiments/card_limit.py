"""Watch it die: a 32B model's thought on a card of 24 GB.

``python -m helpers.experiments.card_limit --cap 24`` does it on a larger GPU.

PyTorch is forbidden more than the cap. A ballast stands for the 4-bit weights: so many bytes that nobody reads. Beside
it runs a thin twin, a real model with the layers and KV heads of the large one and next to no width, so that the cache
is the large model's to the byte. Full attention goes on until memory is out; with TriAttention the same run goes on.

Without such a GPU, ``--device cpu`` does the same to this process, where Linux can limit it: its memory then holds the
caches, and the ballast is a claim to memory that is never written.

Most tokens are not decoded: their rows are random, for memory does not ask what is in it. The twin decodes one token in
so many (``--stride``), or every one with ``--stride 1``.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from helpers.arithmetic.catalog import GiB, MiB, find_model
from helpers.arithmetic.footprint import KVShape, format_bytes, require_count, weights_bytes
from helpers.cache.attention import attending
from helpers.cache.block_pool import OutOfBlocks, blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.loop import predict_next
from helpers.eviction import Compressor
from helpers.experiments.bytes_per_sequence import format_of, scoring_bytes, slot_bytes
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.stand_ins import TINY_CONFIG, append_random, random_model, random_policy
from helpers.machine import address_space
from helpers.machine.device import free_memory, is_cuda, is_out_of_memory, pick_dtype, release, synchronize
from helpers.measuring.costs import layer_bytes, weight_bytes
from helpers.records.card_limit import BLOCKS, EVICTING, GROWING

MODEL, CAP, TOKENS, BUDGET, STRIDE = "Qwen3-32B", 24, 32768, 12_000, 128  # the budget: what A14's authors recommend
WEIGHT_FORMAT = "q4_k_m"
INTERVAL, BLOCK_SIZE = 128, 16
ACTIVATIONS = 128 * MiB  # what one token's way through the twin takes beside the cache, the libraries' own included
MEANING = {
    "tokens": "tokens seen when it ended; ends has those of the runs that died, which is claim A3",
    "curve": "[tokens seen, bytes of K and V held], after each pass, and once more after a compression",
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
    """Let PyTorch have ``cap`` bytes of the device and no more, until the end of the block.

    What the GPU's driver takes comes on top; on a CPU, what the process has already.

    Raises:
        ValueError: if the GPU has less than that, or a process cannot be limited here.
    """
    if cap is None:
        yield
        return
    if not is_cuda(device):
        _start_threads()
        with address_space.limited(cap):
            yield
        return
    total = torch.cuda.get_device_properties(device).total_memory
    if cap > total:
        raise ValueError(f"the cap is {format_bytes(cap)}; this GPU has {format_bytes(total)}")
    torch.cuda.set_per_process_memory_fraction(cap / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def watch(plan: Plan, device: str) -> Iterator[dict[str, Any]]:
    """The three runs, one after the other, as they end: a cache that grows (under a cap), blocks, blocks with eviction.

    Raises:
        ValueError: if the device is smaller than the cap, or weights and budget do not fit under it.
    """
    with capped(device, plan.cap):
        _require_memory(plan, device)
        model = random_model(thin(plan.config), device, dtype_of(device))
        # Not zeros: a CPU's memory is only taken once it is written, and nobody reads the ballast.
        ballast = torch.empty(max(0, plan.weights - weight_bytes(model)), dtype=torch.uint8, device=device)
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
                if compression:
                    freed += compression.blocks_freed
                    curve.append([seen, _bytes_held(cache)])
            synchronize(device)
    except (MemoryError, RuntimeError) as crash:
        if not is_wall(crash):
            raise
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


def is_wall(error: BaseException) -> bool:
    """True for the crash that is waited for: blocks, or the device's memory, are out."""
    return isinstance(error, OutOfBlocks) or is_out_of_memory(error)


def dtype_of(device: str) -> torch.dtype:
    """Of the twin's rows: 16 bits on every device, as the large model keeps them."""
    dtype = pick_dtype(device)
    return dtype if dtype.itemsize == 2 else torch.bfloat16


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
    noted = peak * (slot_bytes(shape, itemsize, scored=True) - slot_bytes(shape, itemsize, scored=False))
    left = _bytes_left(plan, model.device) - ACTIVATIONS - noted - scoring_bytes(shape, peak)
    num_blocks = left // (BLOCK_SIZE * slot_bytes(shape, itemsize, scored=False))
    if num_blocks < blocks_for(peak, BLOCK_SIZE):
        raise ValueError(
            f"budget is {plan.budget}: under {format_bytes(plan.cap)} the cache has {format_bytes(max(0, left))}"
        )
    return num_blocks


def report_of(plan: Plan, lines: list[dict[str, Any]], device: str, command: str) -> dict[str, Any]:
    """What is saved of the runs."""
    ends = [line["tokens"] for line in lines if not line["finished"]]
    return new_report(command, device) | {"plan": asdict(plan), "meaning": MEANING, "ends": ends, "lines": lines}


def print_line(line: dict[str, Any]) -> None:
    """One run for people."""
    end = "finished" if line["finished"] else line["error"]
    print(
        f"{line['name']:36} {line['tokens']:7,} tokens, {format_bytes(line['bytes_held']):>10} of cache: {end}",
        flush=True,
    )


def main() -> None:
    """Run from the command line, print and save."""
    parser = new_parser("card_limit", __doc__, for_gpu=True)
    parser.add_argument("--cap", type=float, default=CAP, help="GiB")
    parser.add_argument("--model", default=MODEL, help="a model of helpers/arithmetic/catalog")
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
    except (ValueError, RuntimeError) as error:
        if not isinstance(error, ValueError) and not is_wall(error):
            raise
        sys.exit(str(error).splitlines()[0])
    finish(report_of(plan, lines, options.device, command_of(parser, options)), options)


def _plan_of(options: argparse.Namespace) -> Plan:
    if options.tiny:
        return TINY
    model = find_model(options.model)
    in_format = weights_bytes(model.n_params, WEIGHT_FORMAT)
    weights = in_format if options.weights is None else options.weights * GiB
    sizes = (options.tokens, options.budget, INTERVAL, options.stride)
    return Plan(model.config, int(weights), int(options.cap * GiB), *sizes)


def _next_count(plan: Plan, cache: Any, seen: int, compressor: Compressor | None) -> int:
    """Tokens of the next pass; no more than there are slots for, so that the wall is met at the very token."""
    count = min(plan.stride, plan.tokens - seen)
    if compressor is not None:
        count = min(count, compressor.room(cache))
    if isinstance(cache, PagedCache):
        stats = cache.stats()
        slots = stats.slots_held - stats.tokens_alive + stats.blocks_free * BLOCK_SIZE
        count = min(count, max(1, slots))
    return count


def _require_memory(plan: Plan, device: str) -> None:
    """On a CPU the caches are this machine's memory; better a line now than a machine that stands still."""
    if plan.cap is None or is_cuda(device):
        return
    caches, free = plan.cap - plan.weights, free_memory(device)
    if caches > free:
        raise ValueError(
            f"the cap leaves {format_bytes(caches)} beside the weights; this machine has {format_bytes(free)} free"
        )


def _start_threads() -> None:
    """What threads and kernels take for themselves, they take at their first work, which is then not under the cap."""
    torch.ones(2**16 * torch.get_num_threads()).exp()  # long enough for all threads to get a part
    deque(watch(TINY, "cpu"), maxlen=0)


def _bytes_left(plan: Plan, device: str | torch.device) -> int:
    return plan.cap - torch.cuda.memory_reserved(device) if is_cuda(device) else address_space.bytes_left()


def _bytes_held(cache: Any) -> int:
    return cache.stats().bytes_held if isinstance(cache, PagedCache) else sum(layer_bytes(cache))


if __name__ == "__main__":
    main()

"""SmolLM2 reads a text until memory is out: ``python -m helpers.experiments.last_words`` (Linux).

Three readers of the same English. One keeps its rows in transformers' own cache, which grows, in a process that may ask
for so many bytes and no more: it dies, and its last words are kept. One lives in a small pool of blocks and evicts: it
reads on. One has all the memory it wants, and says what the second pays, in loss.

The fourth reader, in the same small pool without eviction, needs no record: a lesson lets it read and die.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from tqdm import tqdm
from transformers import DynamicCache

from helpers.arithmetic.catalog import MiB
from helpers.cache.attention import attending
from helpers.cache.block_pool import OutOfBlocks
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.loop import predict_next
from helpers.decoding.losses import token_losses
from helpers.eviction import Compressor
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.smollm2_sweep import prepared
from helpers.experiments.smollm2_tasks import smollm2
from helpers.experiments.windows import windows
from helpers.machine import address_space
from helpers.machine.device import is_out_of_memory
from helpers.measuring.costs import layer_bytes
from helpers.measuring.trace import Trace
from helpers.models.loading import Loaded
from helpers.records.last_words import Reading
from helpers.records.smollm2_sweep import EVERY_HEAD

TEXT = "english"
BLOCK_SIZE, BLOCKS = 16, 34  # the small pool: 24 MiB of fp32 rows hold 34 blocks, and a piece of one
BUDGET, INTERVAL, RECENT = 416, 128, 16  # together the pool's 544 slots
ROOM, TOKENS, STRETCH = 96 * MiB, 8192, 256
LAST = 24  # tokens of last words


def text_ids(loaded: Loaded, tokens: int) -> torch.Tensor:
    """The first tokens of the text, ``[1, tokens]``."""
    return windows(loaded, TEXT, 1, tokens)


@torch.inference_mode()
def read_until_the_wall(
    loaded: Loaded,
    token_ids: torch.Tensor,
    cache: Any,
    stride: int = BLOCK_SIZE,
    on_pass: Callable[[Reading], None] | None = None,
) -> Reading:
    """Read a text, some tokens at a time, to its end or until there is no memory for the next; the crash is caught.

    Args:
        loaded: the model.
        token_ids: ``[1, tokens]``.
        cache: a transformers cache, empty.
        stride: tokens of a pass.
        on_pass: called with the reading so far, after each pass.
    """
    seen, curve, error = 0, [(0, 0)], None
    with attending(loaded.model):
        while seen < token_ids.shape[1] and error is None:
            try:
                predict_next(loaded.model, token_ids[:, seen : seen + stride], cache)
            except (MemoryError, RuntimeError) as crash:
                if not is_wall(crash):
                    raise
                error = f"{type(crash).__name__}: {str(crash).splitlines()[0]}"
            else:
                seen = min(seen + stride, token_ids.shape[1])
                curve.append((seen, _bytes_held(cache)))
            words = loaded.tokenizer.decode(token_ids[0, max(0, seen - LAST) : seen])
            reading = Reading(seen, tuple(curve), error, words)
            if on_pass is not None:
                on_pass(reading)
    return reading


def is_wall(error: BaseException) -> bool:
    """True for the crash that is waited for: blocks, or the memory of the process, are out."""
    return isinstance(error, OutOfBlocks) or is_out_of_memory(error)


def read_growing(loaded: Loaded, token_ids: torch.Tensor, room: int) -> Reading:
    """Read in a cache that grows, in a process that may have ``room`` bytes more than it has.

    Raises:
        ValueError: if this system does not limit processes.
    """
    warm = token_ids[:, :STRETCH]  # threads and kernels take what they need before the limit stands
    read_until_the_wall(loaded, warm, DynamicCache(config=loaded.model.config))
    with address_space.limited(room):
        return read_until_the_wall(loaded, token_ids, DynamicCache(config=loaded.model.config))


def read_to_the_end(
    loaded: Loaded, token_ids: torch.Tensor, cache: Any, compressor: Compressor | None = None
) -> Reading:
    """Read all of it, and take the mean loss of each stretch of its tokens."""
    losses, trace = token_losses(loaded.model, token_ids, 1, cache, compressor)
    by_stretch = [round(float(part.mean()), 3) for part in losses[0].split(STRETCH)]
    return Reading(token_ids.shape[1], tuple(curve_of(trace)), None, "", tuple(by_stretch))


def curve_of(trace: Trace) -> list[tuple[int, int]]:
    """Tokens seen and bytes held, pass by pass, with two points where a compression gave bytes back."""
    points = []
    for i, point in enumerate(zip(trace.tokens_seen, trace.bytes_held, strict=True)):
        points.append(point)
        if i in trace.compressions:
            points.append((point[0], point[1] - trace.compressions[i].bytes_freed))
    return points


def order_left(cache: PagedCache) -> dict[str, Any]:
    """What a compacted cache looks like to whoever counts places, after the last token.

    Returns:
        ``order_kept``: whether rows stand in the order of the text, in every head of every layer; ``row``: the tokens
        of the first head of the middle layer, slot by slot.
    """
    tokens = [cache.token_index(layer)[0] for layer in range(cache.shape.n_layers)]  # [n_kv_heads, alive] each
    in_order = all(bool((of_layer.diff() > 0).all()) for of_layer in tokens)
    return {"order_kept": in_order, "row": tokens[len(tokens) // 2][0].tolist()}


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("last_words", __doc__)
    parser.add_argument("--room", type=int, default=ROOM // MiB, help="MiB that the process may ask for")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of the text, for those that reach its end")
    options = parser.parse_args()
    loaded = smollm2()
    ids = text_ids(loaded, options.tokens)
    with tqdm(total=3, unit="reader") as bar:
        growing = read_growing(loaded, ids, options.room * MiB)
        bar.update()
        pool = PagedCache.for_model(loaded.model, BLOCKS, BLOCK_SIZE, "fp32")
        compressor = Compressor(prepared("TriAttention"), BUDGET, INTERVAL, EVERY_HEAD, True, False, RECENT)
        evicting = read_to_the_end(loaded, ids, pool, compressor)
        bar.update()
        unlimited = read_to_the_end(loaded, ids, DynamicCache(config=loaded.model.config))
        bar.update()
    asked_for = re.search(r"allocate (\d+) bytes", growing.error or "")
    measured = {
        "room": options.room * MiB,
        "shape": [loaded.shape.n_layers, loaded.shape.n_kv_heads, loaded.shape.head_dim],
        "asked_for": int(asked_for[1]) if asked_for else None,
        "stretch": STRETCH,
        "first_eviction": BUDGET + INTERVAL,
        "budget": BUDGET,
        "pool": [BLOCKS, BLOCK_SIZE],
        "left": order_left(pool),
        "readers": [
            {"name": name} | asdict(one)
            for name, one in (("growing", growing), ("evicting", evicting), ("unlimited", unlimited))
        ],
    }
    finish(new_report(command_of(parser, options)) | measured, options)


def _bytes_held(cache: Any) -> int:
    return cache.stats().bytes_held if isinstance(cache, PagedCache) else sum(layer_bytes(cache))


if __name__ == "__main__":
    main()

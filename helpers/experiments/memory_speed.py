"""How quick the memory system is: ``python -m helpers.experiments.memory_speed`` prints one table, and saves it.

Every figure but the last two is a ratio of medians taken in one run, one candidate after the other, since times vary
from run to run. But for the course's own models the weights are random: time does not depend on them.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import torch
from transformers import DynamicCache, StaticCache

from helpers.arithmetic.catalog import find_model
from helpers.arithmetic.footprint import format_bytes
from helpers.cache.attention import attend_with_grid, attending
from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.decoding import generate
from helpers.eviction import H2O, Compressor, SnapKV
from helpers.eviction.triattention import score
from helpers.eviction.triattention_by_definition import score_as_defined
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.stand_ins import (
    HEAD_DIM,
    N_HEADS,
    N_KV_HEADS,
    append_random,
    random_model,
    random_policy,
    random_statistics,
    small_model,
)
from helpers.measuring.costs import median_seconds, reachable_bytes
from helpers.models import load_reasoner, load_smollm2, make_worksheets
from helpers.records.memory_speed import Row

# Lengths by model, and how many times as fast as the named caches a PagedCache should decode there, at least.
SMALL: dict[int, dict[str, float]] = {
    512: {},
    2048: {"DynamicCache": 1.0},
    8192: {"DynamicCache": 1.0, "StaticCache": 0.8},
    32768: {"DynamicCache": 1.0},
}
SMOLLM2: dict[int, dict[str, float]] = {
    64: {"DynamicCache": 0.95},
    1024: {"DynamicCache": 0.95},
    2048: {"DynamicCache": 1.0},
}
BUDGET, INTERVAL = 2048, 128
OFFSETS = [2**i for i in range(17)]
REPEATS = 15


def decoding(of: str, model: Any, lengths: dict[int, dict[str, float]]) -> Iterator[Row]:
    """Tokens per second of one sequence at several lengths, and the bytes that each kind of cache takes.

    Args:
        of: the model's name in the table.
        model: the model.
        lengths: tokens in the cache; for each the goals, by the name of the other cache.
    """
    for length, goals in lengths.items():
        makers = {
            "DynamicCache": lambda: DynamicCache(config=model.config),
            "StaticCache": lambda length=length: StaticCache(config=model.config, max_cache_len=length + 64),
            "PagedCache": lambda length=length: PagedCache.for_model(
                model, blocks_for(length + 64, 16), kv_format="fp32"
            ),
        }
        caches = {name: append_random(make(), model, length) for name, make in makers.items()}
        seconds = _step_seconds(model, caches)
        paged = seconds["PagedCache"]
        for name in ("DynamicCache", "StaticCache"):
            ratio = seconds[name] / paged
            speed = f"{1 / paged:,.1f} and {1 / seconds[name]:,.1f} tokens/s: {ratio:.2f} times"
            goal = (f"{goals[name]:.2f} times or more", ratio >= goals[name]) if name in goals else ("", None)
            yield Row(f"{of} decodes at {length:,} tokens: PagedCache and {name}", speed, *goal)
        sizes = ", ".join(f"{name} {format_bytes(reachable_bytes(cache))}" for name, cache in caches.items())
        yield Row(f"{of}, bytes at {length:,} tokens, all buffers", sizes)


def scoring() -> Iterator[Row]:
    """One layer's scores over budget and interval: TriAttention against its definition, SnapKV and H2O."""
    rows, position = BUDGET + INTERVAL, 30_000
    keys, statistics = torch.randn(1, N_KV_HEADS, rows, HEAD_DIM), random_statistics()
    ours = median_seconds(lambda: score(keys, *statistics, position, OFFSETS), REPEATS)
    naive = median_seconds(lambda: score_as_defined(keys[0], *statistics, position, OFFSETS), 3)
    yield Row(
        f"scoring {rows:,} rows: TriAttention, and as defined",
        f"{ours * 1e3:.1f} and {naive * 1e3:,.0f} ms: {naive / ours:.0f} times",
        "20 times or more",
        naive >= 20 * ours,
    )
    snapkv = SnapKV()
    snapkv.begin(None, 0, None)
    snapkv.see_queries(0, torch.randn(1, N_HEADS, snapkv.window, HEAD_DIM), HEAD_DIM**-0.5)
    theirs = median_seconds(lambda: snapkv.score(0, keys, position), REPEATS)
    yield Row("scoring: TriAttention, and SnapKV", f"{ours * 1e3:.1f} and {theirs * 1e3:.1f} ms")
    grid = _grid_seconds(keys)
    yield Row(
        "scoring: TriAttention once, and H2O's grids over the interval", f"{ours * 1e3:.1f} and {grid * 1e3:.1f} ms"
    )


def compression() -> Iterator[Row]:
    """One compression of a model of Qwen3-0.6B's shape, beside the decode steps between two of them."""
    model = random_model(find_model("Qwen3-0.6B").config)
    cache = PagedCache.for_model(model, blocks_for(BUDGET + INTERVAL + 64, 16), kv_format="fp32")
    compressor = Compressor(random_policy(model), BUDGET, INTERVAL, protect_prompt=False)
    compressor.begin(cache, 0)
    costs, steps = [], []
    for _ in range(3):
        append_random(cache, model, compressor.room(cache) - 3)
        steps += [_step_seconds(model, {"": cache}, repeats=1)[""] for _ in range(3)]
        done = compressor.after_pass(cache)
        costs.append(done.scoring_seconds + done.moving_seconds)
    cost, step = sorted(costs)[1], sorted(steps)[len(steps) // 2]
    share = cost / (INTERVAL * step)
    yield Row(
        f"one compression at budget {BUDGET:,}, and one decode step (Qwen3-0.6B's shape)",
        f"{cost * 1e3:.0f} and {step * 1e3:.0f} ms: {share:.2%} of the time between two",
        "2% or less",
        share <= 0.02,
    )


def own_models() -> Iterator[Row]:
    """What a reader waits for: SmolLM2 to be there, and the reasoner to think."""
    load = median_seconds(load_smollm2, 3)
    yield Row("SmolLM2 is loaded", f"{load:.2f} s", "2 s or less", load <= 2)
    reasoner = load_reasoner()
    ids = reasoner.prompt_ids(make_worksheets(1, 40, seed=1)[0])
    runs = [
        generate(reasoner.model, ids, DynamicCache(config=reasoner.model.config), max_new_tokens=120) for _ in range(3)
    ]
    speed = sorted(run.tokens_per_second for run in runs)[1]
    yield Row("the reasoner decodes", f"{speed:,.0f} tokens/s", "150 tokens/s or more", speed >= 150)


def _grid_seconds(keys: torch.Tensor) -> float:
    """What H2O asks of one layer between two compressions beyond SDPA: a grid of weights at every step, added up."""
    query, policy = torch.randn(1, N_HEADS, 1, HEAD_DIM), H2O()
    policy.begin(None, 0, None)

    def with_grid() -> None:
        policy.see_weights(0, attend_with_grid(query, keys, keys, None, HEAD_DIM**-0.5)[1])

    grouped = query.view(1, N_KV_HEADS, -1, HEAD_DIM)
    without = median_seconds(lambda: torch.nn.functional.scaled_dot_product_attention(grouped, keys, keys), REPEATS)
    return INTERVAL * (median_seconds(with_grid, REPEATS) - without)


@torch.inference_mode()
def _step_seconds(model: Any, caches: dict[str, Any], repeats: int = REPEATS) -> dict[str, float]:
    """Median time of one decode step over each cache, taken in turns; all attend through the same function."""
    token, times = torch.ones(1, 1, dtype=torch.long), {name: [] for name in caches}
    with attending(model):
        for _ in range(repeats):
            for name, cache in caches.items():
                started = time.perf_counter()
                model(token, past_key_values=cache, use_cache=True)
                times[name].append(time.perf_counter() - started)
    return {name: sorted(each)[len(each) // 2] for name, each in times.items()}


def main() -> None:
    """Run, print and save."""
    parser = new_parser("memory_speed", __doc__)
    options = parser.parse_args()
    parts: list[Callable[[], Iterator[Row]]] = [
        lambda: decoding("SmolLM2", load_smollm2().model, SMOLLM2),
        lambda: decoding("four layers", small_model(), SMALL),
        scoring,
        compression,
        own_models,
    ]
    rows = []
    for part in parts:
        for row in part():
            rows.append(row)
            verdict = {None: "", True: "reached", False: "MISSED"}[row.reached]
            print(f"{row.what:68} {row.figure:58} {row.goal:20} {verdict}", flush=True)
        gc.collect()
    finish(new_report(command_of(parser, options)) | {"rows": [asdict(row) for row in rows]}, options)


if __name__ == "__main__":
    main()

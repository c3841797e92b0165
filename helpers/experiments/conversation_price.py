"""One conversation with SmolLM2 in transformers and in llama.cpp: what a token costs in time, and all of it in memory.

``python -m helpers.experiments.conversation_price`` asks the same questions three ways, in turns, each time in a
process of its own: float32 weights over a cache that grows, the same over blocks, and llama.cpp on the 4-bit file that
the weights come from. Its replies are its own, since 4-bit arithmetic is another one; speeds are per token.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Any

import psutil
from tqdm import tqdm
from transformers import DynamicCache

from helpers.arithmetic.catalog import MiB
from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.conversation import chat, turn_ids
from helpers.engines.llama_cpp import LlamaCpp
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.measuring.costs import layer_bytes
from helpers.models import smollm2
from helpers.models.loading import load_smollm2
from helpers.records.conversation_price import GROWING, IN_BLOCKS, LLAMA_CPP

QUESTIONS = (
    "Tell me a short story about a lighthouse keeper.",
    "What did he see from his window?",
    "Write his letter to a friend.",
)
CONTEXT, MAX_NEW_TOKENS, ROUNDS = 1024, 128, 3
Turns = list[dict[str, Any]]  # tokens of each reply, and the seconds from question to reply


def in_transformers(in_blocks: bool) -> dict[str, Any]:
    """The conversation in this process, over a ``PagedCache`` or a ``DynamicCache``."""
    loaded, turns = load_smollm2(), []
    cache: Any = DynamicCache(config=loaded.model.config)
    if in_blocks:
        cache = PagedCache.for_model(loaded.model, blocks_for(CONTEXT, 16), kv_format="fp32")
    for question in QUESTIONS:
        before = cache.get_seq_length()
        asked = turn_ids(loaded, question, is_first=before == 0).shape[1]
        started = time.perf_counter()
        chat(loaded, question, cache, max_new_tokens=MAX_NEW_TOKENS)
        turns.append({"tokens": cache.get_seq_length() - before - asked, "seconds": time.perf_counter() - started})
    held = cache.stats().bytes_held if in_blocks else sum(layer_bytes(cache))
    return {"turns": turns, "process_bytes": own_bytes(psutil.Process()), "cache_bytes": held}


def in_llama_cpp() -> dict[str, Any]:
    """The conversation in llama.cpp's process; its cache has the room of the whole context from the start."""
    messages, turns = [], []
    with LlamaCpp(smollm2.gguf_path(), CONTEXT) as engine:
        for question in QUESTIONS:
            messages.append({"role": "user", "content": question})
            started = time.perf_counter()
            answer = engine.ask(messages, MAX_NEW_TOKENS)
            turns.append({"tokens": len(answer.tokens), "seconds": time.perf_counter() - started})
            messages.append({"role": "assistant", "content": answer.text})
        process, room = psutil.Process(engine.pid), engine.figures().room
        return {"turns": turns, "process_bytes": own_bytes(process), "cache_bytes": round(room.kv_mib * MiB)}


def own_bytes(process: psutil.Process) -> int:
    """Bytes of main memory of a process, each shared page by its part, where the system tells that; else all of it."""
    memory = process.memory_full_info()
    return getattr(memory, "pss", memory.rss)


WAYS: dict[str, Callable[[], dict[str, Any]]] = {
    GROWING: partial(in_transformers, in_blocks=False),
    IN_BLOCKS: partial(in_transformers, in_blocks=True),
    LLAMA_CPP: in_llama_cpp,
}


def alone(run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a call returns that is made in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run).result()


def summary(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """One way: the median of its runs' tokens per second, and the memory of the last."""
    speeds = [sum(t["tokens"] for t in run["turns"]) / sum(t["seconds"] for t in run["turns"]) for run in runs]
    return {"name": name, "tokens_per_second": round(statistics.median(speeds), 2), "runs": speeds} | runs[-1]


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("conversation_price", __doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in WAYS}
    for name in tqdm(list(WAYS) * options.rounds, unit="conversation"):
        runs[name].append(alone(WAYS[name]))
    head = new_report(command_of(parser, options))
    head["machine"]["xllamacpp"] = version("xllamacpp")
    finish(head | {"context": CONTEXT, "ways": [summary(*each) for each in runs.items()]}, options)


if __name__ == "__main__":
    main()

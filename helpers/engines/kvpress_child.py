"""KVPress's own process: run as a script by the Python of ``.venv-kvpress``, whose transformers is older than ours.

So it imports nothing of the course. It reads a question a line from its standard input, as JSON, and answers each with
a line of JSON: first ``{"folder": ...}``, the model, then what ``answer`` takes. When its input ends, so does it: that
is when the parent stops it, or has died in whatever way.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from contextlib import nullcontext
from typing import Any

import torch
from torch.nn.functional import cross_entropy

CELL = "<the cell>"  # the name under which the reader's text is run
kvpress: Any = None  # imported by main, once its output is told apart from our answers


def main() -> None:
    """Answer questions until standard input ends."""
    global kvpress
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted cell interrupts the whole group of processes
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever anybody prints goes to the log, so that our answers stand alone
    kvpress = importlib.import_module("kvpress")
    questions: queue.Queue[str] = queue.Queue()
    threading.Thread(target=listen, args=[questions], daemon=True).start()
    model = None
    while True:
        try:
            question = json.loads(questions.get())
            if "folder" in question:
                model = load(question["folder"])
                said = {"kvpress": version("kvpress"), "transformers": version("transformers")}
            else:
                said = answer(model, question)
        except Exception as error:  # whatever it is, the parent says it
            said = {"error": f"{type(error).__name__}: {error}", "where": line_of_the_reader(error)}
        print(json.dumps(said), file=answers, flush=True)


def listen(questions: queue.Queue[str]) -> None:
    """Hand questions on, and end the process when its input ends, whatever it is at: nobody waits any more."""
    for line in sys.stdin:
        questions.put(line)
    os._exit(0)


def version(package: str) -> str:
    """The version that is installed here."""
    return importlib.import_module("importlib.metadata").version(package)


def load(folder: str) -> Any:
    """The model, in float32, on one thread: it shares the machine with the notebook's own."""
    torch.set_num_threads(1)
    transformers = importlib.import_module("transformers")
    transformers.logging.disable_progress_bar()
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def line_of_the_reader(error: Exception) -> int | None:
    """The line of the reader's own cell in which it went wrong, if it was there."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == CELL]
    return lines[-1] if lines else None


# --- A press ---------------------------------------------------------------------------------------------------------
def make_press(named: dict[str, Any]) -> Any:
    """A press of ``{"name": ..., settings}`` or ``{"source": ..., settings}``; of a setting that is a dict too."""
    named = dict(named)
    name, source, statistics = (named.pop(key, None) for key in ("name", "source", "statistics"))
    kind = getattr(kvpress, str(name), None) if source is None else class_in(source)
    if not inspect.isclass(kind) or not issubclass(kind, kvpress.BasePress):
        raise ValueError(f"KVPress {version('kvpress')} has no press of the name {name!r}")
    press = kind(**{key: make_press(value) if isinstance(value, dict) else value for key, value in named.items()})
    vars(press).update({key: tensor_of(value) for key, value in (statistics or {}).items()})
    return press


def class_in(source: str) -> type:
    """The last press that a cell defines; what it needs is there already."""
    there = {"torch": torch, "kvpress": kvpress, "ScorerPress": kvpress.ScorerPress}
    namespace = dict(there)
    exec(compile(source, CELL, "exec"), namespace)
    made = [
        each
        for name, each in namespace.items()
        if inspect.isclass(each) and issubclass(each, kvpress.ScorerPress) and name not in there
    ]
    if not made:
        raise ValueError("the cell defines no class with the base ScorerPress")
    return made[-1]


def tensor_of(value: Any) -> torch.Tensor:
    """Nested lists as a float64 tensor; a pair ``{"real", "imag"}`` of them as a complex one."""
    if isinstance(value, dict):
        return torch.complex(*(tensor_of(value[part]) for part in ("real", "imag")))
    return torch.tensor(value, dtype=torch.float64)


class Watch:
    """Looks on while a press compresses: which token each row holds.

    A press tells nobody which rows it kept. So the keys that are left are looked for among those that were there: a
    gather copies bits, and no two rows of a head are alike.
    """

    def __init__(self) -> None:
        self.tokens: dict[int, torch.Tensor] = {}  # per layer, the token of each row, [n_kv_heads, rows]
        self.in_order, self.compressions = True, 0

    def over(self, press: Any) -> None:
        """Have the press tell this watch of each compression."""
        inner = press.compress

        def compress(module: Any, hidden: Any, keys: Any, values: Any, attentions: Any, kwargs: Any) -> Any:
            before = keys.clone()  # a press may write into the keys
            held = self._extended(module.layer_idx, keys, int(kwargs["position_ids"][0, -1]) + 1)
            kept = inner(module, hidden, keys, values, attentions, kwargs)
            if kept[0].shape[2] < before.shape[2]:
                held = held.gather(1, places_of(kept[0][0], before[0]))
            self.in_order &= bool((held.diff(dim=1) > 0).all())
            self.tokens[module.layer_idx] = held
            self.compressions += module.layer_idx == 0
            return kept

        press.compress = compress

    def _extended(self, layer: int, keys: torch.Tensor, tokens_seen: int) -> torch.Tensor:
        """The tokens of the rows that are there now: those left last time, and what has come since."""
        held = self.tokens.get(layer, torch.empty(keys.shape[1], 0, dtype=torch.long))
        came = torch.arange(tokens_seen - keys.shape[2] + held.shape[1], tokens_seen)
        return torch.cat([held, came.expand(keys.shape[1], -1)], dim=1)


def places_of(kept: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
    """Where each kept row stood: ``[n_kv_heads, n_kept]``, from rows ``[n_kv_heads, rows, head_dim]``."""
    same = torch.stack([(one[:, None] == other[None]).all(-1) for one, other in zip(kept, before, strict=True)])
    if not (same.sum(-1) == 1).all():
        raise ValueError("the press gave back rows that are none of those it was given")
    return same.int().argmax(-1)


# --- A question ------------------------------------------------------------------------------------------------------
@torch.inference_mode()
def answer(model: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Read a text through a press, and say what came of it.

    A question has ``token_ids``; ``prefill``, how many of them are read at once; ``step``, how many at a time of the
    others; ``press``, or null for none; ``decoding``, true for a press that is to go on while the others are read;
    ``timed``, true to look at no row, which takes time.
    """
    watch, decoding, timed = Watch(), question["decoding"], question["timed"]
    press = None if question["press"] is None else make_press(question["press"])
    if press is not None and not timed:
        watch.over(press)
    cache = importlib.import_module("transformers").DynamicCache(config=model.config)
    reader = Reader(model, cache, torch.tensor([question["token_ids"]]))
    with nullcontext() if press is None else press(model):
        reader.read(question["prefill"])
        while decoding and reader.left:
            reader.read(question["step"])
    said = {} if timed else what_is_left(model, cache, watch, reader.place)
    while reader.left:
        reader.read(question["step"])
    times = {"seconds": reader.seconds, "cpu_seconds": reader.cpu_seconds}
    return said | times | {"losses": reader.losses, "bytes_peak": reader.bytes_peak}


class Reader:
    """Reads a known text: the loss of each token after the first pass, seconds per pass, the most bytes after one."""

    def __init__(self, model: Any, cache: Any, token_ids: torch.Tensor) -> None:
        self.model, self.cache, self.token_ids = model, cache, token_ids
        self.place, self.bytes_peak = 0, 0
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    @property
    def left(self) -> int:
        """Tokens that are still to be read."""
        return self.token_ids.shape[1] - self.place

    def read(self, count: int) -> None:
        """Pass so many tokens on. Positions go on whatever has been evicted, as KVPress's own pipeline has it."""
        part, first = self.token_ids[:, self.place : self.place + count], self.place == 0
        places = torch.arange(self.place, self.place + part.shape[1])[None]
        started, worked = time.perf_counter(), time.process_time()
        passed = self.model(part, past_key_values=self.cache, position_ids=places, logits_to_keep=1 if first else 0)
        self.seconds.append(time.perf_counter() - started)
        self.cpu_seconds.append(time.process_time() - worked)
        following = self.token_ids[:, self.place + 1 : self.place + 1 + part.shape[1]]
        self.place += part.shape[1]
        self.bytes_peak = max(self.bytes_peak, cache_bytes(self.cache))
        if not first:  # what the first pass foretells knows of no eviction
            logits = passed.logits[:, : following.shape[1]].float()
            losses = cross_entropy(logits.mT, following, reduction="none")[0]
            self.losses += [round(loss, 5) for loss in losses.tolist()]


def what_is_left(model: Any, cache: Any, watch: Watch, tokens_seen: int) -> dict[str, Any]:
    """The tokens that each head of each layer attends to, and what the tensors hold."""
    rows, zeroed = [], 0
    for layer, (block, kept) in enumerate(zip(model.model.layers, cache.layers, strict=True)):
        everything = torch.arange(tokens_seen).expand(kept.keys.shape[1], -1)
        tokens = watch.tokens.get(layer, everything)
        seen = torch.ones_like(tokens, dtype=torch.bool)
        if (hidden := getattr(block.self_attn, "masked_key_indices", None)) is not None:
            seen[hidden[1], hidden[2]] = False
        rows.append([sorted(of_head[those].tolist()) for of_head, those in zip(tokens, seen, strict=True)])
        zeroed += int((kept.keys == 0).all(2).sum())
    a_row = sum(2 * kept.keys[0, :, 0].nbytes for kept in cache.layers)  # of one token, in all heads and layers
    return {
        "rows": rows,
        "rows_in_tensors": cache.layers[0].keys.shape[2],
        "zeroed_channels": zeroed / sum(map(len, rows)),
        "in_order": watch.in_order,
        "compressions": watch.compressions,
        "bytes_before": a_row * tokens_seen,
        "bytes_after": cache_bytes(cache),
    }


def cache_bytes(cache: Any) -> int:
    """Bytes of the storage behind the cache's tensors, parts that nobody looks at included."""
    tensors = (tensor for kept in cache.layers for tensor in (kept.keys, kept.values))
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


if __name__ == "__main__":
    main()

"""Prompts that llama.cpp answers at the same time, and what its server said of its cells and its queue meanwhile."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from tqdm import tqdm

from helpers.engines.engine import Answer, Prompt
from helpers.engines.llama_cpp import LlamaCpp

PAUSE = 0.02  # seconds between two readings


@dataclass(frozen=True)
class Reading:
    """What ``/slots`` and ``/metrics`` said at one moment.

    Attributes:
        seconds: since the first prompt was sent.
        filled: cells with a row in them, of all sequences together.
        written: tokens of the answers that are being written.
        answering, waiting: requests.
    """

    seconds: float
    filled: int
    written: int
    answering: int
    waiting: int

    def __str__(self) -> str:
        queue = f"{self.answering} answered, {self.waiting} waiting"
        return f"{self.seconds:4.1f} s: {queue}, {self.filled:3} cells filled, {self.written:3} tokens written"


def watch(
    engine: LlamaCpp, prompts: Sequence[Prompt], max_tokens: int, progress: bool = False
) -> tuple[list[Answer | str], list[Reading]]:
    """Have prompts answered at the same time, ``max_tokens`` each, and read the server until all are.

    Each is sent once the server has those before it, so that they come in their order, however quick the machine.

    Args:
        engine: started.
        prompts: as ``LlamaCpp.ask`` takes them.
        max_tokens: of each answer, which goes on past the token that would end it.
        progress: whether a bar shows how many tokens are written.

    Returns:
        Of each prompt its answer, or llama.cpp's words where it refused it or broke it off; and the readings, one at
        least, of which equal neighbours count once.
    """
    readings: list[Reading] = []
    # On stdout, where it goes without a trace; of one on stderr JupyterLab keeps an empty stripe.
    look = {"desc": "llama.cpp", "unit": "token", "file": sys.stdout, "leave": False}
    bar = tqdm(total=len(prompts) * max_tokens, disable=not progress, **look)
    with bar, ThreadPoolExecutor(len(prompts)) as threads:
        begun, asked, arrived = time.monotonic(), [], 0
        while True:
            if arrived >= len(asked) < len(prompts):
                asked.append(threads.submit(engine.ask, prompts[len(asked)], max_tokens, past_the_end=True))
            time.sleep(PAUSE)
            done = sum(each.done() for each in asked)
            reading = _read(engine, time.monotonic() - begun)
            if not readings or _said(readings[-1]) != _said(reading):
                readings.append(reading)
            bar.update(max(0, reading.written - bar.n))
            if done == len(prompts):
                break
            arrived = done + reading.answering + reading.waiting
    return [_outcome(each) for each in asked], readings


def read_counter(said: str, name: str) -> float:
    """The number on the line of ``llamacpp:name`` in what ``/metrics`` says.

    Raises:
        LookupError: if there is no such line.
    """
    found = re.search(rf"^llamacpp:{name} (\S+)$", said, re.MULTILINE)
    if found is None:
        raise LookupError(f"name is {name!r}; llama.cpp says nothing of it")
    return float(found[1])


def _read(engine: LlamaCpp, seconds: float) -> Reading:
    slots = engine.slots()
    filled = sum(slot.get("n_prompt_tokens", 0) for slot in slots)
    written = sum(token["n_decoded"] for slot in slots for token in slot.get("next_token", []))
    waiting = int(read_counter(engine.metrics(), "requests_deferred"))
    return Reading(seconds, filled, written, sum(slot["is_processing"] for slot in slots), waiting)


def _said(reading: Reading) -> tuple[int, ...]:
    return reading.filled, reading.written, reading.answering, reading.waiting


def _outcome(asked: Future[Answer]) -> Answer | str:
    try:
        return asked.result()
    except ValueError as refusal:
        return str(refusal)

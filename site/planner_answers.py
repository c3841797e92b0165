"""What the planner's page answers: every plan computed beforehand, by the arithmetic that the lessons use.

The page holds no formula. For each model a file lists, for each card, format and context, the terms in bytes and the
verdict in words; the page looks up and draws.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

from helpers.arithmetic import CARDS, MODELS, GiB
from helpers.arithmetic.plan import FITS, PERHAPS, TOO_LARGE, Plan

WEIGHTS = ("bf16", "q8_0", "q4_k_m")
CACHES = ("fp16", "q8_0", "q4_0")
CONTEXTS = (4_096, 8_192, 16_384, 32_768, 65_536, 131_072)
WORDS = (FITS, PERHAPS, TOO_LARGE)
FIRST = {"model": "Llama-3.1-8B", "card": "RTX 4090", "weights": "q4_k_m", "cache": "fp16", "context": 32_768}


def write(folder: Path) -> None:
    """The list of choices, and a file of answers for each model."""
    folder.mkdir()
    files = {name: f"{number:02}.json" for number, name in enumerate(MODELS)}
    choices = {"model": list(MODELS), "card": list(CARDS), "weights": WEIGHTS, "cache": CACHES, "context": CONTEXTS}
    index = {"choices": choices, "first": FIRST, "files": files, "words": WORDS}
    (folder / "index.json").write_text(json.dumps(index, separators=(",", ":")), "utf-8")
    for name, file in files.items():
        (folder / file).write_text(json.dumps(answers(name), separators=(",", ":")), "utf-8")


def answers(model: str) -> dict[str, Any]:
    """All answers on a model, by "card, weights, cache, context"."""
    by_choice = product(CARDS, WEIGHTS, CACHES, CONTEXTS)
    return {",".join(map(str, choice)): answer(Plan(model, choice[1], choice[0], *choice[2:])) for choice in by_choice}


def answer(plan: Plan) -> list[Any]:
    """One answer: word of fit, GiB of weights, cache, both ends of the overhead and the machine; the verdict."""
    sizes = (plan.weights, plan.cache, *plan.overhead, plan.machine.driver_memory)
    return [WORDS.index(plan.fit), *(round(size / GiB, 2) for size in sizes), plan.verdict]

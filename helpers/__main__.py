"""``python -m helpers``: what this machine can run, in one screen; ``python -m helpers plan``: a plan for another."""

from __future__ import annotations

import sys
import textwrap

if __name__ == "__main__" and sys.argv[1:2] == ["plan"]:  # before the imports below, which take seconds
    from helpers.arithmetic.plan_command import main

    sys.exit(main(sys.argv[2:]))

from importlib.metadata import PackageNotFoundError, version

from helpers.arithmetic.catalog import MODELS
from helpers.arithmetic.footprint import KVShape, format_band, format_bytes, max_tokens, weights_bytes
from helpers.arithmetic.plan import OVERHEAD
from helpers.machine.description import describe_machine
from helpers.machine.device import free_memory, pick_device, pick_dtype
from helpers.models import smollm2

ROWS = 22  # of models that fit, so that all of it is one screen


def report() -> str:
    """This machine; and of the catalog's models what fits: 4-bit weights, and the tokens of fp16 cache beside them."""
    machine, device = describe_machine(), pick_device()
    free = free_memory(device)
    lines = [
        f"Processor   {machine['cpu']}, {machine['cores']} cores",
        f"GPU         {machine['gpu']}",
        f"Versions    Python {machine['python']}, torch {machine['torch']}, transformers {machine['transformers']}",
        f"Models run  on {device}, as {str(pick_dtype(device)).removeprefix('torch.')}; {format_bytes(free)} are free",
        f"SmolLM2     {_smollm2()}",
        f"llama.cpp   {_llama_cpp()}",
        "",
        f"If all of it went to one model, with {format_band(*OVERHEAD)} of overhead:",
        f"{'model':31}{'weights, 4-bit':>15}{'tokens that fit':>30}",
    ]
    return "\n".join([*lines, *_models(free)])


def _models(free: int) -> list[str]:
    """Rows for the biggest models that fit, and the names of the others in as few lines as they take."""
    biggest = sorted(MODELS, key=lambda name: MODELS[name].n_params, reverse=True)
    fits = {name: longest for name in biggest if (longest := _longest(name, free))[1]}
    shown = list(fits)[:ROWS]
    smaller = [name for name in fits if name not in shown]
    rest = {"And smaller ones": smaller, "What does not fit": [name for name in biggest if name not in fits]}
    named = [f"{title}: {', '.join(names)}" for title, names in rest.items() if names]
    rows = [_row(name, *fits[name]) for name in shown]
    return [*rows, *(line for text in named for line in textwrap.wrap(text, 100, break_on_hyphens=False))]


def _smollm2() -> str:
    if smollm2.is_converted():
        return "135M-Instruct is here, as float32"
    try:
        smollm2.gguf_path()
    except FileNotFoundError as error:
        return str(error).removeprefix("SmolLM2 ")
    return "is installed, not converted yet: python -m helpers.models.smollm2"


def _llama_cpp() -> str:
    try:
        return f"xllamacpp {version('xllamacpp')}"
    except PackageNotFoundError:
        return "xllamacpp is not installed"


def _longest(name: str, free: int) -> tuple[int | float, int | float]:
    """Tokens that fit, with the most overhead and with the least."""
    model = MODELS[name]
    shape, weights = KVShape.from_config(model.config), weights_bytes(model.n_params, "q4_k_m")
    most, least = (max_tokens(free - overhead - weights, shape) for overhead in OVERHEAD)
    return least, most


def _row(name: str, least: int | float, most: int | float) -> str:
    weights = format_bytes(weights_bytes(MODELS[name].n_params, "q4_k_m"))
    return f"{name:31}{weights:>15}{f'{least:,} to {most:,} tokens':>30}"


if __name__ == "__main__":
    print(report())

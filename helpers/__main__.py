"""``python -m helpers``: what this machine can run, in one screen; ``python -m helpers plan``: a plan for another."""

from __future__ import annotations

import sys

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


def report() -> str:
    """This machine; and for each model of the catalog its 4-bit weights and the tokens of fp16 cache that fit too."""
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
        f"{'model':16}{'weights, 4-bit':>15}{'tokens that fit':>30}",
    ]
    return "\n".join([*lines, *(_model_line(name, free) for name in MODELS)])


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


def _model_line(name: str, free: int) -> str:
    model = MODELS[name]
    weights = weights_bytes(model.n_params, "q4_k_m")
    shape = KVShape.from_config(model.config)
    most, least = (max_tokens(free - overhead - weights, shape) for overhead in OVERHEAD)
    context = f"{least:,} to {most:,} tokens" if most else "does not fit"
    return f"{name:16}{format_bytes(weights):>15}{context:>30}"


if __name__ == "__main__":
    print(report())

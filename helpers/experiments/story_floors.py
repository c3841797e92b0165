"""How many blocks of a story come back when nine rows in ten go: ``python -m helpers.experiments.story_floors``.

SmolLM2 tells stories of twelve blocks. Each policy then evicts nine rows in ten at once, in each selection mode, and
nothing is moved. A block comes back only where every head of every layer has given up all of its slots.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tqdm import tqdm

from helpers.cache import PagedCache
from helpers.decoding import generate, replay
from helpers.eviction import Compressor, Policy
from helpers.eviction.selection import SELECTIONS
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.smollm2_sweep import BLOCK_SIZE, COMPETITORS, prepared
from helpers.experiments.smollm2_tasks import smollm2
from helpers.measuring.trace import Trace

PROMPTS = (
    "Tell me a story about a lighthouse keeper and a whale.",
    "Tell me a story about a girl who repairs clocks.",
    "Tell me a story about two brothers and a lost map.",
    "Tell me a story about a baker in a mountain village.",
)
FLOORS = 12
KEPT = round(FLOORS * BLOCK_SIZE / 10)  # rows of 192


def tell(prompt: str, on_step: Callable[[PagedCache], None] | None = None) -> torch.Tensor:
    """A conversation of ``FLOORS`` full blocks: the question, and the story as far as it goes, ``[1, tokens]``.

    Args:
        prompt: the question.
        on_step: called with the cache after each step.

    Raises:
        ValueError: if the story ends before.
    """
    messages, loaded = [{"role": "user", "content": prompt}], smollm2()
    asked = loaded.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
    asked = asked if isinstance(asked, torch.Tensor) else asked["input_ids"]
    length = FLOORS * BLOCK_SIZE
    cache = PagedCache.for_model(loaded.model, FLOORS, BLOCK_SIZE, "fp32")
    look = on_step and (lambda trace: on_step(cache))
    told = generate(loaded.model, asked, cache, max_new_tokens=length - asked.shape[1], on_step=look)
    story = torch.cat([asked, torch.tensor(told.tokens)], dim=1)
    if story.shape[1] < length:
        raise ValueError(f"the story ended after {story.shape[1]} tokens; it must go on for {length}: {prompt}")
    return story


def floors_freed(story: torch.Tensor, policy: str, selection: str) -> int:
    """Blocks that come back when, at the end of the story, all but ``KEPT`` rows of each head are evicted."""
    return evict_at_the_end(story, prepared(policy), selection).blocks_freed


def evict_at_the_end(story: torch.Tensor, policy: Policy, selection: str) -> Trace:
    """Read a story under a policy that evicts once, at its end, all but ``KEPT`` rows of each head."""
    cache = PagedCache.for_model(smollm2().model, FLOORS, BLOCK_SIZE, "fp32")
    at_the_end = story.shape[1] - KEPT
    compressor = Compressor(policy, KEPT, at_the_end, selection, False, False, policy.least_recent)
    trace = replay(smollm2().model, story, 1, cache, compressor)
    if len(trace.compressions) != 1:
        raise RuntimeError(f"{len(trace.compressions)} compressions, where one was meant, at the end")
    return trace


def measure() -> list[dict[str, Any]]:
    """Per policy and mode, the blocks that come back of each story."""
    stories = [tell(prompt) for prompt in PROMPTS]
    work = [(policy, mode) for policy in COMPETITORS for mode in SELECTIONS]
    return [
        {"policy": policy, "selection": mode, "floors_freed": [floors_freed(story, policy, mode) for story in stories]}
        for policy, mode in tqdm(work, unit="run")
    ]


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("story_floors", __doc__)
    options = parser.parse_args()
    facts = {"prompts": PROMPTS, "floors": FLOORS, "block_size": BLOCK_SIZE, "rows_kept": KEPT}
    finish(new_report(command_of(parser, options)) | facts | {"cells": measure()}, options)


if __name__ == "__main__":
    main()

"""Prompts that an engine answers at the same time, and what it said of its pool meanwhile."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Watched:
    """How some prompts were answered.

    Attributes:
        prompt_tokens: of each prompt.
        reused_tokens: of these, tokens whose rows were still in the pool.
        new_tokens: tokens of each answer.
        usage: the share of the pool in use, read again and again while they ran; equal neighbours once.
    """

    prompt_tokens: tuple[int, ...]
    reused_tokens: tuple[int, ...]
    new_tokens: tuple[int, ...]
    usage: tuple[float, ...]

"""Checks of the exercises of lesson 00: the right number, and the mistakes that people make on the way."""

from __future__ import annotations

from typing import Any

from helpers.teaching.checks import check_number


def check_longer_thought(answer: Any) -> None:
    """1,300 tokens at 4,096 bytes each."""
    mistakes = {"that is the thought alone; the prompt is kept too.": 1_000 * 4_096}
    check_number(answer, 1_300 * 4_096, "bytes", mistakes)


def check_full_mebibyte(answer: Any) -> None:
    """Tokens of thought that fit into 1 MiB behind a prompt of 139 tokens."""
    mistakes = {
        "that is prompt and thought together.": 256,
        "a MiB is 1,024 x 1,024 bytes.": 1_000_000 // 4_096 - 139,
    }
    check_number(answer, 256 - 139, "tokens", mistakes)

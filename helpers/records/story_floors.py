"""Blocks of a story that come back when nine rows in ten go and nothing is moved, by policy and selection mode."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class StoryFloors(Measured):
    """The saved counts: by policy and mode, the blocks that came back of each story."""

    freed: dict[tuple[str, str], list[int]]


@cache
def load_story_floors() -> StoryFloors:
    """The saved counts of blocks on SmolLM2's stories."""
    facts = read("story_floors")
    return StoryFloors(
        facts, {(each["policy"], each["selection"]): each["floors_freed"] for each in facts.pop("cells")}
    )

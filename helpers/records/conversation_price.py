"""One conversation with SmolLM2, in transformers over two caches and in llama.cpp: tokens per second, and memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.records.measured import Measured, read

GROWING, IN_BLOCKS, LLAMA_CPP = "transformers, DynamicCache", "transformers, PagedCache", "llama.cpp, 4-bit weights"


@dataclass(frozen=True)
class Conversation:
    """One way to hold it.

    Attributes:
        tokens: of all replies.
        tokens_per_second: of replies, from question to reply; the median of some runs.
        process_bytes: of its process when the conversation was over.
        cache_bytes: of K and V: the rows held; for llama.cpp the room of the whole context, in 16 bits.
    """

    tokens: int
    tokens_per_second: float
    process_bytes: int
    cache_bytes: int


@dataclass(frozen=True)
class ConversationPrice(Measured):
    """The ways by name."""

    ways: dict[str, Conversation]

    def times_as_fast(self, name: str, other: str) -> float:
        """Tokens per second of one way over those of another."""
        return self.ways[name].tokens_per_second / self.ways[other].tokens_per_second


@cache
def load_conversation_price() -> ConversationPrice:
    """The saved conversation."""
    facts = read("conversation_price")
    ways = {
        way["name"]: Conversation(
            sum(turn["tokens"] for turn in way["turns"]),
            way["tokens_per_second"],
            way["process_bytes"],
            way["cache_bytes"],
        )
        for way in facts.pop("ways")
    }
    return ConversationPrice(facts, ways)

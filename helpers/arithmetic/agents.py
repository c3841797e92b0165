"""Agents as arithmetic: how their context grows, how much they read again, what their caches take.

An agent works in steps. Before the first one stand the instructions, the definitions of its tools and its documents:
the prefix. Each step adds what the model writes and what the tool answers, and takes nothing away.
"""

from __future__ import annotations

from dataclasses import dataclass

from helpers.arithmetic.footprint import KVShape, require_count
from helpers.arithmetic.layers import KVFormat, LayerKV


@dataclass(frozen=True)
class Agent:
    """An agent in numbers of tokens.

    Attributes:
        prefix: what stands before the first step: instructions, tool definitions, documents.
        per_step: what one step adds: the model's words and the tool's answer.
        steps: how many steps it takes.
    """

    prefix: int
    per_step: int
    steps: int

    def __post_init__(self) -> None:
        for name in ("prefix", "per_step", "steps"):
            require_count(name, getattr(self, name), least=0)

    def context(self, step: int) -> int:
        """Tokens before the model at the end of a step; 0 for before the first."""
        return self.prefix + step * self.per_step

    @property
    def tokens_at_end(self) -> int:
        """Tokens before the model at the end of the last step."""
        return self.context(self.steps)

    @property
    def tokens_read_without_cache(self) -> int:
        """Tokens read in all steps if each starts from nothing: every step reads all that came before it."""
        return sum(self.context(step) for step in range(self.steps))

    @property
    def tokens_read_with_cache(self) -> int:
        """Tokens read in all steps if the cache stays from step to step: each token once."""
        return self.context(self.steps - 1) if self.steps else 0

    @property
    def tokens_reread(self) -> int:
        """Tokens read that had been read before, if each step starts from nothing."""
        return self.tokens_read_without_cache - self.tokens_read_with_cache

    @property
    def spared(self) -> float:
        """The share of reading that a cache kept from step to step spares, from 0 to 1."""
        return self.tokens_reread / self.tokens_read_without_cache if self.tokens_read_without_cache else 0.0


def bytes_of_agents(
    shape: KVShape, tokens: int, agents: int, shared_prefix: int = 0, kv_format: KVFormat = "fp16"
) -> int:
    """Bytes of the caches of several agents that work on the same prefix, whose rows are kept once.

    Args:
        shape: the model's.
        tokens: tokens of each agent, the prefix included.
        agents: how many work at the same time.
        shared_prefix: tokens at the start that all have in common; 0 for none.
        kv_format: as for ``KVShape.bytes``.

    Raises:
        ValueError: if the prefix is longer than the text.
    """
    tokens, agents = require_count("tokens", tokens, least=0), require_count("agents", agents, least=0)
    if require_count("shared_prefix", shared_prefix, least=0) > tokens:
        raise ValueError(f"shared_prefix is {shared_prefix}; it must be at most tokens, {tokens}")
    rows = sum(layer_bytes(layer, tokens, agents, shared_prefix, kv_format) for layer in shape.layers)
    return rows + agents * shape.fixed_bytes


def layer_bytes(layer: LayerKV, tokens: int, agents: int, shared_prefix: int, kv_format: KVFormat) -> int:
    """Bytes of one layer, all agents together, its state left out."""
    rows = _rows(layer, tokens, agents, shared_prefix) * layer.token_bytes(kv_format)
    if not layer.stride:
        return rows
    common = shared_prefix // layer.stride  # of the rows that several tokens keep together
    own = tokens // layer.stride - common
    return rows + (common * min(agents, 1) + agents * own) * layer.shared_row_bytes(kv_format)


def _rows(layer: LayerKV, tokens: int, agents: int, shared_prefix: int) -> int:
    """Rows of one layer, all agents together: a window that reaches back into the prefix shares the rows there."""
    kept = layer.rows(tokens)
    own = min(kept, tokens - shared_prefix)
    return (kept - own) * min(agents, 1) + agents * own

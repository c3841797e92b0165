"""Which heads of SmolLM2 copy, what each policy leaves them of a passage, and what depends on that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from helpers.measuring.comparisons import Losses
from helpers.records.measured import Measured, read


@dataclass(frozen=True)
class Left(Losses):
    """What a policy keeps of each text, at a quarter of the rows.

    Attributes:
        losses: per text, the loss of the passage when it comes again, in nats per token.
        left_to_copying_heads, left_to_all_heads: share of the passage's rows left just before it comes again.
        left: the same per layer and KV head.
        mass_kept: on English, the share of the attention that the model pays without eviction which falls on rows kept.
    """

    losses: list[float]
    left_to_copying_heads: float
    left_to_all_heads: float
    left: list[list[float]]
    mass_kept: float


@dataclass(frozen=True)
class Forced(Losses):
    """A policy that is overruled in some heads: the passage is kept for them first of all, or dropped.

    Attributes:
        policy: the one that decides otherwise.
        keep: True if the passage is kept.
        heads: for which heads, in words.
        losses, left_to_copying_heads: as in ``Left``.
    """

    policy: str
    keep: bool
    heads: str
    losses: list[float]
    left_to_copying_heads: float


@dataclass(frozen=True)
class CopyingHeads(Measured):
    """The saved evidence.

    Attributes:
        copying: attention that each query head gives, at a repeated word, to what followed it before,
            ``[n_layers][n_heads]``.
        heads: layer and KV head of those that copy most.
        policies: by name.
        forced: the policies that were overruled.
    """

    copying: list[list[float]]
    heads: list[tuple[int, int]]
    policies: dict[str, Left]
    forced: list[Forced]


@cache
def load_smollm2_recall() -> CopyingHeads:
    """The saved evidence on SmolLM2's copying heads."""
    facts = read("smollm2_recall")
    heads = [tuple(head) for head in facts.pop("copying_heads")]
    policies = {each.pop("policy"): Left(**each) for each in facts.pop("policies")}
    forced = [Forced(**each) for each in facts.pop("interventions")]
    return CopyingHeads(facts, facts.pop("copying"), heads, policies, forced)

"""Eviction: policies that score rows, and the compressor that acts on the scores."""

from collections.abc import Callable

from helpers.eviction.compressor import Compressor
from helpers.eviction.h2o import H2O
from helpers.eviction.key_norm import KeyNorm
from helpers.eviction.oracle import Oracle
from helpers.eviction.policy import Policy, Subject
from helpers.eviction.random import Random
from helpers.eviction.snapkv import SnapKV
from helpers.eviction.streaming_llm import StreamingLLM
from helpers.eviction.triattention import ABLATIONS, TriAttention, score

# The register: each policy's name, and what makes it ready for a subject. Sweeps, controls, pictures and tests go over
# it in this order. A name with a comma is a variant: the policy before the comma with one thing changed.
POLICIES: dict[str, Callable[[Subject], Policy | None]] = {
    "Oracle": Oracle.prepare,
    "TriAttention": TriAttention.prepare,
    "SnapKV, not smoothed": SnapKV.prepare_not_smoothed,
    "SnapKV": SnapKV.prepare,
    "H2O": H2O.prepare,
    "StreamingLLM": StreamingLLM.prepare,
    "KeyNorm": KeyNorm.prepare,
    "Random": Random.prepare,
    **ABLATIONS,
}
SHOWN = tuple(name for name in POLICIES if name not in ABLATIONS)  # in controls and pictures; ablations make a table


def is_variant(name: str) -> bool:
    """Whether this entry of the register is another one with one thing changed."""
    return ", " in name


__all__ = [
    "POLICIES",
    "SHOWN",
    "Compressor",
    "H2O",
    "KeyNorm",
    "Oracle",
    "Policy",
    "Random",
    "SnapKV",
    "StreamingLLM",
    "Subject",
    "TriAttention",
    "is_variant",
    "score",
]

"""Eviction: policies that score rows, and the compressor that acts on the scores."""

from helpers.eviction.compressor import Compressor
from helpers.eviction.h2o import H2O
from helpers.eviction.key_norm import KeyNorm
from helpers.eviction.oracle import Oracle
from helpers.eviction.policy import Policy
from helpers.eviction.random import Random
from helpers.eviction.snapkv import SnapKV
from helpers.eviction.streaming_llm import StreamingLLM
from helpers.eviction.triattention import TriAttention, score

__all__ = [
    "Compressor",
    "H2O",
    "KeyNorm",
    "Oracle",
    "Policy",
    "Random",
    "SnapKV",
    "StreamingLLM",
    "TriAttention",
    "score",
]

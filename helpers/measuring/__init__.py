"""What a run really did and took, and how to compare runs. Tensors are looked at, and torch is not imported."""

from helpers.measuring.comparisons import mean_interval, paired_difference, share_interval
from helpers.measuring.costs import layer_bytes, median_seconds, state_bytes, weight_bytes
from helpers.measuring.trace import Trace

__all__ = [
    "Trace",
    "layer_bytes",
    "median_seconds",
    "mean_interval",
    "paired_difference",
    "share_interval",
    "state_bytes",
    "weight_bytes",
]

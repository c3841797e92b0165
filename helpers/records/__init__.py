"""Saved measurements, one JSON file per experiment, and their readers. Nothing here imports torch."""

from helpers.records.card_limit import load_card_limit
from helpers.records.fidelity import load_table
from helpers.records.head_variants import load_head_variants
from helpers.records.llama_cpp_formats import load_llama_cpp_formats
from helpers.records.recall import load_recall
from helpers.records.service import load_evidence
from helpers.records.sweep import load_sweep
from helpers.records.throughput import load_throughput
from helpers.records.walls import load_walls

__all__ = [
    "load_card_limit",
    "load_evidence",
    "load_head_variants",
    "load_llama_cpp_formats",
    "load_recall",
    "load_sweep",
    "load_table",
    "load_throughput",
    "load_walls",
]

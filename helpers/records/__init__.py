"""Saved measurements, one JSON file per experiment, and their readers. Nothing here imports torch."""

from helpers.records.attention_mass import load_attention_mass
from helpers.records.compass import load_compass
from helpers.records.conversation_price import load_conversation_price
from helpers.records.engine_total import load_engine_total
from helpers.records.english_lookups import load_english_lookups
from helpers.records.english_sweep import load_english_sweep
from helpers.records.fidelity import load_table
from helpers.records.garage import load_garage
from helpers.records.head_variants import load_head_variants
from helpers.records.kv_format_loss import load_kv_format_loss
from helpers.records.kv_row import load_kv_row
from helpers.records.kvpress_race import load_kvpress_race
from helpers.records.kvpress_rows import load_kvpress_rows
from helpers.records.last_words import load_last_words
from helpers.records.llama_cpp_formats import load_llama_cpp_formats
from helpers.records.memory_speed import load_memory_speed
from helpers.records.query_concentration import load_query_concentration
from helpers.records.recall import load_recall
from helpers.records.service import load_evidence
from helpers.records.smollm2_recall import load_smollm2_recall
from helpers.records.smollm2_sweep import load_smollm2_sweep
from helpers.records.stacked_savings import load_stacked_savings
from helpers.records.story_floors import load_story_floors
from helpers.records.sweep import load_sweep
from helpers.records.throughput import load_throughput
from helpers.records.told_early import load_told_early
from helpers.records.transformers_paged import load_transformers_paged
from helpers.records.turned_answers import load_turned_answers
from helpers.records.vllm_server import load_vllm_server
from helpers.records.walls import load_walls

# The record of each experiment: ``helpers.experiments.NAME`` writes NAME.json, which NAME.py reads.
RECORDS = {
    "attention_mass": load_attention_mass,
    "compass": load_compass,
    "conversation_price": load_conversation_price,
    "engine_total": load_engine_total,
    "english_lookups": load_english_lookups,
    "english_sweep": load_english_sweep,
    "fidelity": load_table,
    "garage": load_garage,
    "head_variants": load_head_variants,
    "kv_format_loss": load_kv_format_loss,
    "kv_row": load_kv_row,
    "kvpress_race": load_kvpress_race,
    "kvpress_rows": load_kvpress_rows,
    "last_words": load_last_words,
    "llama_cpp_formats": load_llama_cpp_formats,
    "memory_speed": load_memory_speed,
    "query_concentration": load_query_concentration,
    "recall": load_recall,
    "service": load_evidence,
    "smollm2_recall": load_smollm2_recall,
    "smollm2_sweep": load_smollm2_sweep,
    "stacked_savings": load_stacked_savings,
    "story_floors": load_story_floors,
    "sweep": load_sweep,
    "throughput": load_throughput,
    "told_early": load_told_early,
    "transformers_paged": load_transformers_paged,
    "turned_answers": load_turned_answers,
    "vllm_server": load_vllm_server,
    "walls": load_walls,
}

__all__ = ["RECORDS", *(load.__name__ for load in RECORDS.values())]

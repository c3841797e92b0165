"""What can be counted without a tensor: catalog, layers, the KV formula, plans, agents. Nothing here imports torch."""

from helpers.arithmetic.agents import Agent, bytes_of_agents
from helpers.arithmetic.catalog import (
    CARDS,
    GB,
    KV_LAYOUTS,
    MODELS,
    TOOLS,
    WEIGHT_BITS,
    GiB,
    KiB,
    MiB,
    find_card,
    find_model,
)
from helpers.arithmetic.engine_room import (
    llama_cpp_cells,
    llama_cpp_states,
    transformers_rows,
    vllm_blocks,
    vllm_hybrid_blocks,
    vllm_hybrid_page,
)
from helpers.arithmetic.experts import weights_read
from helpers.arithmetic.footprint import (
    KVShape,
    MemoryBudget,
    decode_ceiling,
    format_band,
    format_bytes,
    max_tokens,
    weights_bytes,
)
from helpers.arithmetic.layers import LayerKV
from helpers.arithmetic.plan import Plan, spilled_speed

__all__ = [
    "Agent",
    "CARDS",
    "GB",
    "GiB",
    "KV_LAYOUTS",
    "KVShape",
    "KiB",
    "LayerKV",
    "MODELS",
    "MemoryBudget",
    "MiB",
    "Plan",
    "TOOLS",
    "WEIGHT_BITS",
    "bytes_of_agents",
    "decode_ceiling",
    "find_card",
    "find_model",
    "format_band",
    "format_bytes",
    "llama_cpp_cells",
    "llama_cpp_states",
    "max_tokens",
    "spilled_speed",
    "transformers_rows",
    "vllm_blocks",
    "vllm_hybrid_blocks",
    "vllm_hybrid_page",
    "weights_bytes",
    "weights_read",
]

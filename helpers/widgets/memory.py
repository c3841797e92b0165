"""A control of the arithmetic lessons: the memory wall of one card."""

from __future__ import annotations

from helpers.arithmetic.catalog import CARDS, KV_LAYOUTS, MODELS, GiB, find_card, find_model
from helpers.arithmetic.footprint import KVShape, MemoryBudget, format_bytes, max_tokens, weights_bytes
from helpers.plots import memory
from helpers.widgets.page import POWERS, Frame, choice, control, slider

OVERHEAD = 0.75 * GiB


def wall_frame(model: str, weight_format: str, card: str, kv_format: str, context: int, sequences: int) -> Frame:
    """The memory wall of one choice: model, card and KV format by their names in the catalog, context in tokens."""
    shape = KVShape.from_config(find_model(model).config)
    weights, capacity = weights_bytes(find_model(model).n_params, weight_format), find_card(card).memory
    budget = MemoryBudget(OVERHEAD, weights, shape.bytes(context, kv_format=kv_format) + shape.fixed_bytes, sequences)
    dies_at = max_tokens(capacity - OVERHEAD - weights, shape, sequences, kv_format)
    tokens = [round(context * i / 64) for i in range(65)]
    cache = [sequences * (shape.bytes(t, kv_format=kv_format) + shape.fixed_bytes) for t in tokens]
    verdict = f"It fits, with {format_bytes(capacity - budget.total)} to spare"
    if budget.total > capacity:
        verdict = f"It dies after token {dies_at:,}" if dies_at else "Not even one token fits"
    caption = (
        f"Figure: memory of {model} on {card} as the context grows to {context:,} tokens. Overhead "
        f"{format_bytes(OVERHEAD)}, weights in {weight_format} {format_bytes(weights)}, KV cache in {kv_format} at the "
        f"end {format_bytes(budget.cache)} ({sequences} sequence{'s' * (sequences > 1)}): {format_bytes(budget.total)} "
        f"in all; the card has {format_bytes(capacity)}. {verdict}."
    )
    return memory.memory_wall(tokens, OVERHEAD, weights, cache, capacity, dies_at), caption


def wall_control() -> None:
    """Show the memory wall with its controls: model, weights, card, KV format, context, sequences."""
    control(
        wall_frame,
        model=choice("model", MODELS, "Qwen3-32B"),
        weight_format=choice("weights", ["bf16", "q8_0", "q4_k_m", "q4_0"], "q4_k_m"),
        card=choice("card", CARDS, "RTX 4090"),
        kv_format=choice("KV format", KV_LAYOUTS, "fp16"),
        context=slider("context", POWERS, 32_768),
        sequences=slider("sequences", range(1, 33), 1),
    )

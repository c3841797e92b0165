"""Layers that keep rows of K and V: full ones, sliding ones, and the rules by which a family mixes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from helpers.arithmetic.fields import Fields
from helpers.arithmetic.layers import LayerKV

NOTHING_KEPT = LayerKV("none", 0, 0, 0)
Rule = Callable[[Fields], list[LayerKV]]
Pattern = Callable[[Fields, int], list[str]]
State = Callable[[Fields], int]

FULL, SLIDING, LINEAR, HYBRID, NOTHING = "full_attention", "sliding_attention", "linear_attention", "hybrid", "mlp"
# Names of layer types, of today and of before, to what such a layer has: rows of a kind, and state or none.
HOLDS: dict[str, tuple[str, bool]] = {
    FULL: ("full", False),
    "attention": ("full", False),
    "indexed_attention": ("full", False),
    "deepseek_sparse_attention": ("full", False),
    "minimax_m3_sparse": ("full", False),
    SLIDING: ("sliding", False),
    "chunked_attention": ("sliding", False),
    HYBRID: ("full", True),
    LINEAR: ("none", True),
    "mamba": ("none", True),
    "conv": ("none", True),
    NOTHING: ("none", False),
    "moe": ("none", False),
}


def n_layers_of(fields: Fields) -> int:
    """Layers of the model, next-token-prediction layers left out."""
    return fields.count("num_hidden_layers")


def row_of(fields: Fields, kind: str) -> LayerKV:
    """One layer's rows, by the fields as they hold for it: KV heads, or query heads where the file names none."""
    n_kv_heads = fields.count(
        "num_attention_heads" if fields.get("num_key_value_heads") is None else "num_key_value_heads"
    )
    if fields.get("head_dim") is None:  # only where the file names none; never assumed beside it
        head_dim = fields.count("hidden_size") // fields.count("num_attention_heads")
    else:
        head_dim = fields.count("head_dim")
    return LayerKV(kind, n_kv_heads, head_dim, head_dim, window_of(fields) if kind == "sliding" else None)


def window_of(fields: Fields) -> int:
    """Tokens that a sliding layer sees; a chunk is kept as a window is."""
    return fields.count("attention_chunk_size", "sliding_window")


def build(
    fields: Fields,
    names: list[str],
    state: State | None = None,
    row: Callable[[Fields, str], LayerKV] = row_of,
) -> list[LayerKV]:
    """One layer for each name of a layer type.

    Args:
        fields: the model's.
        names: one of ``HOLDS`` per layer.
        state: bytes of one recurrent layer's state; None where the family has no such layer.
        row: one layer's rows, from the fields as they hold for it and the kind.

    Raises:
        ValueError: if a layer type is none that the family's rule can count.
    """
    layers = []
    for i, name in enumerate(names):
        own = fields.of_layer(i)
        kind, has_state = HOLDS.get(str(name), (None, False))
        if kind is None or (has_state and state is None):
            known = ", ".join(name for name, (_, recurs) in HOLDS.items() if state or not recurs)
            raise fields.refusal(f"layer type {name!r} is none of {known}")
        if own.get("skip"):
            raise fields.refusal(f"layer {i} skips {own.get('skip')}")
        layer = replace(row(own, "full"), kind="none") if kind == "none" else row(own, kind)
        layers.append(replace(layer, state=state(own)) if has_state else layer)
    return layers


def listed_or(pattern: Pattern) -> Callable[[Fields], list[str]]:
    """The names of a file's ``layer_types``, or by the family's pattern where it lists none and has a window in use."""

    def names(fields: Fields) -> list[str]:
        n_layers = n_layers_of(fields)
        listed = fields.listed("layer_types", n_layers)
        if listed:
            return listed
        window = fields.get("attention_chunk_size") or fields.get("sliding_window")
        if not window or fields.get("use_sliding_window") is False:  # Qwen files name a window and then do not use it
            return [FULL] * n_layers
        return pattern(fields, n_layers)

    return names


def no_pattern(fields: Fields, n_layers: int) -> list[str]:
    """For families in which nothing but a list says which layers slide."""
    raise fields.refusal("it has a window and no layer_types", ("sliding_window", "sliding_window_pattern"))


def all_slide(fields: Fields, n_layers: int) -> list[str]:
    """Every layer slides, once a window is in use."""
    return [SLIDING] * n_layers


def from_max_window_layers(fields: Fields, n_layers: int) -> list[str]:
    """Qwen's: the first ``max_window_layers`` layers are full."""
    first = fields.count("max_window_layers", least=0)
    return [SLIDING if i >= first else FULL for i in range(n_layers)]


def every_nth_full(fields: Fields, n_layers: int) -> list[str]:
    """Every ``sliding_window_pattern``-th layer is full, as in Gemma."""
    every = fields.count("sliding_window_pattern", "_sliding_window_pattern")
    return [SLIDING if (i + 1) % every else FULL for i in range(n_layers)]


def by_rope(fields: Fields, n_layers: int) -> list[str]:
    """Llama-4's: layers with RoPE attend to chunks, those without to everything; every fourth where no list says it."""
    with_rope = fields.listed("no_rope_layers", n_layers)  # 1 for those with RoPE, in spite of its name
    return [SLIDING if rope else FULL for rope in with_rope] if with_rope else every_nth_full(fields, n_layers)


def rows_by(pattern: Pattern) -> Rule:
    """The rule of families whose layers all keep rows of K and V."""
    names = listed_or(pattern)

    def rule(fields: Fields) -> list[LayerKV]:
        return build(fields, names(fields))

    return rule


dense = rows_by(no_pattern)

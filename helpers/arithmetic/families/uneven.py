"""Families whose layers keep rows of K and V, but not all of them, or not of one width."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from helpers.arithmetic.families.attention import (
    FULL,
    NOTHING,
    NOTHING_KEPT,
    SLIDING,
    build,
    dense,
    every_nth_full,
    listed_or,
    n_layers_of,
    row_of,
    rows_by,
)
from helpers.arithmetic.fields import Fields
from helpers.arithmetic.layers import LayerKV


def shared_with(source: int) -> LayerKV:
    """A layer that keeps nothing, since it reads what layer ``source`` keeps."""
    return LayerKV("shared", 0, 0, 0, source=source)


def gemma_3(fields: Fields) -> list[LayerKV]:
    """Gemma 3, of which there is an embedding model that reads in both directions and keeps nothing."""
    if fields.get("use_bidirectional_attention") in (True, "all"):
        raise fields.refusal("it reads in both directions and keeps no cache", ("use_bidirectional_attention",))
    return rows_by(every_nth_full)(fields)


def gemma_3n(fields: Fields) -> list[LayerKV]:
    """Gemma 3n: the last ``num_kv_shared_layers`` layers read what the last one of their kind before them keeps."""
    layers = gemma_3(fields)
    first_shared = len(layers) - fields.count("num_kv_shared_layers", least=0)
    if not {layer.kind for layer in layers[first_shared:]} <= {layer.kind for layer in layers[:first_shared]}:
        raise fields.refusal("a layer shares what none before it keeps", ("num_kv_shared_layers", "layer_types"))
    last = {layer.kind: i for i, layer in enumerate(layers[:first_shared])}
    return layers[:first_shared] + [shared_with(last[layer.kind]) for layer in layers[first_shared:]]


def gemma_4(fields: Fields) -> list[LayerKV]:
    """Gemma 4: as 3n, and full layers have wider rows of fewer heads; transformers saves that layer by layer."""
    if fields.get("per_layer_config") is None:
        names = listed_or(every_nth_full)(fields)
        names = [*names[:-1], FULL]  # as transformers forces it
        full: dict[str, Any] = {"head_dim": fields.count("global_head_dim")}
        heads = fields.get("num_global_key_value_heads")
        if heads is not None and fields.get("attention_k_eq_v"):
            full["num_key_value_heads"] = fields.count("num_global_key_value_heads")
        each = {str(i): full for i, name in enumerate(names) if name == FULL}
        fields = Fields({**fields.values, "layer_types": names, "per_layer_config": each})
    return gemma_3n(fields)


def mimo(fields: Fields) -> list[LayerKV]:
    """MiMo-V2: values narrower than keys, and sliding layers with KV heads of their own, twice as many if unnamed."""
    n_layers = n_layers_of(fields)
    pattern = fields.listed("hybrid_layer_pattern", n_layers)  # 1 for a layer that slides
    names = fields.listed("layer_types", n_layers) or (pattern and [SLIDING if p else FULL for p in pattern])
    names = names or [SLIDING if i and (i + 1) % 6 else FULL for i in range(n_layers)]
    heads = fields.get("swa_num_key_value_heads") or 2 * fields.count("num_key_value_heads")
    own = {n: fields.get(f"swa_{n}") or fields.get(n) for n in ("head_dim", "v_head_dim")} | {
        "num_key_value_heads": heads
    }
    if fields.get("sliding_window_size") is not None:  # without the token being read, which sliding_window counts too
        own["sliding_window"] = fields.count("sliding_window_size") + 1

    def row(layer: Fields, kind: str) -> LayerKV:
        layer = Fields({**layer.values, **own}) if kind == "sliding" else layer
        return replace(row_of(layer, kind), v_dim=layer.count("v_head_dim"))

    return build(fields, names, row=row)


def minimax_m3(fields: Fields) -> list[LayerKV]:
    """MiniMax-M3: sparse layers keep an index row beside rows of K and V, and read the blocks that these pick.

    The blocks next to the token are among those picked (transformers' ``MiniMaxM3VLIndexer``).
    """
    n_layers = n_layers_of(fields)
    names = fields.listed("layer_types", n_layers)
    sparse = fields.nested("sparse_attention_config").listed("sparse_attention_freq", n_layers)
    if names is None and sparse:
        names = ["minimax_m3_sparse" if s else FULL for s in sparse]
    names = names or [FULL] * n_layers
    own = {"index_dim": fields.count("index_head_dim")}
    own["reads"] = fields.count("index_topk_blocks") * fields.count("index_block_size")
    return [x if n == FULL else replace(x, **own) for x, n in zip(build(fields, names), names, strict=True)]


def cross_layer(fields: Fields) -> list[LayerKV]:
    """Hunyuan-Large (cross-layer attention): of ``cla_share_factor`` layers the first keeps rows for all."""
    layers = dense(fields)
    factor = fields.count("cla_share_factor") if fields.get("use_cla") else 1
    return [shared_with(i - i % factor) if i % factor else layer for i, layer in enumerate(layers)]


def hunyuan_v1(fields: Fields) -> list[LayerKV]:
    """Hunyuan's later models, as transformers has them: it would ignore a sharing that their files still name."""
    if fields.get("use_cla"):
        raise fields.refusal("engines differ on whether its layers share rows", ("use_cla", "cla_share_factor"))
    return dense(fields)


def mllama(fields: Fields) -> list[LayerKV]:
    """Llama 3.2 with vision: cross-attention layers keep rows of the image, and nothing per token of text."""
    images = fields.indices("cross_attention_layers") or ()
    return build(fields, [NOTHING if i in images else FULL for i in range(n_layers_of(fields))])


def falcon(fields: Fields) -> list[LayerKV]:
    """Falcon: one KV head with ``multi_query``, which is its default; its later decoder is kept in two ways."""
    if fields.get("new_decoder_architecture"):
        raise fields.refusal(
            "transformers keeps rows of every query head, engines those of the KV heads alone",
            ("new_decoder_architecture", "num_key_value_heads", "num_attention_heads"),
        )
    heads = fields.get("num_key_value_heads") if fields.get("multi_query") is False else 1
    return dense(Fields({**fields.values, "num_key_value_heads": heads}))


def one_head_if_multi_query(fields: Fields) -> list[LayerKV]:
    """GPT-BigCode (StarCoder): one KV head with ``multi_query``, which is its default; else one per query head."""
    heads = 1 if fields.get("multi_query") is not False else None
    return dense(Fields({**fields.values, "num_key_value_heads": heads}))


def chatglm(fields: Fields) -> list[LayerKV]:
    """ChatGLM: ``multi_query_group_num`` counts only where ``multi_query_attention`` is not turned off."""
    heads = fields.get("multi_query_group_num") if fields.get("multi_query_attention") is not False else None
    return dense(Fields({**fields.values, "num_key_value_heads": heads}))


def mpt(fields: Fields) -> list[LayerKV]:
    """MPT: every query head has its own rows; later files of its trainer name another attention."""
    if fields.nested("attn_config").get("attn_type") not in (None, "multihead_attention"):
        raise fields.refusal("its attn_config names an attention of another kind", ("attn_config",))
    return dense(fields)


def step(fields: Fields) -> list[LayerKV]:
    """Step 3.5: sliding layers have query heads of their own (which keep nothing), and KV heads as the others."""
    other = fields.nested("attention_other_setting").values
    if any(n in other and other[n] != fields.get(n) for n in ("num_attention_groups", "head_dim")):
        raise fields.refusal("its sliding layers have other rows", ("attention_other_setting",))
    return dense(fields)


def blocks(fields: Fields) -> list[LayerKV]:
    """Nemotron-Super and -Ultra (DeciLM): per block, how many query heads share a KV head, or that it attends not."""
    if (listed := fields.listed("num_key_value_heads_per_layer", n_layers_of(fields))) is not None:
        attention: list[dict[str, Any]] = [{"num_key_value_heads": heads} for heads in listed]
    else:
        blocks = fields.listed("block_configs", n_layers_of(fields)) or ()
        attention = [block.get("attention") if isinstance(block, dict) else None for block in blocks]
    if not attention:
        raise fields.refusal("it names no block_configs")
    return [_block(fields, each) for each in attention]


def _block(fields: Fields, attention: dict[str, Any]) -> LayerKV:
    if not isinstance(attention, dict):
        raise fields.refusal("a block has no fields of its attention", ("block_configs",))
    if attention.get("no_op") or attention.get("replace_with_linear"):
        return NOTHING_KEPT
    if attention.get("window_length"):
        raise fields.refusal("a block of it slides", ("block_configs",))
    heads, group = attention.get("num_key_value_heads"), attention.get("n_heads_in_group")
    if heads is None and group is None:
        raise fields.refusal("a block names no n_heads_in_group", ("block_configs",))
    own = Fields({**fields.values, "num_key_value_heads": heads, "n_heads_in_group": group})
    heads = heads if heads is not None else fields.count("num_attention_heads") // own.count("n_heads_in_group")
    return row_of(Fields({**fields.values, "num_key_value_heads": heads}), "full")

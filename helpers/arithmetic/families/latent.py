"""Families that keep one compressed row for all heads (multi-head latent attention), with or without index rows.

Source: DeepSeek-V2's paper, section 2.1: of a token every layer keeps ``kv_lora_rank`` numbers and one rotated key of
``qk_rope_head_dim``. Index rows: DeepSeek-V3.2's indexer, one key of ``index_head_dim`` for all its heads.
"""

from __future__ import annotations

from dataclasses import replace

from helpers.arithmetic.families.attention import FULL, LINEAR, SLIDING, build, dense, n_layers_of, row_of
from helpers.arithmetic.families.states import kda, lightning
from helpers.arithmetic.fields import Fields
from helpers.arithmetic.layers import LayerKV

COMPRESSED = {"compressed_sparse_attention": 4, "heavily_compressed_attention": 128}  # tokens that share a row


def latent_row(fields: Fields, kind: str) -> LayerKV:
    """One compressed row and one rotated key, whatever ``num_key_value_heads`` says."""
    if kind != "full":
        raise fields.refusal("it mixes latent rows with a window", ("layer_types", "sliding_window"))
    rotated = fields.count("qk_rope_head_dim")
    return LayerKV("latent", 1, fields.count("kv_lora_rank"), rotated)


def latent(fields: Fields) -> list[LayerKV]:
    """DeepSeek-V2 and -V3, and those that took it over; DeepSeek-OCR's file turns it off."""
    if fields.get("use_mla") is False or (fields.get("kv_lora_rank") is None and "kv_lora_rank" in fields.values):
        return dense(fields)
    return build(fields, [FULL] * n_layers_of(fields), row=latent_row)


def indexed(fields: Fields) -> list[LayerKV]:
    """DeepSeek-V3.2, GLM-5: latent rows and, where the layer has an indexer of its own, index rows beside them."""
    layers, index_dim, picked = latent(fields), fields.count("index_head_dim"), fields.count("index_topk")
    owns = _indexers(fields, len(layers))
    dims = [index_dim if own else 0 for own in owns]
    return [replace(layer, index_dim=dim, reads=picked) for layer, dim in zip(layers, dims, strict=True)]


def _indexers(fields: Fields, n_layers: int) -> list[bool]:
    """Which layers index for themselves; the others read with the choice of the layer before."""
    if listed := fields.listed("indexer_types", n_layers):
        return [kind == "full" for kind in listed]
    if fields.get("indexer_group_size"):  # Hunyuan 4's: layer 0, then the first of each group after it
        every = fields.count("indexer_group_size")
        return [i == 0 or (i - 1) % every == 0 for i in range(n_layers)]
    pattern = fields.get("index_topk_pattern")  # a letter, or a word, per layer
    if pattern:
        letters = Fields(
            {**fields.values, "index_topk_pattern": list(pattern) if isinstance(pattern, str) else pattern}
        )
        return [kind in ("F", "full") for kind in letters.listed("index_topk_pattern", n_layers)]
    every = fields.count("index_topk_freq") if fields.get("index_topk_freq") else 1
    first = 2 if fields.get("index_skip_topk_offset") is None else fields.count("index_skip_topk_offset", least=0)
    return [max(i - first + 1, 0) % every == 0 for i in range(n_layers)]


def longcat(fields: Fields) -> list[LayerKV]:
    """LongCat-Flash: two attentions a layer, each with a cache, so transformers counts twice ``num_layers`` layers."""
    if fields.get("num_layers") is None:
        return build(fields, [FULL] * n_layers_of(fields), row=latent_row)
    n_layers = 2 * fields.count("num_layers")
    if fields.get("num_hidden_layers") not in (None, n_layers):
        raise fields.refusal("it names two numbers of layers", ("num_layers", "num_hidden_layers"))
    return build(fields, [FULL] * n_layers, row=latent_row)


def kimi_linear(fields: Fields) -> list[LayerKV]:
    """Kimi-Linear and Kimi K3: Kimi delta attention, and latent layers (numbered from 1 in the published file)."""
    n_layers, nested = n_layers_of(fields), fields.nested("linear_attn_config")
    names = fields.listed("layer_types", n_layers)
    full = nested.indices("full_attn_layers")
    if names is None and full is not None:
        names = [FULL if i + 1 in full else LINEAR for i in range(n_layers)]
        if sorted([*full, *(nested.indices("kda_layers") or ())]) != list(range(1, n_layers + 1)):
            raise fields.refusal(
                "full_attn_layers and kda_layers do not name every layer once", ("linear_attn_config",)
            )
    if names is None:
        raise fields.refusal("it names neither layer_types nor linear_attn_config")
    return build(fields, names, kda, latent_row)


def bailing_hybrid(fields: Fields) -> list[LayerKV]:
    """Ling and Ring from 2.5 on: the last layer of each group is latent; before it lightning, later delta attention."""
    n_layers, every = n_layers_of(fields), fields.count("layer_group_size")
    names = fields.listed("layer_types", n_layers)
    if names is None and n_layers % every:
        raise fields.refusal("layers are left over after the last group", ("num_hidden_layers", "layer_group_size"))
    names = names or [LINEAR if (i + 1) % every else FULL for i in range(n_layers)]
    state = lightning if "BailingMoeV2_5ForCausalLM" in (fields.get("architectures") or ()) else kda
    return build(fields, names, state, latent_row)


def deepseek_v4(fields: Fields) -> list[LayerKV]:
    """DeepSeek-V4: a window of rows that serve as key and value, and rows that several tokens share.

    Every 4 tokens (compressed sparse attention) share a row and an index row, or every 128 a row alone. What a row is
    being made of lies in two float32 buffers, as in the publisher's own code (``Compressor`` in inference/model.py):
    these are the state.
    """
    n_layers = n_layers_of(fields)
    rates = fields.nested("compress_rates").completed(COMPRESSED, {})
    by_ratio = {0: SLIDING, **{tokens: name for name, tokens in COMPRESSED.items()}}
    ratios = (fields.indices("compress_ratios") or ())[:n_layers]
    names = fields.listed("layer_types", n_layers) or [by_ratio.get(ratio, str(ratio)) for ratio in ratios]
    if len(names) != n_layers or not {*names} <= {SLIDING, *COMPRESSED}:
        raise fields.refusal("its layers are unclear", ("layer_types", "compress_ratios"))
    return [_compressed_layer(fields, name, rates) for name in names]


def _compressed_layer(fields: Fields, name: str, rates: Fields) -> LayerKV:
    window = replace(row_of(fields, "sliding"), n_kv_heads=1, v_dim=0)
    if name == SLIDING:
        return window
    sparse, stride = name == "compressed_sparse_attention", rates.count(name)
    index_dim, picked = (fields.count("index_head_dim"), fields.count("index_topk")) if sparse else (0, None)
    overlap = 2 if sparse else 1  # rows of two neighbouring groups overlap
    buffers = 2 * overlap * stride * overlap * (window.k_dim + index_dim) * 4
    return replace(window, stride=stride, index_dim=index_dim, state=buffers, reads=picked)

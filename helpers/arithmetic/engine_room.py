"""What an engine makes of a KV cache: the same rows, in the steps in which that engine sets memory aside.

``KVShape.bytes`` counts rows. transformers keeps just those; llama.cpp gives cells in steps of 256 and its sliding
layers a batch beside their window; vLLM cuts the memory that is free into blocks of equal pages. Each function says
in ``why`` where its figure leaves the rows.

llama.cpp's source: ``llama_context``'s constructor pads the context to a multiple of 256. A unified cache has so many
cells for all sequences together. Otherwise each sequence gets a stream of its own with its share of the context, padded
once more: four sequences and a context of 1,100 are 1,280 cells in one stream, or 320, and so 512, in each of four.
``llama_kv_cache_iswa`` gives the sliding layers ``window x (sequences if unified else 1) + batch`` cells, padded, and
never more than the full ones have. Recurrent state lies in a buffer of its own, all of it in float32, and so do index
rows.

vLLM's source: vllm/v1/core/kv_cache_utils.py. Layers of one kind make a group, or several of equal size; one block is a
page in each layer of a group. So pages must be of equal size, and where full and sliding layers stand beside each
other, a block of the pool holds either. A sequence needs blocks of each group: for a sliding one those of its window,
of the batch being computed, and one more, since a window need not start with a block.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from helpers.arithmetic.families import FAMILIES, known_fields
from helpers.arithmetic.fields import Fields
from helpers.arithmetic.footprint import KVShape, require_count
from helpers.arithmetic.layers import ROWLESS, KVFormat, LayerKV, row_bytes, split_format

PADDING = 256  # cells
BLOCK = 16  # tokens
KERNELS = ("linear_conv_kernel_dim", "mamba_d_conv", "conv_L_cache")  # tokens that a convolution sees


@dataclass(frozen=True)
class Rows:
    """What transformers keeps: ``size`` bytes of rows, and ``why`` that is what the formula says."""

    size: int
    why: str


@dataclass(frozen=True)
class Cells:
    """One of llama.cpp's caches.

    Attributes:
        kind: ``full`` or ``sliding``: its layers.
        layers: how many keep rows in it.
        cells: tokens that it has room for, in each stream.
        streams: caches of that size side by side, one per sequence; 1 where all sequences share one.
        k_bytes, v_bytes: of all streams together.
        why: the reason for the difference from the rows, in a sentence.
    """

    kind: str
    layers: int
    cells: int
    streams: int
    k_bytes: int
    v_bytes: int
    why: str

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.k_bytes + self.v_bytes


@dataclass(frozen=True)
class Blocks:
    """What vLLM makes of the memory that is free.

    Attributes:
        blocks: how many there are for all sequences.
        block: tokens of one.
        groups: groups of layers; each block belongs to one of them at a time.
        tokens: that there is room for, as the engine prints it: its "KV cache size".
        concurrency: sequences of the longest length that fit at once: its "maximum concurrency".
        why: the reason for the difference from the rows, in a sentence.
    """

    blocks: int
    block: int
    groups: int
    tokens: int
    concurrency: float
    why: str


def transformers_rows(kv_shape: KVShape, tokens: int, sequences: int = 1, kv_format: KVFormat = "fp16") -> Rows:
    """The bytes of a filled ``DynamicCache``: the formula itself."""
    why = "transformers grows its tensors row by row, so there is no difference."
    return Rows(kv_shape.bytes(tokens, sequences, kv_format), why)


def llama_cpp_cells(
    kv_shape: KVShape,
    context: int,
    kv_format: KVFormat = "fp16",
    sequences: int = 1,
    *,
    unified: bool = False,
    batch: int = 512,
    padding: int = PADDING,
) -> list[Cells]:
    """llama.cpp's caches, that of full layers first; a kind of layer that the model lacks has none.

    Args:
        kv_shape: the model's.
        context: tokens asked for in all, not a sequence's.
        kv_format: as for ``KVShape.bytes``, without a third name.
        sequences: llama.cpp's ``--parallel``.
        unified: whether all sequences share one stream (``--kv-unified``).
        batch: tokens computed at once (``--ubatch-size``).
        padding: older builds padded to 32 without flash attention, and the first ones not at all (1).

    Raises:
        ValueError: if a number is out of range or the format unknown.
    """
    for name, value in (("context", context), ("sequences", sequences), ("batch", batch), ("padding", padding)):
        require_count(name, value, least=1)
    streams = 1 if unified else sequences
    cells = _pad(_pad(context, padding) // streams, padding)
    full = [layer for layer in kv_shape.layers if layer.kind in ("full", "latent")]
    sliding = [layer for layer in kv_shape.layers if layer.kind == "sliding"]
    why = f"llama.cpp sets {cells:,} cells aside at once, in steps of {padding}, however few are filled."
    caches = [_cells("full", full, cells, streams, kv_format, why)] if full else []
    if sliding:
        windows = max(layer.window or 0 for layer in sliding) * (sequences if unified else 1)
        kept = min(cells, _pad(windows + batch, padding))
        why = (
            f"llama.cpp's sliding layers keep {kept:,} cells, the window and a batch of {batch} in steps of {padding}."
        )
        caches.append(_cells("sliding", sliding, kept, streams, kv_format, why))
    return caches


@dataclass(frozen=True)
class States:
    """llama.cpp's recurrent buffer ("RS buffer size").

    Attributes:
        size: bytes in all.
        copies: of each sequence's state: one, and one more for each token that is drafted.
        why: the reason for the difference from ``KVShape.fixed_bytes``, in a sentence.
    """

    size: int
    copies: int
    why: str


def llama_cpp_states(config: Any, sequences: int = 1, drafted: int = 0) -> States:
    """llama.cpp's recurrent states, of as many sequences as it has slots (``--parallel``).

    Source: ``llama_memory_recurrent``'s constructor and ``llama_hparams::n_embd_r`` and ``n_embd_s``: both tensors are
    float32, and the window of a convolution leaves out the token that is being read.

    Args:
        config: as for ``KVShape.from_config``.
        sequences: slots.
        drafted: tokens that are drafted at most for each pass (``--spec-draft-n-max``).

    Raises:
        ValueError: if a number is out of range, or the model has no recurrent state with a convolution.
    """
    sequences, drafted = require_count("sequences", sequences, least=1), require_count("drafted", drafted, least=0)
    fields = known_fields(config)
    kernel = next((name for name in KERNELS if fields.get(name)), None)
    if kernel is None or not KVShape.from_config(config).fixed_bytes:
        raise fields.refusal("it has no recurrent state with a convolution", KERNELS)
    one = {"dtype": "float32", "mamba_ssm_dtype": "float32", kernel: fields.count(kernel) - 1}
    state = sum(layer.state for layer in FAMILIES[fields.model_type].rule(Fields({**fields.values, **one})))
    why = "llama.cpp keeps states in float32, and of a convolution's window all but the token that is being read."
    return States(sequences * (drafted + 1) * state, drafted + 1, why)


def _cells(kind: str, layers: list[LayerKV], cells: int, streams: int, kv_format: KVFormat, why: str) -> Cells:
    k_format, v_format = split_format(kv_format)
    k = sum(layer.n_kv_heads * row_bytes(_k_dim(layer), k_format) for layer in layers)
    v = sum(layer.n_kv_heads * row_bytes(_v_dim(layer), v_format) for layer in layers)
    return Cells(kind, len(layers), cells, streams, cells * streams * k, cells * streams * v, why)


def _k_dim(layer: LayerKV) -> int:
    """A latent row is one row of K there, the small rotated key at its end."""
    return layer.k_dim + layer.v_dim if layer.kind == "latent" else layer.k_dim


def _v_dim(layer: LayerKV) -> int:
    return 0 if layer.kind == "latent" else layer.v_dim


def _pad(count: int, step: int) -> int:
    return -(-count // step) * step


def vllm_blocks(
    kv_shape: KVShape,
    free: float,
    longest: int,
    kv_format: KVFormat = "fp16",
    *,
    block: int = BLOCK,
    gpus: int = 1,
    batch: int = 2048,
) -> Blocks:
    """The blocks that vLLM cuts free memory into; versions of 2026 print ``concurrency x longest`` as their tokens.

    Args:
        kv_shape: the model's.
        free: bytes for the cache on one GPU ("Available KV cache memory").
        longest: tokens of the longest sequence (``--max-model-len``).
        kv_format: as for ``KVShape.bytes``.
        block: tokens of a block (``--block-size``).
        gpus: that share the KV heads (``--tensor-parallel-size``); a head is not cut, so each keeps at least one.
        batch: tokens computed at once (``--max-num-batched-tokens``).

    Raises:
        ValueError: if a number is out of range, or pages of two kinds of layers differ in size.
    """
    for name, value in (("longest", longest), ("block", block), ("gpus", gpus), ("batch", batch)):
        require_count(name, value, least=1)
    kept = [layer for layer in kv_shape.layers if layer.kind not in ROWLESS]
    if any(layer.state or layer.index_dim or layer.stride for layer in kv_shape.layers) or not kept:
        raise ValueError("kv_shape has layers with state, index rows or shared rows; their pages are of another size")
    kinds = Counter((layer.kind, layer.window) for layer in kept)
    pages = [block * _bytes_on_gpu(layer, kv_format, gpus) for layer in kept]
    if len(kinds) > 1 and len(set(pages)) > 1:
        raise ValueError("kv_shape has layers of two kinds with pages of two sizes; vLLM groups those by other rules")
    size, groups = _groups(list(kinds.values()))
    blocks, n = int(free // (sum(pages) if len(kinds) == 1 else pages[0] * size)), sum(groups)
    needed = sum(g * _blocks_needed(*kind, longest, block, batch) for g, kind in zip(groups, kinds, strict=True))
    shared = f", which {n} groups of {size} layers share" if n > 1 else ""
    why = f"vLLM floors what is free to whole blocks of {block} tokens{shared}."
    return Blocks(blocks, block, n, blocks // n * block, blocks / needed, why)


def _groups(counts: list[int]) -> tuple[int, list[int]]:
    """Layers of a group, and groups of each kind: the smaller kind decides, unless the larger hardly exceeds it."""
    size = max(counts) if max(counts) < 1.25 * min(counts) else min(counts)
    return size, [math.ceil(count / size) for count in counts]


def _blocks_needed(kind: str, window: int | None, longest: int, block: int, batch: int) -> int:
    """Blocks of a group for one sequence of the longest length."""
    if kind != "sliding" or window is None:
        return math.ceil(longest / block)
    return math.ceil(min(window - 1 + batch, longest) / block) + 1


def _bytes_on_gpu(layer: LayerKV, kv_format: KVFormat, gpus: int) -> int:
    """Bytes of one token's rows on each GPU; a latent row serves all heads, so each GPU keeps it whole."""
    if layer.kind == "latent":
        return layer.token_bytes(kv_format)
    return layer.token_bytes(kv_format) // layer.n_kv_heads * max(1, layer.n_kv_heads // gpus)


@dataclass(frozen=True)
class HybridPage:
    """vLLM's page in a model with recurrent layers.

    Attributes:
        tokens: of an attention block.
        size: bytes of a page, of an attention layer as of a recurrent one.
        padding: the share by which the recurrent layer's page is enlarged.
        why: the reason in a sentence.
    """

    tokens: int
    size: int
    padding: float
    why: str


def vllm_hybrid_page(
    kv_shape: KVShape, state: int, kv_format: KVFormat = "fp16", *, gpus: int = 1, step: int = BLOCK
) -> HybridPage:
    """The attention block that vLLM enlarges until its page holds a recurrent layer's state.

    Source: ``_align_hybrid_block_size`` in vllm/platforms/interface.py.

    Args:
        kv_shape: the model's; its attention layers must be alike.
        state: bytes of one recurrent layer's state of one sequence, as vLLM keeps it: the window of its convolution is
            one token shorter than in ``LayerKV.state``, and longer by each token that is drafted.
        kv_format: as for ``KVShape.bytes``.
        gpus: that share heads and state.
        step: tokens by which the attention's kernel lets a block grow.

    Raises:
        ValueError: if a number is out of range, or the attention layers are not alike.
    """
    for name, value in (("state", state), ("gpus", gpus), ("step", step)):
        require_count(name, value, least=1)
    rows = {_bytes_on_gpu(layer, kv_format, gpus) for layer in kv_shape.layers if layer.kind not in ROWLESS}
    if len(rows) != 1:
        raise ValueError("kv_shape has no attention layers, or they are not alike; a page must fit all of them")
    row, page = rows.pop(), state / gpus
    tokens = step * math.ceil(page / (step * row))
    why = f"vLLM enlarges attention blocks to {tokens:,} tokens, so that their page holds a recurrent layer's state."
    return HybridPage(tokens, tokens * row, tokens * row / page - 1, why)


def vllm_hybrid_blocks(
    kv_shape: KVShape, free: float, longest: int, page: HybridPage, *, state_pages: int = 2
) -> Blocks:
    """The blocks that vLLM cuts free memory into where some layers keep a state, and ``concurrency x longest``.

    Args:
        kv_shape: the model's; its attention layers are all full.
        free: bytes for the cache on one GPU ("Available KV cache memory").
        longest: tokens of the longest sequence (``--max-model-len``).
        page: from ``vllm_hybrid_page``.
        state_pages: that a sequence holds in each group of recurrent layers: 2 with prefix caching
            (``--mamba-cache-mode align``), since the state at the end of the block before is kept; 1 without; and in
            both one more for each token that is drafted. Source: ``MambaSpec.max_memory_usage_bytes``.

    Raises:
        ValueError: if a number is out of range, or the model lacks one of the two kinds of layers.
    """
    for name, value in (("longest", longest), ("state_pages", state_pages)):
        require_count(name, value, least=1)
    counts = [sum(layer.state > 0 for layer in kv_shape.layers), kv_shape.count("full") + kv_shape.count("latent")]
    if not all(counts):
        raise ValueError("kv_shape has no layers with state, or no others; vllm_blocks is for those")
    size, (recurrent, attention) = _groups(counts)
    blocks = int(free // (page.size * size))
    concurrency = blocks / (recurrent * state_pages + attention * math.ceil(longest / page.tokens))
    n = recurrent + attention
    why = f"Recurrent layers take {recurrent} of the {n} groups that share vLLM's blocks, {state_pages} blocks in each."
    return Blocks(blocks, page.tokens, n, int(concurrency * longest), concurrency, why)

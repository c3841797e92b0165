"""What a step of decoding reads of the caches. That is not what they hold.

Sparse attention reads the rows that its index picks; layers that share read rows which another one keeps; and each
sequence reads all of its own rows, a prefix that all have in common too, unless the kernel reads that once for all of
them (cascade attention: FlashInfer's and vLLM's name for it).
"""

from __future__ import annotations

from collections import Counter

from helpers.arithmetic.agents import layer_bytes
from helpers.arithmetic.footprint import KVShape, require_count
from helpers.arithmetic.layers import KVFormat, LayerKV


def cache_read(
    shape: KVShape, tokens: int, sequences: int = 1, kv_format: KVFormat = "fp16", *, read_once: int = 0
) -> int:
    """Bytes of cache that are read to decode one token of each sequence, recurrent state included.

    Args:
        shape: the model's.
        tokens: tokens of each sequence.
        sequences: how many are decoded at once.
        kv_format: as for ``KVShape.bytes``.
        read_once: tokens at the start that all have in common and that are read once; 0 without cascade attention.
            Where attention is sparse each sequence picks its own rows, and nothing is read once.

    Raises:
        ValueError: if a number is out of range, or ``read_once`` is more than ``tokens``.
    """
    sequences = require_count("sequences", sequences, least=0)
    if require_count("read_once", read_once, least=0) > require_count("tokens", tokens, least=0):
        raise ValueError(f"read_once is {read_once}; it must be at most tokens, {tokens}")
    read = sequences * shape.fixed_bytes
    for layer, count in Counter(map(lambda x: _keeper(shape, x), shape.layers)).items():
        each = layer.read_bytes(tokens, kv_format)
        common = 0
        if read_once and layer.reads is None:
            common = 2 * each - layer_bytes(layer, tokens, 2, read_once, kv_format)
        read += count * (sequences * each - max(0, sequences - 1) * common)
    return read


def _keeper(shape: KVShape, layer: LayerKV) -> LayerKV:
    """The layer whose rows a layer reads: itself, or the one it shares with."""
    return layer if layer.source is None else shape.layers[layer.source]

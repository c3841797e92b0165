"""The memory behind the blocks: the rows of K and V of every layer, one place per slot and KV head.

A slot is ``block x block_size + offset``. All layers share the numbering, as an engine's layers share a block table, so
one block holds ``block_size`` tokens of every layer and head. The store knows slots; it knows no sequence.
"""

from __future__ import annotations

import torch

from helpers.arithmetic.layers import row_bytes
from helpers.cache.kv_formats import decode, encode, nvfp4_tensor_scale

# Numbers that a compression works on at once. On a CPU fresh memory costs more than what is done in it, and large
# pieces are always fresh; on a GPU it is room that sequences could have had.
AT_ONCE = {"cpu": 2**22, "cuda": 2**26}
PLAIN = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def sequences_at_once(rows: torch.Tensor) -> int:
    """How many sequences of a batch to work on at once, at least one, for rows ``[batch, n_kv_heads, n, dim]``."""
    return max(1, AT_ONCE.get(rows.device.type, AT_ONCE["cpu"]) // max(1, rows[0].numel()))


class RowStore:
    """Rows of one width in one KV format, for all layers: K has one store, V another.

    Args:
        n_layers, num_slots, n_kv_heads, dim: the sizes; every layer gets ``[num_slots, n_kv_heads, row_bytes]``.
        kv_format: how a row is stored.
        device: where.
    """

    def __init__(self, n_layers: int, num_slots: int, n_kv_heads: int, dim: int, kv_format: str, device: str) -> None:
        self.kv_format, self.dim = kv_format, dim
        shape = (n_layers, num_slots, n_kv_heads, row_bytes(dim, kv_format))
        self.packed = torch.zeros(shape, dtype=torch.uint8, device=device)
        # Typed where the bytes are plain numbers: what is written and gathered then needs no packing at all.
        self.memory = self.packed.view(PLAIN[kv_format]) if kv_format in PLAIN else self.packed
        self.tensor_scale: dict[int, float] = {}  # per layer, for NVFP4 alone
        self._buffer = self.memory.new_empty(0, *self.memory.shape[2:])

    @property
    def buffer_bytes(self) -> int:
        """Bytes of the buffer into which rows are gathered; one serves all layers, one after the other."""
        return self._buffer.nbytes

    def write(self, layer: int, slots: torch.Tensor, rows: torch.Tensor) -> None:
        """Store ``rows`` ``[n, n_kv_heads, dim]`` in ``slots`` ``[n]``."""
        if self.kv_format in PLAIN:
            self.memory[layer].index_copy_(0, slots, rows.to(self.memory.dtype))
            return
        if self.kv_format == "nvfp4" and layer not in self.tensor_scale:
            self.tensor_scale[layer] = nvfp4_tensor_scale(rows)  # fixed by the first rows; larger ones saturate
        self.memory[layer].index_copy_(0, slots, encode(rows, self.kv_format, self.tensor_scale.get(layer, 1.0)))

    def read(self, layer: int, slots: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Rows of all heads in ``slots`` ``[batch, n]``: ``[batch, n_kv_heads, n, dim]``, valid until the next read."""
        rows = self._gather(self.memory[layer], slots.flatten())
        return self._decode(layer, rows, dtype).unflatten(0, slots.shape).transpose(1, 2)

    def read_in_place(self, layer: int, slots: slice, dtype: torch.dtype) -> torch.Tensor:
        """Rows of all heads in slots that follow each other, ``[1, n_kv_heads, n, dim]``; plain ones are not copied."""
        return self._decode(layer, self.memory[layer, slots], dtype).transpose(0, 1)[None]

    def read_per_head(self, layer: int, slots: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Rows in ``slots`` ``[batch, n_kv_heads, n]``, each head its own: ``[batch, n_kv_heads, n, dim]``."""
        return self._decode(layer, self._pick(layer, slots), dtype)

    def blocks(self, layer: int, block_size: int) -> torch.Tensor:
        """The memory of a layer itself, by blocks: ``[num_blocks, block_size, n_kv_heads, dim]``, in a plain format."""
        return self.memory[layer].unflatten(0, (-1, block_size))

    def move(self, layer: int, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Copy rows, each head its own, from slots ``[batch, n_kv_heads, n]`` to ``[batch, n]``.

        They may overlap within a sequence; no sequence moves rows to where another's lie.
        """
        count = sequences_at_once(sources[..., None].expand(*sources.shape, self.memory.shape[-1]))
        for some, their_targets in zip(sources.split(count), targets.split(count), strict=True):
            rows = self._pick(layer, some)  # a copy, so a target may be a later source of the same sequence
            self.memory[layer].index_copy_(0, their_targets.flatten(), rows.transpose(1, 2).flatten(0, 1))

    def copy_slots(self, source: slice, target: slice) -> None:
        """Copy whole slots, in all layers."""
        self.packed[:, target] = self.packed[:, source]

    def _pick(self, layer: int, slots: torch.Tensor) -> torch.Tensor:
        heads = torch.arange(slots.shape[1], device=slots.device)[None, :, None]
        return self.memory[layer][slots, heads]

    def _gather(self, memory: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        # Fresh memory each step costs more than the copy; an eighth to spare saves most reallocations.
        if len(slots) > len(self._buffer):
            self._buffer = memory.new_empty(len(slots) + len(slots) // 8, *memory.shape[1:])
        return torch.index_select(memory, 0, slots, out=self._buffer[: len(slots)])

    def _decode(self, layer: int, rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        rows = rows if self.kv_format in PLAIN else decode(rows, self.kv_format, self.tensor_scale.get(layer, 1.0))
        return rows.to(dtype)

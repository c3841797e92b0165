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

    The rows of a head lie together, so that attention, which works head by head, reads them in one go: on a CPU a
    sequence of 2,048 rows in one piece was attended to 1.7 times as fast as with the heads of a slot side by side.

    Args:
        n_layers, num_slots, n_kv_heads, dim: the sizes; every layer gets ``[n_kv_heads, num_slots, row_bytes]``.
        kv_format: how a row is stored.
        device: where.
    """

    def __init__(self, n_layers: int, num_slots: int, n_kv_heads: int, dim: int, kv_format: str, device: str) -> None:
        self.kv_format, self.dim = kv_format, dim
        shape = (n_layers, n_kv_heads, num_slots, row_bytes(dim, kv_format))
        self.packed = torch.zeros(shape, dtype=torch.uint8, device=device)
        # Typed where the bytes are plain numbers: what is written and gathered then needs no packing at all.
        self.memory = self.packed.view(PLAIN[kv_format]) if kv_format in PLAIN else self.packed
        self.tensor_scale: dict[int, float] = {}  # per layer, for NVFP4 alone
        self._first = torch.arange(n_kv_heads, device=device) * num_slots  # of each head, among a layer's rows
        self._buffer = self.memory.new_empty(0, self.memory.shape[-1])

    @property
    def buffer_bytes(self) -> int:
        """Bytes of the buffer into which rows are gathered; one serves all layers, one after the other."""
        return self._buffer.nbytes

    def write(self, layer: int, slots: torch.Tensor, rows: torch.Tensor) -> None:
        """Store ``rows`` ``[n, n_kv_heads, dim]`` in ``slots`` ``[n]``."""
        if self.kv_format in PLAIN:
            packed = rows.to(self.memory.dtype)
        else:
            if self.kv_format == "nvfp4" and layer not in self.tensor_scale:
                self.tensor_scale[layer] = nvfp4_tensor_scale(rows)  # fixed by the first rows; larger ones saturate
            packed = encode(rows, self.kv_format, self.tensor_scale.get(layer, 1.0))
        self._put(layer, slots, packed.transpose(0, 1))

    def read(self, layer: int, slots: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Rows of all heads in ``slots`` ``[batch, n]``: ``[batch, n_kv_heads, n, dim]``, valid until the next read."""
        rows = self._gather(layer, self._first[:, None, None] + slots)  # [n_kv_heads, batch, n, row]
        return self._decode(layer, rows, dtype).transpose(0, 1)

    def read_in_place(self, layer: int, slots: slice, dtype: torch.dtype) -> torch.Tensor:
        """Rows of all heads in slots that follow each other, ``[1, n_kv_heads, n, dim]``; plain ones are not copied."""
        return self._decode(layer, self.memory[layer, :, slots], dtype)[None]

    def read_per_head(self, layer: int, slots: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Rows in ``slots`` ``[batch, n_kv_heads, n]``, each head its own: ``[batch, n_kv_heads, n, dim]``."""
        return self._decode(layer, self._pick(layer, slots), dtype)

    def blocks(self, layer: int, block_size: int) -> torch.Tensor:
        """The memory of a layer itself, by blocks: ``[num_blocks, block_size, n_kv_heads, dim]``, in a plain format."""
        return self.memory[layer].unflatten(1, (-1, block_size)).permute(1, 2, 0, 3)

    def move(self, layer: int, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Copy rows, each head its own, from slots ``[batch, n_kv_heads, n]`` to ``[batch, n]``.

        They may overlap within a sequence; no sequence moves rows to where another's lie.
        """
        count = sequences_at_once(sources[..., None].expand(*sources.shape, self.memory.shape[-1]))
        for some, their_targets in zip(sources.split(count), targets.split(count), strict=True):
            rows = self._pick(layer, some)  # a copy, so a target may be a later source of the same sequence
            self._put(layer, their_targets.flatten(), rows.transpose(0, 1).flatten(1, 2))

    def copy_slots(self, source: slice, target: slice) -> None:
        """Copy whole slots, in all layers."""
        self.packed[:, :, target] = self.packed[:, :, source]

    def _put(self, layer: int, slots: torch.Tensor, rows: torch.Tensor) -> None:
        """Write packed rows ``[n_kv_heads, n, row]`` to slots ``[n]``."""
        self.memory[layer].index_copy_(1, slots, rows)

    def _pick(self, layer: int, slots: torch.Tensor) -> torch.Tensor:
        """A copy of the packed rows in slots ``[batch, n_kv_heads, n]``, each head its own."""
        places = self._first[:, None] + slots
        return (
            self.memory[layer].flatten(0, 1).index_select(0, places.flatten()).view(*slots.shape, self.memory.shape[-1])
        )

    def _gather(self, layer: int, places: torch.Tensor) -> torch.Tensor:
        """Packed rows from places among all rows of a layer, in the shape of ``places``; valid until the next call."""
        # Fresh memory each step costs more than the copy; an eighth to spare saves most reallocations.
        count = places.numel()
        if count > len(self._buffer):
            self._buffer = self.memory.new_empty(count + count // 8, self.memory.shape[-1])
        rows = torch.index_select(self.memory[layer].flatten(0, 1), 0, places.flatten(), out=self._buffer[:count])
        return rows.view(*places.shape, self.memory.shape[-1])

    def _decode(self, layer: int, rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        rows = rows if self.kv_format in PLAIN else decode(rows, self.kv_format, self.tensor_scale.get(layer, 1.0))
        return rows.to(dtype)

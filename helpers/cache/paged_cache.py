"""A transformers cache whose rows live in the blocks of a pool, as an engine's do.

Two lengths are kept: the logical one goes on with the text and decides positions; the physical one is how many rows are
alive. Cached keys are already turned by RoPE, so a row may lie anywhere: nothing but the order of the list of its slots
says where it stands.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache

from helpers.arithmetic.footprint import KVShape, require_count
from helpers.arithmetic.layers import KVFormat, split_format
from helpers.cache.block_pool import BlockPool, BlockTable, OutOfBlocks, blocks_for
from helpers.cache.cache_stats import CacheStats
from helpers.cache.handover import last_keys, reading, take_mask_owner
from helpers.cache.paged_kernels import Blocks
from helpers.cache.paged_layer import PagedLayer
from helpers.cache.places import Places, in_any_mode
from helpers.cache.row_store import PLAIN, RowStore


class PagedCache(Cache):
    """Rows of K and V in blocks of a ``BlockPool``; a batch of sequences of one length, each with its block table.

    Invariant: in every layer and head of a sequence the same number of rows is alive whenever tokens are appended.

    Args:
        shape: the model's; all its layers keep rows of K and V, full or sliding (a sliding layer's rows are all kept).
        num_blocks: blocks of the pool, reserved at once.
        block_size: slots per block.
        kv_format: how rows are stored; a name, or a pair for K and V.
        batch_size: sequences.
        device: where the rows lie.

    Raises:
        ValueError: if an argument is out of range, or the format cannot store rows of the model's head_dim.
    """

    @in_any_mode
    def __init__(
        self,
        shape: KVShape,
        num_blocks: int,
        block_size: int = 16,
        kv_format: KVFormat = "fp16",
        batch_size: int = 1,
        device: str = "cpu",
    ) -> None:
        uneven = {layer.kind for layer in shape.layers} - {"full", "sliding"}
        if uneven:
            kinds = ", ".join(sorted(uneven))
            raise ValueError(f"the model has layers of kind {kinds}; a PagedCache holds rows of K and V")
        rows = {(layer.n_kv_heads, layer.k_dim, layer.v_dim, layer.index_dim, layer.state) for layer in shape.layers}
        if rows != {(shape.n_kv_heads, shape.head_dim, shape.head_dim, 0, 0)}:
            raise ValueError("the model's layers keep more than rows of K and V of one width; a PagedCache holds those")
        require_count("batch_size", batch_size, least=1)
        self.shape, self.pool = shape, BlockPool(num_blocks, block_size)
        num_slots = self.pool.num_blocks * self.pool.block_size
        sizes = (shape.n_layers, num_slots, shape.n_kv_heads, shape.head_dim)
        self.stores = tuple(RowStore(*sizes, name, device) for name in split_format(kv_format))
        self.tables = [BlockTable(self.pool) for _ in range(batch_size)]
        # Which token lies in a slot, per layer and head: for plots and policies with state, never for attention.
        self.token_of_slot = torch.zeros(sizes[:3], dtype=torch.int32, device=device)
        self.places: Places | None = None  # of a step whose slots are taken already
        super().__init__(layers=[PagedLayer(self, i) for i in range(shape.n_layers)])
        self._clear()

    @classmethod
    def for_model(
        cls, model: Any, num_blocks: int, block_size: int = 16, kv_format: KVFormat = "fp16", batch_size: int = 1
    ) -> PagedCache:
        """A cache for a transformers model, on its device.

        Raises:
            ValueError: if the model's layers do not keep plain rows, or head_dim does not suit the format.
        """
        shape = KVShape.from_config(model.config)
        return cls(shape, num_blocks, block_size, kv_format, batch_size, str(model.device))

    def alive(self, layer: int = 0) -> int:
        """Rows alive per KV head in a layer."""
        rows = self.rows[layer]
        return self.slots.shape[1] if rows is None else rows.shape[2]

    @in_any_mode
    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the new rows ``[batch, n_kv_heads, new, head_dim]``; return all rows alive, as they are stored.

        The returned tensors ``[batch, n_kv_heads, alive, head_dim]`` are to be read, until the next update: they may be
        the pool's own memory. Where attention reads in place by a kernel, they are the new rows alone, and
        ``blocks_behind`` says where all of them lie.

        Raises:
            OutOfBlocks: if the pool has too few blocks; then nothing has changed.
            ValueError: if the batch is of another size, or layers were evicted to different lengths.
        """
        self._write(key_states, value_states, layer_idx)
        if reading.get() is not None and self._can_be_read_in_place(layer_idx, key_states):
            last_keys.set((key_states, self.blocks(layer_idx)))
            return key_states, value_states
        keys, values = (self._read(store, layer_idx, key_states.dtype) for store in self.stores)
        last_keys.set((keys, None))
        return keys, values

    @in_any_mode
    def write(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int) -> None:
        """As ``update``, without reading."""
        self._write(key_states, value_states, layer_idx)

    @in_any_mode
    def reserve(self, places: Places) -> None:
        """Take the slots of one more token per sequence, and say in ``places`` where they are and what there is then.

        While ``places`` stands in the attribute of that name, updates write there and append nothing.

        Raises:
            OutOfBlocks, ValueError: as ``update``; ValueError too if rows were evicted and not compacted.
        """
        if not all(self._lies_in_order(layer) for layer in range(self.shape.n_layers)):
            raise ValueError("only rows in order can be read in place: of full layers, in a plain format, compacted")
        self._append(len(self.tables), 1)
        places.fill(self._new, self._block_table(), self.alive())

    def blocks(self, layer: int) -> Blocks:
        """Where the rows of a layer lie; for one in which they fill the blocks of each sequence in order."""
        keys, values = (store.blocks(layer, self.pool.block_size) for store in self.stores)
        if self.places is not None:
            return Blocks(keys, values, self.places.block_table, self.places.lengths)
        lengths = torch.full((len(self.tables),), self.alive(), dtype=torch.int32, device=keys.device)
        return Blocks(keys, values, self._block_table(), lengths)

    @in_any_mode
    def read(self, layer: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values alive in a layer, ``[batch, n_kv_heads, alive, head_dim]`` each, until the next read."""
        keys, values = (self._read(store, layer, dtype) for store in self.stores)
        return keys, values

    @in_any_mode
    def read_keys(self, layer: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The keys alone, which are all that most policies score by."""
        return self._read(self.stores[0], layer, dtype)

    @in_any_mode
    def token_index(self, layer: int) -> torch.Tensor:
        """Which token each row alive holds: ``[batch, n_kv_heads, alive]``, counted from 0 over prompt and thought."""
        rows = self._rows(layer)
        heads = torch.arange(rows.shape[1], device=rows.device)[None, :, None]
        return self.token_of_slot[layer][rows, heads].long()

    def slot_index(self, layer: int) -> torch.Tensor:
        """Where each row alive lies: its slot in the pool, ``[batch, n_kv_heads, alive]``, in the order of the text."""
        return self._rows(layer)

    @in_any_mode
    def evict(self, keep: torch.Tensor, layer: int | None = None) -> None:
        """Mark all rows dead but those to keep. No block comes back by this, and no row moves.

        Args:
            keep: places among the rows alive, ascending, ``[batch, n_kv_heads, n_keep]``; for all layers at once, each
                its own, ``[n_layers, batch, n_kv_heads, n_keep]``.
            layer: the layer; without it all layers.

        Raises:
            ValueError: if ``keep`` is of another shape, not of int32 or int64, not ascending, or names a row
                or layer that is not there; then nothing has changed.
        """
        n_layers = self.shape.n_layers
        if layer is not None and not 0 <= require_count("layer", layer, least=0) < n_layers:
            raise ValueError(f"layer is {layer}; it may be 0 to {n_layers - 1}")
        layers = range(n_layers) if layer is None else [layer]
        expected = (len(self.tables), self.shape.n_kv_heads)
        leading = (n_layers, *expected) if keep.ndim == 4 and layer is None else expected
        if keep.shape[:-1] != leading or not keep.shape[-1]:
            raise ValueError(
                f"keep has shape {tuple(keep.shape)}; it must be [{expected[0]}, {expected[1]}, 1 or more]"
            )
        if keep.dtype not in (torch.int32, torch.int64):  # a narrower one would wrap around in ``diff``
            raise ValueError(f"keep is of {keep.dtype}; places are whole numbers, torch.int64")
        alive = min(self.alive(i) for i in layers)
        if (
            keep.min() < 0 or keep.max() >= alive or (keep.diff() <= 0).any()
        ):  # once: on a GPU each answer is waited for
            raise ValueError(f"keep must hold ascending places, each once, of the {alive} rows alive")
        for i, of_layer in zip(layers, keep if keep.ndim == 4 else [keep] * len(layers), strict=True):
            self.rows[i] = self._rows(i).gather(-1, of_layer)

    @in_any_mode
    def release_empty_blocks(self) -> int:
        """Give back the blocks in which every slot is dead in every head and layer; returns how many became free."""
        lives = torch.zeros(len(self.tables), self.pool.num_blocks, dtype=torch.bool, device=self.slots.device)
        for i in range(self.shape.n_layers):
            lives.scatter_(1, (self._rows(i) // self.pool.block_size).flatten(1), True)
        freed = 0
        for table, live in zip(self.tables, lives.tolist(), strict=True):
            freed += table.release(i for i, block in enumerate(table.blocks) if not live[block])
        self._note_tables()
        return freed

    @in_any_mode
    def compact(self) -> int:
        """Slide the rows alive, per head and in order, into a dense prefix; give the tail back; returns blocks freed.

        Blocks that are shared and would change are copied first.

        Raises:
            OutOfBlocks: if the pool has too few blocks for those copies; then nothing has changed.
            ValueError: if layers were evicted to different lengths.
        """
        if all(rows is None for rows in self.rows):
            return 0
        alive, free_before, size = self._common_length(), self.pool.num_free_blocks, self.pool.block_size
        first_blocks = [first // size for first in self._first_changes(alive)]
        changed = [range(first, blocks_for(alive, size)) for first in first_blocks]
        self._require_free(sum(t.num_shared(places) for t, places in zip(self.tables, changed, strict=True)))
        for table, places in zip(self.tables, changed, strict=True):
            table.make_own(places)
        for block in set(first_blocks):  # one, as a rule: sequences of a batch are compressed alike
            together = [sequence for sequence, first in enumerate(first_blocks) if first == block]
            self._slide(together, block * size, alive)
        for table in self.tables:
            table.truncate(alive)
        self._index_slots()
        return self.pool.num_free_blocks - free_before

    @in_any_mode
    def fork(self) -> PagedCache:
        """A second cache that shares all blocks of this one, as a sub-agent shares its parent's prefix.

        Neither sees what the other appends or compacts from now on: shared blocks are copied before they change.
        """
        child = object.__new__(type(self))
        child.__dict__.update(self.__dict__)
        child.tables = [table.fork() for table in self.tables]
        child.slots = self.slots.clone()  # copy on write renumbers in place
        child.rows = [None if rows is None else rows.clone() for rows in self.rows]
        child.layers = [PagedLayer(child, i) for i in range(self.shape.n_layers)]
        return child

    @in_any_mode
    def reset(self) -> None:
        """Forget everything and give all blocks back."""
        for table in self.tables:
            table.truncate(0)
        self._clear()

    def stats(self) -> CacheStats:
        """What the cache holds now, in bytes of tensors that exist."""
        blocks = {block for table in self.tables for block in table.blocks}
        size = self.pool.block_size
        reserved = sum(store.packed.nbytes for store in self.stores)
        slot_bytes = sum(store.packed[:, :, :1].nbytes for store in self.stores)  # one slot, all layers and heads
        row_count = sum(self.alive(i) for i in range(self.shape.n_layers)) * len(self.tables)
        return CacheStats(
            tokens_seen=self.tokens_seen,
            tokens_alive=self.alive(),
            slots_held=len(blocks) * size,
            blocks_held=len(blocks),
            blocks_free=self.pool.num_free_blocks,
            bytes_held=len(blocks) * size * slot_bytes,
            bytes_alive=row_count * slot_bytes // self.shape.n_layers,
            bytes_reserved=reserved,
        )

    # --- inside -------------------------------------------------------------------------------------------------------
    def _clear(self) -> None:
        self.tokens_seen = 0
        # Per layer, slots of the rows alive [batch, n_kv_heads, alive]; None while they are all slots, in order.
        self.rows: list[torch.Tensor | None] = [None] * self.shape.n_layers
        self._index_slots()

    def _index_slots(self) -> None:
        """Note that the rows alive are all slots of the tables, in order."""
        self.rows = [None] * self.shape.n_layers
        self._note_tables()
        self.slots = self._on_device([table.slots() for table in self.tables])  # [batch, alive]

    def _on_device(self, numbers: list, dtype: torch.dtype = torch.long) -> torch.Tensor:
        """A tensor beside the rows; a GPU fetches it when it gets there, and the program does not wait for that."""
        device = self.token_of_slot.device
        made = torch.tensor(numbers, dtype=dtype)
        return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made.to(device)

    def _note_tables(self) -> None:
        """Blocks have come or gone: the tables' tensor is out of date, and a sequence may lie in one piece, or not."""
        self._table, size = None, self.pool.block_size
        blocks = self.tables[0].blocks if len(self.tables) == 1 else []
        in_one_piece = blocks and blocks == list(range(blocks[0], blocks[0] + len(blocks)))
        self._first_slot = blocks[0] * size if in_one_piece else None

    def _block_table(self) -> torch.Tensor:
        """The tables, int32 ``[batch, blocks]``, made anew where blocks have come or gone."""
        if self._table is None:
            self._table = self._on_device([table.blocks for table in self.tables], torch.int32)
        return self._table

    def _lies_in_order(self, layer: int) -> bool:
        """True if a layer's rows are plain numbers, fill the blocks of each sequence in order, and are all seen."""
        is_plain = all(store.kv_format in PLAIN for store in self.stores)
        return is_plain and self.rows[layer] is None and self.shape.layers[layer].kind == "full"

    def _can_be_read_in_place(self, layer: int, new_keys: torch.Tensor) -> bool:
        is_as_stored = all(store.memory.dtype == new_keys.dtype for store in self.stores)
        return new_keys.shape[2] == 1 and is_as_stored and self._lies_in_order(layer)

    def _rows(self, layer: int) -> torch.Tensor:
        rows = self.rows[layer]
        return self.slots[:, None].expand(-1, self.shape.n_kv_heads, -1) if rows is None else rows

    def _read(self, store: RowStore, layer: int, dtype: torch.dtype) -> torch.Tensor:
        rows = self.rows[layer]
        if rows is not None:
            return store.read_per_head(layer, rows, dtype)
        if self._first_slot is not None:
            return store.read_in_place(layer, slice(self._first_slot, self._first_slot + self.slots.shape[1]), dtype)
        return store.read(layer, self.slots, dtype)

    def _common_length(self) -> int:
        lengths = {self.alive(i) for i in range(self.shape.n_layers)}
        if len(lengths) > 1:
            raise ValueError(f"layers hold {sorted(lengths)} rows; evict every layer to one length first")
        return lengths.pop()

    def _require_free(self, needed: int) -> None:
        if needed > self.pool.num_free_blocks:
            raise OutOfBlocks(self.pool.num_held_blocks, self.pool.num_free_blocks, needed)

    def _write(self, key_states: torch.Tensor, value_states: torch.Tensor, layer: int) -> None:
        if layer == 0:
            take_mask_owner()  # the mask of this pass is made, perhaps by transformers' own function
            if self.places is None:
                self._append(len(key_states), key_states.shape[2])
        slots = (self.places or self._new).slots
        for store, states in zip(self.stores, (key_states, value_states), strict=True):
            store.write(layer, slots.flatten(), states.transpose(1, 2).flatten(0, 1))
        if self.rows[layer] is not None:
            fresh = slots[:, None].expand(-1, self.shape.n_kv_heads, -1)
            self.rows[layer] = torch.cat([self.rows[layer], fresh], dim=-1)

    def _append(self, batch: int, new: int) -> None:
        if batch != len(self.tables):
            raise ValueError(f"the batch has {batch} sequences; this cache was made for {len(self.tables)}")
        self._common_length()
        self._require_free(sum(table.blocks_needed(new) for table in self.tables))
        blocks_before = len(self.tables[0].blocks)
        for sequence, table in enumerate(self.tables):
            for source, target in table.append(new):
                self._copy_block(sequence, source, target)
        if len(self.tables[0].blocks) > blocks_before:
            self._note_tables()
        tokens = torch.arange(self.tokens_seen, self.tokens_seen + new, dtype=torch.int32, device=self.slots.device)
        self._new = Places(self._on_device([table.slots(-new) for table in self.tables]))
        self.token_of_slot[:, self._new.slots] = tokens[:, None]  # in all layers: each will get a row of them
        self.slots = torch.cat([self.slots, self._new.slots], dim=1)
        self.tokens_seen += new

    def _copy_block(self, sequence: int, source: int, target: int) -> None:
        size = self.pool.block_size
        old, new = slice(source * size, (source + 1) * size), slice(target * size, (target + 1) * size)
        for store in self.stores:
            store.copy_slots(old, new)
        self.token_of_slot[:, new] = self.token_of_slot[:, old]
        for slots in [self.slots, *(rows for rows in self.rows if rows is not None)]:
            own = slots[sequence]
            own[own // size == source] += (target - source) * size
        self._note_tables()

    def _first_changes(self, alive: int) -> list[int]:
        """Per sequence the first place whose row compaction moves; ``alive`` where none does."""
        targets = self._on_device([table.slots()[:alive] for table in self.tables])[:, None]
        moved = torch.stack([(self._rows(i) != targets).any(1) for i in range(self.shape.n_layers)]).any(0)
        return torch.where(moved.any(1), moved.int().argmax(1), alive).tolist()

    def _slide(self, sequences: list[int], first: int, alive: int) -> None:
        """Move the rows from place ``first`` on to the first slots of the tables; layer by layer, sequences at once."""
        targets = self._on_device([self.tables[sequence].slots()[first:alive] for sequence in sequences])
        for i in range(self.shape.n_layers):
            self._move(i, self._rows(i)[sequences, :, first:], targets)

    def _move(self, layer: int, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Rows from slots ``[batch, n_kv_heads, n]``, each head its own, to slots ``[batch, n]``."""
        for store in self.stores:
            store.move(layer, sources, targets)
        heads = torch.arange(sources.shape[1], device=sources.device)[:, None]
        self.token_of_slot[layer, targets] = self.token_of_slot[layer][sources, heads].transpose(1, 2)

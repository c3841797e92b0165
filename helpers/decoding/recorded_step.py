"""One decoded token in each sequence of a batch, by a program that never changes: on a GPU it is recorded and replayed.

A step of a large model is about a thousand short kernels, and Python hands over one after the other. Where a kernel is
done sooner than the next is handed over, the GPU waits, and what is measured is Python. A CUDA graph hands over all of
them at once. It repeats the same kernels on the same memory, so all that changes from step to step (the tokens, their
positions, the slots, the block tables, the lengths) lies in tensors that stay where they are and are filled anew.
"""

from __future__ import annotations

from typing import Any

import torch

from helpers.cache.block_pool import blocks_for
from helpers.cache.handover import reading
from helpers.cache.paged_cache import PagedCache
from helpers.cache.places import Places, in_any_mode
from helpers.cache.row_store import PLAIN
from helpers.machine.device import is_cuda

WARM_UPS = 3  # before recording, so that libraries have chosen their kernels and taken their memory


class DecodeStep:
    """Call it with the newest tokens ``[batch]`` for the next ones; within ``attending``, with a reader in place.

    Args:
        model: on the device of the cache.
        cache: rows in order: never evicted, or compacted each time.
        most_rows: the most rows that a sequence will hold.
        recorded: replay a recording; the default on a GPU, and only there.

    Raises:
        ValueError: when called, if rows of the cache cannot be read in place, nobody does so, or they are too many.
        OutOfBlocks: when called, if the pool is out of them.
    """

    @in_any_mode
    def __init__(self, model: Any, cache: PagedCache, most_rows: int, recorded: bool | None = None) -> None:
        batch, device = len(cache.tables), model.device
        self.model, self.cache = model, cache
        self.places = Places.of_one_token(batch, blocks_for(most_rows, cache.pool.block_size), device)
        self.tokens = torch.zeros(batch, 1, dtype=torch.long, device=device)
        self.position = torch.zeros(1, 1, dtype=torch.long, device=device)
        self.recorded = is_cuda(device) if recorded is None else recorded
        self._graph: torch.cuda.CUDAGraph | None = None

    @torch.inference_mode()
    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        """The likeliest next tokens ``[batch]``, valid until the next call."""
        self._require_a_reader()
        self.cache.reserve(self.places)
        self.tokens.copy_(tokens[:, None])
        self.position.fill_(self.cache.tokens_seen - 1)
        if not self.recorded:
            self._next = self._run()
            return self._next
        if self._graph is None:
            self._graph, self._next = self._record()
        self._graph.replay()
        return self._next

    def _require_a_reader(self) -> None:
        """Rows that are gathered are others in each step, which a recording would not notice."""
        if reading.get() is None:
            raise ValueError("nobody reads in place; call a DecodeStep within attending(model, reader=...)")
        for store in self.cache.stores:
            if store.kv_format in PLAIN and store.memory.dtype != self.model.dtype:
                raise ValueError(f"the cache is in {store.kv_format}, the model in {self.model.dtype}; use one format")
        most = self.places.block_table.shape[1] * self.cache.pool.block_size
        if self.cache.alive() >= most:
            raise ValueError(f"the cache holds {self.cache.alive()} rows; most_rows has left room for {most}")

    def _run(self) -> torch.Tensor:
        """The step itself. Run again without ``reserve``, it writes the same rows to the same slots."""
        self.cache.places = self.places
        try:
            output = self.model(
                self.tokens, position_ids=self.position, past_key_values=self.cache, use_cache=True, logits_to_keep=1
            )
        finally:
            self.cache.places = None
        return output.logits[:, -1].argmax(-1)

    def _record(self) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        """Record the step, after some runs on a stream beside the main one, as CUDA asks for."""
        beside, main = torch.cuda.Stream(), torch.cuda.current_stream()
        beside.wait_stream(main)
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                self._run()
        main.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            following = self._run()
        return graph, following

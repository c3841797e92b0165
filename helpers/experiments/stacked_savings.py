"""Every lever at once: four readers of one document, and what their caches hold under each saving, measured.

``python -m helpers.experiments.stacked_savings`` has SmolLM2 read documents of English, each for four readers, who then
go on to a passage of their own. Each lever is added to those before it; the loss of the passages says what it costs.
Two tasks of the sweep (``smollm2_sweep``) are read in coarser formats too, to be set beside what eviction costs there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from helpers.arithmetic.footprint import KVShape
from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.loop import replay
from helpers.decoding.losses import foretold, token_losses
from helpers.eviction import Compressor, Policy
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.smollm2_sweep import prepared
from helpers.experiments.smollm2_tasks import TASKS, Task, smollm2
from helpers.experiments.windows import windows
from helpers.models.loading import Loaded
from helpers.records import stacked_savings as names

BLOCK_SIZE, READERS = 16, 4
DOCUMENT, OWN = 320, 192  # tokens: read by all four, and by one alone
BUDGET, INTERVAL = 96, 32  # half of a reader's own tokens
SELECTION = "per_layer_per_head"
DOCUMENTS = 6
FORMATS, TESTS = ("q8_0", "q4_0"), ("english", "facts")


@dataclass(frozen=True)
class Levers:
    """Which savings are on.

    Attributes:
        grouped: one set of rows per KV head; otherwise one per query head, as without grouped-query attention, and
            then without sharing and eviction: the first line of the comparison, to which the others are added.
        kv_format: how rows are stored.
        shared: the readers share the blocks of the document.
        compressor: evicts and compacts, or None.
    """

    grouped: bool = True
    kv_format: str | tuple[str, str] = "fp16"
    shared: bool = False
    compressor: Compressor | None = None

    def __post_init__(self) -> None:
        if not self.grouped and (self.shared or self.compressor):
            raise ValueError("grouped is False; rows per query head are measured without sharing and without eviction")


@dataclass(frozen=True)
class Outcome:
    """What the readers held at the end, and how well they foretold their passages.

    Attributes:
        bytes_held: bytes of all blocks that any reader holds, shared ones once.
        losses: per reader, the mean loss of its passage, from where rows may have gone.
    """

    bytes_held: int
    losses: list[float]


def all_levers(policy: Policy) -> dict[str, Levers]:
    """Each lever on top of those before it, by name; then eviction that does not stop at the document."""
    half = Compressor(policy, BUDGET, INTERVAL, SELECTION)
    only_evict = Compressor(policy, BUDGET, INTERVAL, SELECTION, compact=False)
    everywhere = Compressor(policy, (DOCUMENT + OWN) // 2, INTERVAL, SELECTION, protect_prompt=False)
    return {
        names.APART: Levers(grouped=False),
        names.GROUPED: Levers(),
        names.Q8_0: Levers(kv_format="q8_0"),
        names.SHARED: Levers(kv_format="q8_0", shared=True),
        names.EVICTED: Levers(kv_format="q8_0", shared=True, compressor=only_evict),
        names.COMPACTED: Levers(kv_format="q8_0", shared=True, compressor=half),
        names.EVERYWHERE: Levers(kv_format="q8_0", shared=True, compressor=everywhere),
    }


def four_texts(loaded: Loaded, documents: int) -> torch.Tensor:
    """The readers' texts, ``[documents, 4, DOCUMENT + OWN]``: a document, then a passage out of what follows it."""
    pieces = windows(loaded, "english", documents, DOCUMENT + READERS * OWN)
    document, passages = pieces[:, None, :DOCUMENT], pieces[:, DOCUMENT:].view(documents, READERS, OWN)
    return torch.cat([document.expand(-1, READERS, -1), passages], dim=2)


def run_readers(
    model: Any,
    token_ids: torch.Tensor,
    document: int,
    levers: Levers,
    counted_from: int = BUDGET + INTERVAL,
    on_reader: Callable[[], Any] | None = None,
) -> Outcome:
    """Let the readers read, one after the other, and keep their caches until the last is done.

    Args:
        model: a causal language model.
        token_ids: ``[readers, length]``, alike in the first ``document`` tokens.
        document: tokens of the document. All but the last are read first, and shared where they are.
        levers: which savings are on.
        counted_from: the token of a passage from which on its loss counts.
        on_reader: called when a reader is done.
    """
    common = token_ids[:1, : document - 1]
    parent = _read_document(model, common, levers, token_ids.numel())
    caches, losses = [], []
    for ids in token_ids:
        cache = parent.fork() if levers.shared else _read_document(model, common, levers, len(ids))
        found, _ = token_losses(model, ids[None, document - 1 :], 1, cache, levers.compressor)
        losses.append(round(float(found[0, counted_from:].mean()), 3))
        caches.append(cache if levers.grouped else _with_rows_per_query_head(cache, model))
        if on_reader is not None:
            on_reader()
    parent.reset()
    return Outcome(_bytes_held(caches), losses)


def predict_bytes(shape: KVShape, group_size: int, document: int, own: int, readers: int, levers: Levers) -> int:
    """What ``run_readers`` must find, from a closed form that knows no tensor.

    Args:
        shape: the model's.
        group_size: query heads per KV head.
        document: tokens of the document; all but the last are read before a reader forks.
        own: tokens of a reader's passage.
        readers: how many there are.
        levers: which savings are on.
    """
    evicts = levers.compressor is not None and levers.compressor.compact
    moved = evicts and not levers.compressor.protect_prompt  # rows that slide leave no block as the others have it
    shared = (document - 1) // BLOCK_SIZE if levers.shared and not moved else 0  # full ones; the last is copied
    alive = _alive(document, own, levers.compressor) if evicts else document + own
    block = shape.bytes(BLOCK_SIZE, kv_format=levers.kv_format) * (1 if levers.grouped else group_size)
    return (shared + readers * (blocks_for(alive, BLOCK_SIZE) - shared)) * block


def _alive(document: int, own: int, compressor: Compressor) -> int:
    """Rows of one reader at the end, compression by compression: the saw-tooth."""
    protected = document if compressor.protect_prompt else 0
    rows, full = document, protected + compressor.budget + compressor.interval
    while True:
        if rows >= full:
            rows = protected + compressor.budget
        step = min(own, full - rows)
        if step == 0:
            return rows
        rows, own = rows + step, own - step


def _read_document(model: Any, token_ids: torch.Tensor, levers: Levers, room: int) -> PagedCache:
    """A cache with the document read, in a pool with room for so many tokens more."""
    blocks = 4 + blocks_for(token_ids.shape[1] + room, BLOCK_SIZE)
    cache = PagedCache.for_model(model, blocks, BLOCK_SIZE, levers.kv_format)
    replay(model, token_ids, token_ids.shape[1], cache)
    return cache


def _bytes_held(caches: list[PagedCache]) -> int:
    """Bytes of the blocks that the caches hold in their pools, a block that several list once."""
    stats = caches[0].stats()
    pools = {id(cache.pool): cache.pool for cache in caches}.values()
    return sum(pool.num_held_blocks for pool in pools) * (stats.bytes_held // stats.blocks_held)


def _with_rows_per_query_head(cache: PagedCache, model: Any) -> PagedCache:
    """The same rows as a model without grouped queries would keep them: each query head has a copy of its own."""
    shape, n_heads = cache.shape, model.config.num_attention_heads
    wide = KVShape(shape.n_layers, n_heads, shape.head_dim)
    formats = tuple(store.kv_format for store in cache.stores)
    copy = PagedCache(wide, cache.pool.num_blocks, BLOCK_SIZE, formats)
    for layer in range(shape.n_layers):
        rows = (states.repeat_interleave(n_heads // shape.n_kv_heads, dim=1) for states in cache.read(layer))
        copy.update(*rows, layer)
    return copy


def test_format(task: Task, kv_format: str) -> dict[str, list]:
    """Read the texts of a task with all rows kept in a format; loss and answers as the sweep has them."""
    model, (count, length) = smollm2().model, task.token_ids.shape
    pool = PagedCache.for_model(model, count * blocks_for(length, BLOCK_SIZE), BLOCK_SIZE, kv_format, count)
    losses, trace = token_losses(model, task.token_ids, 1, pool)
    counted, right = task.counted[:, 1:], foretold(trace, task.token_ids)
    by_text = (losses * counted).sum(1) / counted.sum(1)
    return {"losses": [round(x, 3) for x in by_text.tolist()], "right": (right | ~counted).all(1).int().tolist()}


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("stacked_savings", __doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS)
    options = parser.parse_args()
    model, texts = smollm2().model, four_texts(smollm2(), options.documents)
    lines = []
    for name, levers in tqdm(all_levers(prepared("TriAttention")).items(), unit="line"):
        outcomes = [run_readers(model, four, DOCUMENT, levers) for four in texts]
        [held] = {outcome.bytes_held for outcome in outcomes}  # bytes do not ask what the text says
        losses = [loss for outcome in outcomes for loss in outcome.losses]
        lines.append({"name": name, "bytes_held": held, "losses": losses})
    pairs = [(task, kv_format) for task in TESTS for kv_format in FORMATS]
    formats = [{"task": t, "kv_format": f} | test_format(TASKS[t](), f) for t, f in tqdm(pairs, unit="test")]
    sizes = {"document": DOCUMENT, "own": OWN, "budget": BUDGET, "interval": INTERVAL, "block_size": BLOCK_SIZE}
    finish(new_report(command_of(parser, options)) | {"sizes": sizes, "lines": lines, "formats": formats}, options)


if __name__ == "__main__":
    main()

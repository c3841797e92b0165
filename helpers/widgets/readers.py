"""SmolLM2 reads, now, on this machine: alone until its pool has no block left, or as four readers of one document."""

from __future__ import annotations

from functools import cache
from typing import Any

from IPython.display import display
from tqdm.auto import tqdm

from helpers.arithmetic.footprint import format_bytes
from helpers.cache.paged_cache import PagedCache
from helpers.eviction import TriAttention
from helpers.experiments.last_words import BLOCK_SIZE, BLOCKS, read_until_the_wall, text_ids
from helpers.experiments.stacked_savings import DOCUMENT, Levers, Outcome, four_texts, run_readers
from helpers.experiments.windows import windows
from helpers.models import load_smollm2
from helpers.models.loading import Loaded
from helpers.plots.last_words import up_to_the_wall
from helpers.records.last_words import Reading
from helpers.widgets.page import Picture, bundle_caption, is_static

STRIDE = 32  # tokens of a pass
EVERY = 2  # passes between two pictures
CALIBRATION = 512  # tokens of a text of another kind


@cache
def smollm2() -> Loaded:
    """SmolLM2, loaded once."""
    return load_smollm2()


@cache
def calibrated() -> TriAttention:
    """TriAttention for SmolLM2, calibrated in a few seconds on the beginning of a text of another kind."""
    return TriAttention.calibrate(smollm2().model, windows(smollm2(), "course", 1, CALIBRATION))


def let_it_read(num_blocks: int = BLOCKS) -> Reading:
    """Let SmolLM2 read on in a pool of so many blocks of fp32 rows, until it refuses: its words, over what it holds."""
    pool = PagedCache.for_model(smollm2().model, num_blocks, BLOCK_SIZE, "fp32")
    limit, most = pool.stats().bytes_reserved, num_blocks * BLOCK_SIZE
    shown: list[Any] = []  # the words and the picture, once they are there

    def draw(reading: Reading) -> None:
        ended = reading.error is not None
        if not ended and (is_static() or len(reading.curve) % EVERY):
            return
        frame = up_to_the_wall(reading.curve, limit, round(1.1 * most), ended), caption_of(reading, num_blocks, limit)
        if shown:
            shown[0].update(words_of(reading), raw=True)
            shown[1].update(*frame)
        else:
            shown[:] = display(words_of(reading), raw=True, display_id=True), Picture(*frame)

    return read_until_the_wall(smollm2(), text_ids(smollm2(), most + STRIDE), pool, STRIDE, draw)


def words_of(reading: Reading) -> dict[str, str]:
    """The words last read, and what was said at the end."""
    said = f"\n\n`{reading.error}`" if reading.error else ""
    return bundle_caption(f"... **{' '.join(reading.last_words.split())}**{said}")


def caption_of(reading: Reading, num_blocks: int, limit: int) -> str:
    """What the picture shows."""
    return (
        f"Figure: area chart, bytes of notes that SmolLM2 holds over the tokens it has read. Its pool has {num_blocks} "
        f"blocks of {BLOCK_SIZE} slots, {format_bytes(limit)} of float32 rows. It has read {reading.tokens:,} tokens."
    )


def let_four_read(levers: Levers) -> Outcome:
    """Let four readers open one document and each go on to a passage of its own, under these levers."""
    [texts] = four_texts(smollm2(), documents=1)
    with tqdm(total=len(texts), unit="reader", disable=is_static()) as bar:
        return run_readers(smollm2().model, texts, DOCUMENT, levers, on_reader=bar.update)

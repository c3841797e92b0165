"""A question of the reader's own: SmolLM2 answers it now, and its garage fills while it writes."""

from __future__ import annotations

from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.conversation import chat, turn_ids
from helpers.models import load_smollm2, smollm2
from helpers.widgets.living.garage_live import LiveGarage
from helpers.widgets.page import is_static

BLOCK_SIZE = 16
LONGEST, LONGEST_SAVED = 96, 48  # tokens of a reply; of one on a page that is run to be saved or tested


def ask(question: str) -> int:
    """Let SmolLM2 answer a question in front of the reader, in a paged cache without compression.

    Where SmolLM2 is not installed, one line says so and what installs it; the model hub is not asked.

    Returns:
        Bytes that the pool got back while it wrote.
    """
    try:
        smollm2.convert()
    except (OSError, ValueError) as error:
        print(error)
        return 0
    loaded, longest = load_smollm2(), LONGEST_SAVED if is_static() else LONGEST
    ids = turn_ids(loaded, question, is_first=True)
    cache = PagedCache.for_model(loaded.model, blocks_for(ids.shape[1] + longest, BLOCK_SIZE), BLOCK_SIZE)
    garage = LiveGarage(cache, loaded.tokenizer)
    garage.show()
    chat(loaded, question, cache, max_new_tokens=longest, on_step=garage.reading(ids))
    garage.finish()
    return garage.frame(garage.choice)["bytes_back"]

"""The notes on a text as a model read them, and the same notes shuffled."""

from __future__ import annotations

import torch

from helpers.models.loading import Loaded
from helpers.plots.walls import notes_in_two_orders
from helpers.teaching.lessons.lesson_08 import ferry_ids
from helpers.widgets.page import show


def show_shuffled(course: Loaded) -> tuple[torch.Tensor, torch.Tensor]:
    """Show the notes on a text in two orders.

    Args:
        course: whose tokens.

    Returns:
        Token ids of the text ``[1, tokens]``, and a new order of the rows of all but the last ``[tokens - 1]``.
    """
    text = ferry_ids(course)
    order = torch.randperm(text.shape[1] - 1, generator=torch.Generator().manual_seed(0))
    words = [course.tokenizer.decode([token]) for token in text[0, :-1].tolist()]
    show(
        notes_in_two_orders(words, order.tolist()),
        f"Figure: the notes on {len(words)} tokens, a box for each, as they lie in the cache. Left as they were read, "
        "the oldest first; right the same notes, shuffled. The darker a box, the older its token.",
    )
    return text, order

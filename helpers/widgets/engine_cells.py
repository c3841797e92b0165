"""What an engine did with its cells, as pictures with their captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from helpers.engines.engine import Answer
from helpers.engines.llama_cpp_watch import Reading
from helpers.plots.engines import cells_of_requests, cells_while_writing
from helpers.widgets.page import show

MOMENT = 3  # readings in which the two counts may be out of step by one: a server moves them one after the other


def show_requests(names: Sequence[str], answers: Sequence[Answer], cells: int) -> None:
    """Show a bar per request: tokens found again, read and written, in a slot of so many cells."""
    found = [answer.reused_tokens for answer in answers]
    read = [answer.prompt_tokens - answer.reused_tokens for answer in answers]
    written = [len(answer.tokens) for answer in answers]
    told = "; ".join(f"{name}: {f} found, {r} read" for name, f, r in zip(names, found, read, strict=True))
    caption = (
        f"Figure: a bar for each request to llama.cpp with SmolLM2, in tokens, in a slot of {cells:,} cells. {told}; "
        f"{written[0]} written each. What is to the right of a bar is reserved and empty."
    )
    show(cells_of_requests(names, found, read, written, cells), caption)


def show_shift(readings: Sequence[Reading], cells: int, ends: int) -> None:
    """Show the filled cells of a slot that goes on when it is full, over the tokens written."""
    ahead = Counter(reading.filled - reading.written for reading in readings)
    path = [each for each in readings if each.answering and ahead[each.filled - each.written] > MOMENT]
    written, filled = [reading.written for reading in path], [reading.filled for reading in path]
    caption = (
        f"Figure: a line for one answer of llama.cpp with SmolLM2, in a slot of {cells} cells: cells filled over "
        f"tokens written. It begins at {filled[0]} cells, the prompt, and rises by one a token. Where the slot is full "
        f"it falls by about half, and rises again. The dot, at {ends} tokens, is where the answer ends without "
        "context shift."
    )
    show(cells_while_writing(written, filled, cells, ends), caption)

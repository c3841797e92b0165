"""A text that a model reads under TriAttention, and the floors it holds: the picture, and a control that turns it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import ipywidgets
import torch
from IPython.display import display

from helpers.cache.block_pool import blocks_for
from helpers.cache.paged_cache import PagedCache
from helpers.decoding.loop import replay
from helpers.eviction import Compressor, TriAttention
from helpers.eviction.selection import SELECTIONS
from helpers.measuring.trace import Trace
from helpers.models.loading import Loaded
from helpers.plots import compression
from helpers.widgets.page import Frame, choice, control, is_static, slider

BLOCK_SIZE, RECENT = 16, 16
NAMES = {"smollm2": "SmolLM2"}  # as a reader knows them


def floors_held(trace: Trace, name: str, compressor: Compressor) -> Frame:
    """Floors held over tokens read, beside what they would be without eviction, counted: one per 16 tokens.

    Args:
        trace: of a reading.
        name: the model's, as ``Loaded`` has it.
        compressor: what it read under; the caption says how it was set, so that no two settings share a caption.
    """
    name = NAMES.get(name, name)
    tokens, blocks = compression.held_over_time(trace)
    full = list(range(tokens[-1] + 1))
    runs = {
        "without eviction": (full, [blocks_for(seen, BLOCK_SIZE) for seen in full]),
        "TriAttention": (tokens, blocks),
    }
    evicted, most = sum(each.tokens_evicted for each in trace.compressions.values()), max(blocks)
    times = len(trace.compressions)
    title = (
        f"{trace.blocks_freed} floors came back in {times} compressions" if trace.blocks_freed else "No floor came back"
    )
    caption = (
        f"Figure: line chart, floors of {BLOCK_SIZE} slots held over tokens read, by {name} with TriAttention at a "
        f"budget of {compressor.budget} rows, every {compressor.interval} tokens, selection {compressor.selection}, "
        f"compaction {'on' if compressor.compact else 'off'}, and dashed without eviction. {times} compressions "
        f"evicted {evicted} tokens and gave back {trace.blocks_freed} floors; held at most {most}, at the end "
        f"{blocks[-1]}."
    )
    return compression.sawtooth(runs, 0, tokens[-1], title), caption


def following(tokens: int) -> Callable[[torch.Tensor], None]:
    """For ``replay``'s ``on_logits``: a bar that shows how much of a text is read; none on a static page."""
    bar = ipywidgets.IntProgress(max=tokens, layout={"width": "auto"})
    if not is_static():
        display(bar)

    def on_logits(logits: torch.Tensor) -> None:
        bar.value += logits.shape[1]

    return on_logits


def floors_frame(
    loaded: Loaded,
    policy: TriAttention,
    text: torch.Tensor,
    budget: int,
    interval: int,
    selection: str,
    compaction: str = "on",
    progress: Callable[[float], None] = lambda share: None,
) -> Frame:
    """Floors over time of one reading, as the control is turned; nothing of the text ``[1, tokens]`` is a prompt."""
    length, seen = text.shape[1], 0

    def on_logits(logits: torch.Tensor) -> None:
        nonlocal seen
        seen += logits.shape[1]
        progress(min(1.0, seen / length))

    cache = PagedCache.for_model(loaded.model, blocks_for(length, BLOCK_SIZE), BLOCK_SIZE)
    compressor = Compressor(policy, budget, interval, selection, compaction == "on", False, RECENT)
    return floors_held(replay(loaded.model, text, 1, cache, compressor, on_logits), loaded.name, compressor)


def floors_control(loaded: Loaded, policy: TriAttention, text: torch.Tensor) -> None:
    """Show a reading with its controls: budget, interval, selection, compaction."""
    control(
        partial(floors_frame, loaded, policy, text),
        button=f"read {text.shape[1]} tokens",
        budget=slider("budget", range(32, 193, 32), 64),
        interval=choice("interval", [16, 32, 64, 128], 32),
        selection=choice("selection", SELECTIONS, "per_layer_per_head"),
        compaction=choice("compaction", ["on", "off"], "on"),
    )

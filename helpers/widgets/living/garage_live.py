"""The garage of a run that goes on now: a car drives in with every token that the model reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from IPython.display import display

from helpers.cache.paged_cache import PagedCache
from helpers.cache.snapshot import AISLE, snapshot
from helpers.measuring.trace import Trace
from helpers.widgets.living.garage import MODULES, with_floors_back
from helpers.widgets.living.garage_scene import draw_garage, sentence
from helpers.widgets.living.picture import LivingPicture, join_modules
from helpers.widgets.living.scene import Scene
from helpers.widgets.page import bundle_caption, is_static

PAUSE = 0.1  # seconds between two frames, at least: faster than that nobody sees
PART = 0.03  # of the run's time, at most, goes into frames


class LiveGarage(LivingPicture):
    """The garage of a cache that a model fills: ``show`` it, give ``reading(ids)`` to the run, ``finish`` it.

    Args:
        cache: of one sequence; it is looked at, never changed.
        tokenizer: of the model, to write tokens as text.
        layer: whose rows are shown; the middle one if none is given.

    Raises:
        ValueError: if the cache has more than one sequence, or no such layer.
    """

    title = "The garage, live"
    _esm = join_modules(*MODULES, "garage.js")

    def __init__(self, cache: PagedCache, tokenizer: Any, layer: int | str | None = None) -> None:
        if len(cache.tables) != 1:
            raise ValueError(f"the cache has {len(cache.tables)} sequences; the garage shows one")
        self.cache, self.tokenizer, self.texts, self._next = cache, tokenizer, [], 0.0
        self.n_sent, self._outputs = 0, []
        shape, size = cache.shape, cache.pool.block_size
        choice = {"layer": shape.n_layers // 2 if layer is None else layer, "second": False, "compact": False}
        choice |= {"seen": 0, "head": 0, "policy": "", "mode": "", "share": 0.0, "gone": []}
        data = {
            "live": True,
            "tokens": [],
            "layers": shape.n_layers,
            "kv_heads": shape.n_kv_heads,
            "heads": shape.n_kv_heads,
            "block_size": size,
            "aisles": [[first, min(first + AISLE, shape.n_layers)] for first in range(0, shape.n_layers, AISLE)],
            "policies": [],
            "modes": [],
            "full_bytes": cache.pool.num_blocks * size * sum(store.packed[:, :, :1].nbytes for store in cache.stores),
            "first": self.frame(choice),
        }
        super().__init__(data, choice)

    def frame(self, choice: dict[str, Any]) -> dict[str, Any]:
        """See ``LivingPicture.frame``: the cache as it is now."""
        return with_floors_back(snapshot(self.cache, choice["layer"]))

    def caption(self, choice: dict[str, Any]) -> str:
        """See ``LivingPicture.caption``."""
        size, held = self.cache.pool.block_size, sentence(self.frame(choice), False)
        return f"Figure: a run on this machine, and the blocks of {size} slots that hold its rows. At its end: {held}"

    def scene(self) -> Scene:
        """See ``LivingPicture.scene``."""
        return draw_garage(self.texts, self.frame(self.choice), self.choice)

    def reading(self, input_ids: torch.Tensor) -> Callable[[Trace], None]:
        """What to give to ``generate`` as ``on_step``, with what the model is asked to read, ``[1, tokens]``.

        Frames are sent at most every ``PAUSE`` seconds, and so seldom that they take ``PART`` of the time.
        """
        before = len(self.texts)
        asked = [self.tokenizer.decode([token]) for token in input_ids[0].tolist()]

        def on_step(trace: Trace) -> None:
            self.texts[before:] = self.texts[before:] or asked
            done = len(self.texts) - before - len(asked)
            self.texts += [self.tokenizer.decode([token]) for token in trace.tokens[0][done:]]
            if time.perf_counter() >= self._next:
                self._send_frame()

        return on_step

    def show(self) -> None:
        """Show it in the current cell, and behind it the picture standing still, which ``finish`` draws anew."""
        if not is_static():
            display(self)
        for data, metadata in self._still():
            self._outputs.append(display(data, metadata=metadata, raw=True, display_id=True))

    def finish(self) -> None:
        """Send what was read last, and draw the picture that stays in a saved notebook."""
        self._send_frame()
        for output, (data, metadata) in zip(self._outputs, self._still(), strict=False):
            output.update(data, metadata=metadata, raw=True)

    def _still(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [self.scene().bundle(), (bundle_caption(self.caption(self.choice)), {})]

    def _send_frame(self) -> None:
        start = time.perf_counter()
        live = {"at": self.n_sent, "tokens": self.texts[self.n_sent :], "frame": self.frame(self.choice)}
        self.send({"live": live})
        self.n_sent = len(self.texts)
        end = time.perf_counter()
        self._next = end + max(PAUSE, (end - start) / PART)

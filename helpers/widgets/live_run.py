"""Several runs on one pair of axes, drawn while they go."""

from __future__ import annotations

from collections.abc import Callable

from helpers.measuring.trace import Trace
from helpers.plots import compression
from helpers.widgets.page import Picture, is_static

EVERY = 25  # passes between two pictures: one costs as much as some twenty tokens


class Race:
    """Runs on the same axes, drawn while they go: blocks held over tokens seen.

    Args:
        prompt_length: where the thought begins, in tokens.
        right: right end of the axis, in tokens.
    """

    def __init__(self, prompt_length: int, right: int) -> None:
        self.prompt_length, self.right = prompt_length, right
        self.traces: dict[str, Trace] = {}
        self._picture: Picture | None = None

    def watch(self, name: str) -> Callable[[Trace], None]:
        """What to give to ``generate`` as ``on_step`` for the run of this name."""

        def on_step(trace: Trace) -> None:
            self.traces[name] = trace
            if not is_static() and len(trace.seconds) % EVERY == 1:
                self.draw()

        return on_step

    def draw(self) -> None:
        """Draw all runs as far as they have come."""
        runs = {name: compression.held_over_time(trace) for name, trace in self.traces.items()}
        figure = compression.sawtooth(runs, self.prompt_length, self.right)
        caption = "Figure: line chart, blocks held over tokens seen. " + " ".join(
            f"{name}: at most {max(trace.blocks_held)} blocks; {_evicted(trace)} tokens evicted, {trace.blocks_freed} "
            "blocks freed."
            for name, trace in self.traces.items()
        )
        if self._picture is None:
            self._picture = Picture(figure, caption)
        else:
            self._picture.update(figure, caption)


def _evicted(trace: Trace) -> int:
    return sum(each.tokens_evicted for each in trace.compressions.values())

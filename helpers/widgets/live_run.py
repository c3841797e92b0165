"""Runs followed live: words, a progress bar and the cache as it climbs; and several runs on one pair of axes."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import ipywidgets
from IPython.display import display
from matplotlib.figure import Figure

from helpers.measuring.trace import Trace
from helpers.plots import compression, memory
from helpers.widgets.page import Picture, is_static

EVERY = 25  # passes between two pictures: one costs as much as some twenty tokens


class _Redrawn:
    """A picture that is drawn anew in its place while a run goes on."""

    _picture: Picture | None = None

    @staticmethod
    def _is_due(trace: Trace) -> bool:
        return not is_static() and len(trace.seconds) % EVERY == 1

    def _show(self, figure: Figure, caption: str) -> None:
        if self._picture is None:
            self._picture = Picture(figure, caption)
        else:
            self._picture.update(figure, caption)


class ThinkingWatch(_Redrawn):
    """Follows a run live: prints each line, moves a progress bar, and redraws the climbing cache every 25 tokens.

    A page keeps what is printed at once as an output of its own, and some show each on a line of its own: hence lines,
    not words.

    Give it to ``generate`` as ``on_step``; ``finish`` draws the last frame.

    Args:
        loaded: the model that thinks (its shape gives the formula's line, its tokenizer the words).
        prompt_length: tokens of the prompt.
        max_new_tokens: the right end of the axis, prompt added.
    """

    def __init__(self, loaded: Any, prompt_length: int, max_new_tokens: int) -> None:
        self.loaded, self.prompt_length = loaded, prompt_length
        self.at_end = prompt_length + max_new_tokens
        self.predicted = [loaded.shape.bytes(t, kv_format=loaded.element_format) for t in range(self.at_end + 1)]
        self._bar = ipywidgets.IntProgress(max=max_new_tokens, description="thinking")
        self._text, self._printed = "", 0
        if not is_static():
            display(self._bar)

    def __call__(self, trace: Trace) -> None:
        """Note one step of the run."""
        self.trace = trace
        self._bar.value = len(trace.seconds)
        if self._is_due(trace):
            self._draw()
        text = self.loaded.tokenizer.decode(trace.tokens[0], skip_special_tokens=True)
        if text.endswith("\ufffd"):  # half a character; its other tokens are still to come
            return
        self._text = _three_lines_in_one(text) if self.loaded.is_reasoner else _flowing(text)
        self._print_up_to(self._text.rfind("\n") + 1)

    def finish(self) -> None:
        """Draw the last frame, with the two numbers that count: bytes held and bytes given back."""
        self._print_up_to(len(self._text))
        print()
        self._bar.max = self._bar.value
        self._draw()

    def _print_up_to(self, end: int) -> None:
        if end > self._printed:
            print(self._text[self._printed : end], end="", flush=True)
            self._printed = end

    def _draw(self) -> None:
        trace = self.trace
        figure = memory.cache_climb(
            trace.tokens_seen, trace.bytes_held, self.prompt_length, self.predicted, self.at_end
        )
        caption = (
            "Figure: line chart, bytes in the KV cache over tokens seen; it climbs in a straight line. After "
            f"{trace.tokens_seen[-1]:,} tokens it holds "
            f"{trace.bytes_held[-1]:,} bytes; given back so far: {trace.bytes_freed:,} bytes. The blue line is counted "
            "from the tensors, the dashed one comes from the formula."
        )
        self._show(figure, caption)


def _three_lines_in_one(thought: str) -> str:
    """Break a worksheet's thought after every third formula, so that the figure above it stays in view."""
    formulas = thought.split(" ; ")
    return "".join(f + (" ;\n" if i % 3 == 2 else " ; ") for i, f in enumerate(formulas[:-1])) + formulas[-1]


def _flowing(text: str) -> str:
    """Text in lines of one width; a model may put each of its words on a line of its own."""
    return textwrap.fill(" ".join(text.split()), 100, break_long_words=False, break_on_hyphens=False)


class Race(_Redrawn):
    """Runs on the same axes, drawn while they go: blocks held over tokens seen.

    Args:
        prompt_length: where the thought begins, in tokens.
        right: right end of the axis, in tokens.
    """

    def __init__(self, prompt_length: int, right: int) -> None:
        self.prompt_length, self.right = prompt_length, right
        self.traces: dict[str, Trace] = {}

    def watch(self, name: str) -> Callable[[Trace], None]:
        """What to give to ``generate`` as ``on_step`` for the run of this name."""

        def on_step(trace: Trace) -> None:
            self.traces[name] = trace
            if self._is_due(trace):
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
        self._show(figure, caption)


def _evicted(trace: Trace) -> int:
    return sum(each.tokens_evicted for each in trace.compressions.values())

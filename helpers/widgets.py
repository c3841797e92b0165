"""Bind controls to draw functions. What is drawn lives in ``plots``; what it means, in ``footprint`` and ``measure``.

A static page (a saved notebook, a test run) has no controls: it shows each picture's first frame and its caption. The
environment variable ``COURSE_STATIC`` says that a run is for such a page, since nothing in the kernel can tell.
"""

from __future__ import annotations

import io
import math
import os
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
from IPython.display import display
from matplotlib.figure import Figure

from helpers import plots
from helpers.catalog import CARDS, KV_LAYOUTS, MODELS, GiB, find_card, find_model
from helpers.checks import how_far
from helpers.footprint import KVShape, MemoryBudget, format_bytes, max_tokens, weights_bytes
from helpers.measure import Trace

DPI = 144  # twice the size shown, so that text stays sharp on a laptop's screen
_POWERS = [(f"{2**k:,}", 2**k) for k in range(10, 21)]  # 1,024 to 1,048,576 tokens
_TWO_COLUMNS = {"grid_template_columns": "repeat(auto-fit, minmax(320px, 400px))", "grid_gap": "0 16px"}
Frame = tuple[Figure, str]  # a picture and the caption under it


def is_static() -> bool:
    """True when this run makes a static page."""
    return bool(os.environ.get("COURSE_STATIC"))


class Picture:
    """A figure with its caption, shown in the current cell and replaced in place by ``update``."""

    def __init__(self, figure: Figure, caption: str) -> None:
        data, metadata = _bundle_figure(figure)
        self._figure = display(data, metadata=metadata, raw=True, display_id=True)
        self._caption = display(_bundle_caption(caption), raw=True, display_id=True)
        self.caption = caption

    def update(self, figure: Figure, caption: str) -> None:
        """Show another figure and caption in the same place."""
        data, metadata = _bundle_figure(figure)
        self._figure.update(data, metadata=metadata, raw=True)
        self.say(caption)

    def say(self, caption: str) -> None:
        """Show another caption under the same figure."""
        self._caption.update(_bundle_caption(caption), raw=True)
        self.caption = caption


def show(figure: Figure, caption: str) -> None:
    """Show a figure with its caption: a sentence or more that says what kind of picture it is and what to see."""
    Picture(figure, caption)


def control(draw: Callable[..., Frame], **controls: Any) -> Picture:
    """Show ``draw(**values)`` and, on a live page, the controls that turn its values; each move draws anew."""

    def frame() -> Frame:
        return draw(**{name: widget.value for name, widget in controls.items()})

    def redraw(_: Any) -> None:
        try:
            picture.update(*frame())
        except ValueError as error:  # Jupyter shows nobody what a callback raises
            picture.say(f"**Not possible:** {error}.")

    if not is_static():
        display(ipywidgets.GridBox(list(controls.values()), layout=_TWO_COLUMNS))
    picture = Picture(*frame())
    for widget in controls.values():
        widget.observe(redraw, names="value")
    return picture


class Prediction:
    """The reader's own guess, asked for before a result and shown beside it.

    Args:
        question: what to predict; a static page shows only this.
        unit: the unit of the guess, in the plural.
    """

    def __init__(self, question: str, unit: str) -> None:
        self.unit, self.guess, self._result = unit, None, None
        self._field = ipywidgets.Text(placeholder=f"your guess, in {unit}", continuous_update=False)
        self._field.observe(self._keep, names="value")
        display({"text/markdown": f"**Predict:** {question}", "text/plain": f"Predict: {question}"}, raw=True)
        if not is_static():
            display(self._field)

    def reveal(self, value: float) -> None:
        """Show the result beside the guess; a guess typed later, or changed, is shown too."""
        self._value = value
        self._result = display(self._verdict(), raw=True, display_id=True)

    def _keep(self, change: dict[str, Any]) -> None:
        try:
            guess = float(change["new"].replace(",", "").replace("_", ""))
            self.guess = guess if math.isfinite(guess) else None
        except ValueError:
            self.guess = None
        if self._result is not None:
            self._result.update(self._verdict(), raw=True)

    def _verdict(self) -> dict[str, str]:
        text = (
            f"Result: {self._value:,.4g} {self.unit}."
            if self._value % 1
            else f"Result: {self._value:,.0f} {self.unit}."
        )
        if self.guess is not None:
            text = f"You predicted {self.guess:,.10g} {self.unit}. {text}{self._comparison()}"
        elif self._field.value:
            text = f"Your guess {self._field.value!r} is not a number. {text}"
        return {"text/plain": text, "text/markdown": f"**{text}**"}

    def _comparison(self) -> str:
        if self.guess == self._value:
            return " Exactly right."
        both_positive = self.guess > 0 and self._value > 0
        return f" Your guess was {how_far(self.guess, self._value)}." if both_positive else ""


class ThinkingWatch:
    """Follows a run live: prints each word, moves a progress bar, and redraws the climbing cache every 25 tokens.

    Give it to ``generate`` as ``on_step``; ``finish`` draws the last frame.

    Args:
        loaded: the model that thinks (its shape gives the formula's line, its tokenizer the words).
        prompt_length: tokens of the prompt.
        max_new_tokens: the right end of the axis, prompt added.
    """

    every = 25  # a redraw costs as much as some twenty tokens

    def __init__(self, loaded: Any, prompt_length: int, max_new_tokens: int) -> None:
        self.loaded, self.prompt_length = loaded, prompt_length
        self.at_end = prompt_length + max_new_tokens
        self.predicted = [loaded.shape.bytes(t, kv_format=loaded.element_format) for t in range(self.at_end + 1)]
        self._bar = ipywidgets.IntProgress(max=max_new_tokens, description="thinking")
        self._picture: Picture | None = None
        self._text = ""
        if not is_static():
            display(self._bar)

    def __call__(self, trace: Trace) -> None:
        """Note one step of the run."""
        self.trace = trace
        if not is_static():
            self._bar.value = len(trace.seconds)
            if len(trace.seconds) % self.every == 1:
                self._draw()
        text = self.loaded.tokenizer.decode(trace.tokens[0], skip_special_tokens=True)
        if text.endswith("\ufffd"):  # half a character; its other tokens are still to come
            return
        text = _three_lines_in_one(text) if self.loaded.is_reasoner else text
        print(text[len(self._text) :], end="", flush=True)
        self._text = text

    def finish(self) -> None:
        """Draw the last frame, with the two numbers that count: bytes held and bytes given back."""
        print()
        self._bar.max = self._bar.value
        self._draw()

    def _draw(self) -> None:
        trace = self.trace
        figure = plots.cache_climb(trace.tokens_seen, trace.bytes_held, self.prompt_length, self.predicted, self.at_end)
        caption = (
            "Figure: line chart, bytes in the KV cache over tokens seen; it climbs in a straight line. After "
            f"{trace.tokens_seen[-1]:,} tokens it holds "
            f"{trace.bytes_held[-1]:,} bytes; given back so far: {trace.bytes_freed:,} bytes. The blue line is counted "
            "from the tensors, the dashed one comes from the formula."
        )
        if self._picture is None:
            self._picture = Picture(figure, caption)
        else:
            self._picture.update(figure, caption)


def wall_frame(
    model: str,
    weight_format: str,
    card: str,
    kv_format: str,
    context: int,
    sequences: int,
    overhead: float = 0.75 * GiB,
) -> Frame:
    """The memory wall of one choice: model, card and KV format by their names in the catalog, context in tokens."""
    shape = KVShape.from_config(find_model(model).config)
    weights, capacity = weights_bytes(find_model(model).n_params, weight_format), find_card(card).memory
    budget = MemoryBudget(overhead, weights, shape.bytes(context, kv_format=kv_format) + shape.fixed_bytes, sequences)
    dies_at = max_tokens(capacity - overhead - weights, shape, sequences, kv_format)
    tokens = [round(context * i / 64) for i in range(65)]
    cache = [sequences * (shape.bytes(t, kv_format=kv_format) + shape.fixed_bytes) for t in tokens]
    verdict = f"It fits, with {format_bytes(capacity - budget.total)} to spare"
    if budget.total > capacity:
        verdict = f"It dies after token {dies_at:,}" if dies_at else "Not even one token fits"
    caption = (
        f"Figure: memory of {model} on {card} as the context grows to {context:,} tokens. Overhead "
        f"{format_bytes(overhead)}, weights in {weight_format} {format_bytes(weights)}, KV cache in {kv_format} at the "
        f"end {format_bytes(budget.cache)} ({sequences} sequence{'s' * (sequences > 1)}): {format_bytes(budget.total)} "
        f"in all; the card has {format_bytes(capacity)}. {verdict}."
    )
    return plots.memory_wall(tokens, overhead, weights, cache, capacity, dies_at), caption


def wall_control() -> None:
    """Show the memory wall with its controls: model, weights, card, KV format, context, sequences."""
    control(
        wall_frame,
        model=_choice("model", MODELS, "Qwen3-32B"),
        weight_format=_choice("weights", ["bf16", "q8_0", "q4_k_m", "q4_0"], "q4_k_m"),
        card=_choice("card", CARDS, "RTX 4090"),
        kv_format=_choice("KV format", KV_LAYOUTS, "fp16"),
        context=_slider(ipywidgets.SelectionSlider, "context", options=_POWERS, value=32_768),
        sequences=_slider(ipywidgets.IntSlider, "sequences", min=1, max=32, value=1),
    )


def models_frame(kv_format: str, tokens: int) -> Frame:
    """The KV cache of each model in the catalog after the same number of tokens, the biggest first."""
    sizes = {
        name: KVShape.from_config(model.config).bytes(tokens, kv_format=kv_format) for name, model in MODELS.items()
    }
    names = sorted(sizes, key=sizes.__getitem__, reverse=True)
    caption = (
        f"Figure: horizontal bars, one per model: bytes in the KV cache after {tokens:,} tokens stored as {kv_format}. "
        f"From {format_bytes(sizes[names[-1]])} ({names[-1]}) to {format_bytes(sizes[names[0]])} ({names[0]})."
    )
    return plots.bytes_by_model(names, [sizes[name] for name in names]), caption


def models_control() -> None:
    """Show the KV cache of every model in the catalog, with its controls: KV format and tokens."""
    tokens = _slider(ipywidgets.SelectionSlider, "tokens", options=_POWERS, value=32_768)
    control(models_frame, kv_format=_choice("KV format", KV_LAYOUTS, "fp16"), tokens=tokens)


def _three_lines_in_one(thought: str) -> str:
    """Break a worksheet's thought after every third formula, so that the figure above it stays in view."""
    formulas = thought.split(" ; ")
    return "".join(f + (" ;\n" if i % 3 == 2 else " ; ") for i, f in enumerate(formulas[:-1])) + formulas[-1]


def _choice(label: str, options: Sequence[str] | dict[str, Any], value: str) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(options=list(options), value=value, description=label, layout={"width": "auto"})


def _slider(kind: Callable[..., Any], label: str, **options: Any) -> Any:
    """A slider that draws when it is let go: a redraw takes longer than the 50 ms that dragging would allow."""
    return kind(description=label, continuous_update=False, layout={"width": "auto"}, **options)


def _bundle_figure(figure: Figure) -> tuple[dict[str, Any], dict[str, Any]]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, pil_kwargs={"compress_level": 1})
    width, height = (round(100 * inches) for inches in figure.get_size_inches())
    data = {
        "image/png": buffer.getvalue(),
        "text/plain": f"<Figure size {width}x{height} with {len(figure.axes)} Axes>",
    }
    return data, {"image/png": {"width": width, "height": height}}


def _bundle_caption(caption: str) -> dict[str, str]:
    return {"text/markdown": caption, "text/plain": textwrap.fill(caption, 100)}

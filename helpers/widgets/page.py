"""A page of a lesson: a picture with its caption, controls that turn it, and the reader's own predictions.

A static page (a saved notebook, a test run) has no controls: it shows each picture's first frame and its caption. The
environment variable ``COURSE_STATIC`` says that a run is for such a page, since nothing in the kernel can tell.
"""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import ipywidgets
from IPython.display import display
from matplotlib.figure import Figure
from tqdm.auto import tqdm

DPI = 144  # twice the size shown, so that text stays sharp on a laptop's screen
POWERS = [(f"{2**k:,}", 2**k) for k in range(10, 21)]  # 1,024 to 1,048,576 tokens
_LABEL = {"description_width": "110px"}  # ipywidgets' own 80 cut "shared prefix" short
_TWO_COLUMNS = {"grid_template_columns": "repeat(auto-fit, minmax(320px, 400px))", "grid_gap": "0 16px"}
Frame = tuple[Figure, str]  # a picture and the caption under it
Item = TypeVar("Item")


def is_static() -> bool:
    """True when this run makes a static page."""
    return bool(os.environ.get("COURSE_STATIC"))


def progress(work: Iterable[Item], name: str) -> Iterable[Item]:
    """Go over the work with a bar that says how far it is; a static page shows none."""
    return tqdm(work, desc=name, disable=is_static())


class Picture:
    """A figure with its caption, shown in the current cell and replaced in place by ``update``."""

    def __init__(self, figure: Figure, caption: str) -> None:
        data, metadata = _bundle_figure(figure)
        self._figure = display(data, metadata=metadata, raw=True, display_id=True)
        self._caption = display(bundle_caption(caption), raw=True, display_id=True)
        self.caption = caption

    def update(self, figure: Figure, caption: str) -> None:
        """Show another figure and caption in the same place."""
        data, metadata = _bundle_figure(figure)
        self._figure.update(data, metadata=metadata, raw=True)
        self.say(caption)

    def say(self, caption: str) -> None:
        """Show another caption under the same figure."""
        self._caption.update(bundle_caption(caption), raw=True)
        self.caption = caption


def show(figure: Figure, caption: str) -> None:
    """Show a figure with its caption: a sentence or more that says what kind of picture it is and what to see."""
    Picture(figure, caption)


def control(draw: Callable[..., Frame], button: str = "", **controls: Any) -> Picture:
    """Show ``draw(**values)`` and, on a live page, the controls that turn its values; each move draws anew.

    What takes longer than a blink gets a ``button``: moves then wait until it is pressed, and a bar shows how far the
    drawing is. ``draw`` is given ``progress`` too, to be called with the share that is done.
    """
    bar = ipywidgets.FloatProgress(max=1.0, layout={"width": "auto"})
    presses = ipywidgets.Button(description=button, button_style="primary", layout={"width": "auto"})

    def frame() -> Frame:
        values = {name: widget.value for name, widget in controls.items()}
        return draw(**values, progress=partial(setattr, bar, "value")) if button else draw(**values)

    def redraw(_: Any) -> None:
        try:
            picture.update(*frame())
        except ValueError as error:  # Jupyter shows nobody what a callback raises
            picture.say(f"**Not possible:** {error}.")

    if not is_static():
        shown = [*controls.values(), presses, bar] if button else list(controls.values())
        display(ipywidgets.GridBox(shown, layout=_TWO_COLUMNS))
    picture = Picture(*frame())
    presses.on_click(redraw)
    for widget in () if button else controls.values():
        widget.observe(redraw, names="value")
    return picture


def choice(label: str, options: Sequence[str] | dict[str, Any], value: str) -> ipywidgets.Dropdown:
    """A choice of one of the options, which are shown as they are."""
    look = {"layout": {"width": "auto"}, "style": _LABEL}
    return ipywidgets.Dropdown(options=list(options), value=value, description=label, **look)


def slider(label: str, options: range | Sequence[Any], value: Any) -> ipywidgets.IntSlider | ipywidgets.SelectionSlider:
    """A slider over a range, or over any other options, plain or as ``(text, value)``.

    It draws when it is let go: a redraw takes longer than the 50 ms that dragging would allow.
    """
    look = {"continuous_update": False, "layout": {"width": "auto"}, "style": _LABEL}
    if isinstance(options, range):
        ends = {"min": options[0], "max": options[-1], "step": options.step}
        return ipywidgets.IntSlider(value=value, description=label, **ends, **look)
    return ipywidgets.SelectionSlider(options=options, value=value, description=label, **look)


def _bundle_figure(figure: Figure) -> tuple[dict[str, Any], dict[str, Any]]:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, pil_kwargs={"compress_level": 1})
    width, height = (round(100 * inches) for inches in figure.get_size_inches())
    data = {
        "image/png": buffer.getvalue(),
        "text/plain": f"<Figure size {width}x{height} with {len(figure.axes)} Axes>",
    }
    return data, {"image/png": {"width": width, "height": height}}


def bundle_caption(caption: str) -> dict[str, str]:
    """A caption as an ordinary output of a notebook."""
    return {"text/markdown": caption, "text/plain": textwrap.fill(caption, 100)}

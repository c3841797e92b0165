"""The control of lesson 02: another sharing of heads, other layers, and what the cache would be."""

from __future__ import annotations

from helpers.arithmetic.catalog import IN_LESSONS, find_model
from helpers.arithmetic.footprint import KVShape, format_bytes
from helpers.arithmetic.redesign import AS_PUBLISHED, LAYERS, SHARING, redesign, unshared
from helpers.plots import heads
from helpers.widgets.page import POWERS, Frame, choice, control, slider

LENGTHS = [value for _, value in POWERS]


def redesign_frame(model: str, sharing: str, layers: str, tokens: int) -> Frame:
    """A model's cache with rows of its own for every query head, as published, and redesigned, over tokens in fp16."""
    config = find_model(model).config
    shapes = {
        "every query head its own rows, all layers full": unshared(config),
        "as published": KVShape.from_config(config),
        "your design": redesign(config, sharing, layers),
    }
    lines = {name: [shape.bytes(t) for t in LENGTHS] for name, shape in shapes.items()}
    own, published, new = (shape.bytes(tokens) for shape in shapes.values())
    caption = (
        f"Figure: three lines, bytes in the KV cache of {model} over tokens, in fp16, both axes in powers. At "
        f"{tokens:,} tokens: every query head with rows of its own {format_bytes(own)} (dashed), as published "
        f"{format_bytes(published)} (thick), your design {format_bytes(new)} (dotted; heads: {sharing}; layers: "
        f"{layers}). {_compare(new, published)}"
    )
    return heads.ways_to_keep(LENGTHS, lines, tokens), caption


def _compare(new: int, published: int) -> str:
    if new == published:
        return "Your design keeps as much as the published model."
    if not new:
        return "Your design keeps no rows."
    ratio = max(new, published) / min(new, published)
    return (
        f"Your design keeps {ratio:,.2f} times {'as much as' if new > published else 'less than'} the published model."
    )


def redesign_control() -> None:
    """Show the cache of a redesigned model with its controls: model, heads, layers, tokens."""
    control(
        redesign_frame,
        model=choice("model", IN_LESSONS, "Llama-3.1-70B"),
        sharing=choice("heads", list(SHARING), "all share one (MQA)"),
        layers=choice("layers", list(LAYERS), AS_PUBLISHED),
        tokens=slider("tokens", POWERS, 131_072),
    )

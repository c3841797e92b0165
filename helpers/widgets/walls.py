"""Controls of the two walls: what becomes of the holes in a row of slots, and how large the grid of weights is."""

from __future__ import annotations

import random
from typing import NamedTuple

from helpers.arithmetic.catalog import IN_LESSONS, find_model
from helpers.arithmetic.footprint import KVShape, format_bytes
from helpers.arithmetic.holes import REUSE, SLIDE, WAYS, Slots, broken_habits, take_in
from helpers.plots import walls
from helpers.widgets.page import POWERS, Frame, choice, control, slider

SLOTS, WINDOW, NOTE_BYTES = 24, 8, 4  # slots of the row; tokens in a window; one position noted as int32
STEPS = {"the whole prompt at once": None, "a chunk of 2,048 tokens": 2_048, "one token": 1}


class Rounds(NamedTuple):
    """The last of several rounds: the row before, with holes, and after; copies of that round and of all rounds."""

    before: Slots
    holes: Slots
    after: Slots
    copies: int
    copies_in_all: int


def run_rounds(way: str, rounds: int, evicted: int, lots: int) -> Rounds:
    """Each round evicts tokens by lot, closes the holes in one of ``WAYS``, and lets as many new tokens in."""
    rng, in_all, row = random.Random(lots), 0, list(range(SLOTS))
    for _ in range(rounds):
        before, newest = row, max(row)
        gone = set(rng.sample(sorted(before), evicted))  # the same in every way
        holes = [None if token in gone else token for token in before]
        row, copies = take_in(holes, range(newest + 1, newest + 1 + evicted), way)
        in_all += copies
    return Rounds(before, holes, row, copies, in_all)


def slots_frame(way: str, rounds: int, evicted: int, lots: int) -> Frame:
    """The last round, drawn; the arguments are those of ``run_rounds``."""
    last = run_rounds(way, rounds, evicted, lots)
    broken = broken_habits(last.after, evicted, WINDOW)
    notes = "two lengths per sequence" if way == SLIDE else f"a position per slot, {SLOTS * NOTE_BYTES} bytes here"
    order = "in order" if last.after == sorted(last.after) else "out of order"
    lines = {
        "before": last.before,
        f"{evicted} evicted": last.holes,
        f"after: {way}, {evicted} new tokens (red)": last.after,
    }
    caption = (
        f"Figure: a row of {SLOTS} slots, three times, in round {rounds} of draw {lots}, {evicted} evicted per round; "
        "lighter tokens are newer, red frames are the latest. "
        f"The row ends {order}. Copies: {last.copies} in this round, {last.copies_in_all} in all. Goes wrong "
        f"by place ({len(broken)} of 5): {', '.join(broken) or 'nothing'}. To keep: {notes}."
    )
    return walls.rows_of_slots(lines, SLOTS, min(t for t in last.after if t not in last.before)), caption


def slots_control() -> None:
    """Show the row of slots with its controls: way, rounds, tokens evicted per round, lots drawn."""
    control(
        slots_frame,
        way=choice("holes", WAYS, REUSE),
        rounds=slider("rounds", range(1, 13), 1),
        evicted=slider("evicted", range(1, 13), 6),
        lots=slider("lots", range(1, 31), 1),
    )


def grid_frame(model: str, tokens: int, step: str) -> Frame:
    """The grid of weights of one model after ``tokens`` tokens, read in one of ``STEPS``, beside its KV cache."""
    config = find_model(model).config
    n_heads, shape = config.get("text_config", config)["num_attention_heads"], KVShape.from_config(config)
    new = min(STEPS[step] or tokens, tokens)
    grid, cache = n_heads * new * tokens * 4, shape.bytes(tokens)
    names = ["grid of one layer", "KV cache of one layer", "KV cache of all layers"]
    values = [grid, cache / shape.n_layers, cache]
    times = max(grid, cache) / min(grid, cache)
    beside = f"{times:,.6g} times" if grid >= cache else f"1/{times:,.6g} of"
    caption = (
        f"Figure: horizontal bars, bytes for {model} at {tokens:,} tokens, when it reads {step}. One layer's grid has "
        f"{n_heads} heads x {new:,} x {tokens:,} weights of 4 bytes: {format_bytes(grid)}, {beside} the whole KV "
        f"cache in fp16 ({format_bytes(cache)})."
    )
    return walls.bytes_beside(names, values), caption


def grid_control() -> None:
    """Show the grid's bytes with its controls: model, tokens, step."""
    plain = [name for name in IN_LESSONS if all(layer.kind == "full" for layer in _shape(name).layers)]
    control(
        grid_frame,
        model=choice("model", plain, "Llama-3.1-8B"),
        tokens=slider("tokens", POWERS[:8], 16_384),
        step=choice("reads", STEPS, "the whole prompt at once"),
    )


def _shape(model: str) -> KVShape:
    return KVShape.from_config(find_model(model).config)

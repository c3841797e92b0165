"""Checks of lab 2, part 4 and the stretch: a format for K and one for V, the cheapest pair, and keys per channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from helpers.arithmetic.footprint import KVShape
from helpers.teaching.attempts import Complaint, attempt, need, result_of
from helpers.teaching.checks import check_stages, stage
from helpers.teaching.labs.lab_2_packing import GROUP, Row, gguf_pack, gguf_unpack

Function = Callable[..., Any]
Pair = tuple[str, str]


# --- Part 4: the two dials -------------------------------------------------------------------------------------------
def check_token_bytes(function: Function) -> None:
    """``token_bytes(pair)``: bytes of one token of the reasoner with K in one format and V in another."""
    pairs = {"fp16 for both": ("fp16", "fp16"), "K in q8_0, V in q4_0": ("q8_0", "q4_0"), "q5_0": ("q5_0", "q5_0")}
    check_stages(*(stage(name, _require_token_bytes, function, pair) for name, pair in pairs.items()))


def _require_token_bytes(function: Function, pair: Pair) -> None:
    found = result_of(function, pair)
    k_bytes, v_bytes = (KVShape(1, 1, 32).bytes_per_token((name, name)) // 2 for name in pair)
    right = 16 * (k_bytes + v_bytes)
    if found == right:
        return
    slips = {
        "that is one row of K and one of V; the reasoner has 4 layers, each with 4 KV heads.": k_bytes + v_bytes,
        "that is one layer, or one KV head; the reasoner has 4 layers, each with 4 KV heads.": 4 * (k_bytes + v_bytes),
        "the reasoner has 8 query heads, but only its 4 KV heads keep rows.": 32 * (k_bytes + v_bytes),
        "V is not counted; a token keeps a key and a value.": 16 * k_bytes,
        "K is not counted; a token keeps a key and a value.": 16 * v_bytes,
        "V has a format of its own: yours has K's.": 32 * k_bytes,
        "K has a format of its own: yours has V's.": 32 * v_bytes,
    }
    for line, number in slips.items():
        need(found != number, line)
    raise Complaint(f"for {pair} it gives {found!r} bytes; right is {right:,}.")


class Table(NamedTuple):
    """A made-up measurement on which a search is tried: what each pair costs, and how many it gets right."""

    costs: dict[Pair, int]
    rights: dict[Pair, int]
    at_least: int


PLAIN = Table(
    {("c", "c"): 40, ("a", "b"): 20, ("d", "d"): 60, ("a", "a"): 10, ("b", "c"): 30},
    {("c", "c"): 9, ("a", "b"): 5, ("d", "d"): 10, ("a", "a"): 3, ("b", "c"): 8},
    7,
)
DIP = Table(
    {("a", "a"): 10, ("b", "a"): 20, ("c", "a"): 30, ("d", "a"): 40, ("d", "d"): 50},
    {("a", "a"): 2, ("b", "a"): 8, ("c", "a"): 5, ("d", "a"): 6, ("d", "d"): 9},
    7,
)


def check_find_cheapest(function: Function) -> None:
    """``find_cheapest(pairs, cost, right, at_least)``: the cheapest pair that gets enough right."""
    check_stages(
        stage("a made-up table", _require_cheapest, function, PLAIN),
        stage("just enough right", _require_cheapest, function, PLAIN._replace(at_least=8)),
        stage("a dearer pair that gets fewer right", _require_cheapest, function, DIP),
        stage("nothing is good enough", _require_cheapest, function, PLAIN._replace(at_least=11)),
        stage("no more measured than needed", _require_no_waste, function, PLAIN),
    )


def _search(function: Function, table: Table) -> tuple[Pair | None, list[Pair]]:
    """What the reader's function finds, and what it measured on the way."""
    measured: list[Pair] = []

    def right(pair: Pair) -> int:
        measured.append(pair)
        return table.rights[pair]

    found = attempt("it", function, list(table.costs), table.costs.__getitem__, right, table.at_least, end=".")
    is_pair = found is None or isinstance(found, tuple | list)
    need(is_pair, f"it gives {found!r}; a pair, or None, is asked for.")
    return found if found is None else tuple(found), measured


def _require_cheapest(function: Function, table: Table) -> None:
    found, _ = _search(function, table)
    good = [pair for pair in table.costs if table.rights[pair] >= table.at_least]
    expected = min(good, key=table.costs.__getitem__, default=None)
    if found == expected:
        return
    need(found is not None, "it gives nothing back, and there is a pair that is good enough: is there a return?")
    turned = ": K comes first, then V" if found[::-1] in table.costs else ""
    need(found in table.costs, f"it gives {found}, which is not one of the pairs{turned}.")
    raise Complaint(_search_slip(found, table, good, expected))


def _search_slip(found: Pair, table: Table, good: list[Pair], expected: Pair | None) -> str:
    if found not in good:
        advice = "give None then" if expected is None else "look at the next"
        return f"it gives {found}, which gets {table.rights[found]} right; {table.at_least} are needed: {advice}."
    between = [pair for pair, cost in table.costs.items() if table.costs[expected] < cost < table.costs[found]]
    if table.rights[expected] == table.at_least and not between:
        return "a pair with exactly so many right is good enough: >=, not >."
    if set(between) - set(good):
        return "a dearer pair may get fewer right than a cheaper one: start from the cheapest, not from above."
    if found == max(good, key=table.rights.__getitem__):
        return "that is the pair with most right; asked for is the cheapest that gets enough."
    if found == good[0]:
        return "that is the first good one in the order in which they came; go through them by their cost."
    return f"{found} costs {table.costs[found]}; {expected} gets enough right too, and costs {table.costs[expected]}."


def _require_no_waste(function: Function, table: Table) -> None:
    _, measured = _search(function, table)
    needed = sorted(table.costs.values()).index(30) + 1
    twice = "measures a pair twice" if len(measured) > len(set(measured)) else f"measures {len(measured)} pairs"
    need(
        len(measured) <= needed,
        f"it {twice} where {needed} pairs are enough, and each takes seconds: from the cheapest on, stop at the first.",
    )


# --- Stretch: keys per channel ---------------------------------------------------------------------------------------
def check_per_channel(function: Function) -> None:
    """``per_channel(rows)``: 32 rows read back from q4_0, each channel's 32 numbers in a group of their own."""
    loud = np.ones((GROUP, GROUP), dtype=np.float32)
    loud[:, 5] = 100.0
    rng = np.random.default_rng(2)
    random = (rng.normal(size=(GROUP, GROUP)) * rng.uniform(0.1, 10, size=GROUP)).astype(np.float32)
    check_stages(
        stage("one loud channel", _require_channels, function, loud),
        stage("random rows", _require_channels, function, random),
    )


def _by_row(rows: Row) -> Row:
    return np.stack([gguf_unpack(gguf_pack(row, "q4_0"), "q4_0") for row in rows])


def _require_channels(function: Function, rows: Row) -> None:
    found = np.asarray(result_of(function, rows.copy()))
    need(found.shape == rows.shape, f"it gives shape {list(found.shape)}; right is {list(rows.shape)}.")
    columns = np.ascontiguousarray(rows.T)
    right = _by_row(columns).T
    if np.array_equal(found, right):
        return
    slips = {
        "each token's row is a group in yours; take each channel's column, which is a row of rows.T.": _by_row(rows),
        "the result lies on its side: turn it back, so that line i is token i again.": _by_row(columns),
        "those are the rows as they were; pack them and read them back.": rows,
    }
    for line, wrong in slips.items():
        need(not np.array_equal(found, wrong), line)
    raise Complaint(f"{(found != right).mean():.0%} of the numbers are not what gguf reads.")

"""Control of KV quantization: a format for K and one for V; bytes, error, and the reasoner's answers."""

from __future__ import annotations

from helpers.arithmetic.catalog import KV_LAYOUTS, MODELS, GiB
from helpers.arithmetic.footprint import KVShape, format_bytes, max_tokens
from helpers.plots import formats
from helpers.records.fidelity import Pair, load_table
from helpers.widgets.page import Frame, choice, control

MODEL, FREE, OVERHEAD = "Llama-3.1-70B", 34 * GiB, 0.75 * GiB
ANSWERS, MEDIAN, TAIL = "answers right", "error in the middle", "error of one in 1,000"
HEIGHTS = {
    ANSWERS: (lambda pair: pair.share_right, "worksheets right throughout"),
    MEDIAN: (lambda pair: pair.median, "error of attention's output, median"),
    TAIL: (lambda pair: pair.tail, "error that one output in 1,000 exceeds"),
}


def pairs_frame(k_format: str, v_format: str, shown: str = ANSWERS) -> Frame:
    """Every pair of formats over its bits, one of them marked.

    Args:
        k_format: format of keys.
        v_format: format of values.
        shown: what stands on the y axis: ``answers right``, ``error in the middle`` or ``error of one in 1,000``.
    """
    table = load_table()
    height, label = HEIGHTS[shown]

    def point(pair: Pair) -> formats.Point:
        return formats.Point(KV_LAYOUTS[pair.k].bits, KV_LAYOUTS[pair.v].bits, height(pair))

    chosen = table.find((k_format, v_format))
    interval = chosen.interval if shown == ANSWERS else None
    figure = formats.pairs_by_bits([point(pair) for pair in table.pairs.values()], point(chosen), interval, label)
    return figure, f"Figure: scatter chart, {label} over bits per number, one mark per pair. {describe_pair(chosen)}"


def describe_pair(pair: Pair) -> str:
    """What a pair of formats costs and buys, in words."""
    table, shape = load_table(), KVShape.from_config(MODELS[MODEL].config)
    rows = table.facts["rows"]
    low, high = pair.interval
    tokens = max_tokens(FREE - OVERHEAD, shape, kv_format=(pair.k, pair.v))
    return (
        f"K in {pair.k}, V in {pair.v}: {pair.bits:g} bits, {16 / pair.bits:.2f} times less than fp16. The reasoner "
        f"gets {sum(pair.right)} of {len(pair.right)} worksheets right ({pair.share_right:.1%}, 95% interval {low:.0%} "
        f"to {high:.0%}). Error of a key row {rows[pair.k]['keys']:.2%}, of a value row {rows[pair.v]['values']:.2%}; "
        f"of attention's output {pair.median:.1%} in the middle, and over {pair.tail:.0%} once in 1,000. {MODEL}: "
        f"{format_bytes(shape.bytes_per_token((pair.k, pair.v)))} per token, {tokens:,} tokens in "
        f"{(FREE - OVERHEAD) / GiB:g} GiB."
    )


def pairs_control() -> None:
    """Show the pairs with their controls: format of K, format of V, what is shown."""
    names = load_table().facts["rows"]
    control(
        pairs_frame,
        k_format=choice("K", list(names), "q8_0"),
        v_format=choice("V", list(names), "q8_0"),
        shown=choice("shown", list(HEIGHTS), ANSWERS),
    )

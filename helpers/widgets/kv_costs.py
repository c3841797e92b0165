"""What KV formats cost, as pictures with their captions: a row turned, the loss of SmolLM2, answers of the reasoner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.arithmetic.catalog import KV_LAYOUTS
from helpers.measuring.comparisons import Answers
from helpers.plots import formats
from helpers.records import load_kv_format_loss, load_kv_row, load_table, load_turned_answers
from helpers.widgets.page import Frame

if TYPE_CHECKING:
    import torch

SHOWN = ("fp16", "q8_0", "fp8_e4m3", "q5_0", "q4_0", "nvfp4")
ANSWERS = (("fp16", "fp16"), ("q8_0", "q8_0"), ("q5_0", "q5_0"), ("q4_0", "q4_0"), ("q4_0", "fp16"), ("fp16", "q4_0"))


def turned_row(row: torch.Tensor) -> Frame:
    """A row of 64 numbers as it is and turned, over the steps of q4_0."""
    from helpers.experiments.kv_format_loss import hadamard

    turned, facts = row @ hadamard(len(row)), load_kv_row().facts
    halves = [(name, each.tolist(), _steps(each)) for name, each in (("as it is", row), ("turned", turned))]
    title = "One number towers. Turned, all share its height"
    caption = (
        f"Figure: the {len(row)} numbers of SmolLM2's key of “{facts['word'].strip()}”, left as they are, right "
        "turned. A bar is a number; a pale line is a step of q4_0, and a dotted line parts the two groups of 32. On "
        f"the left the steps of the first group are {halves[0][2][0]:.2f} apart, on the right {halves[1][2][0]:.2f}."
    )
    return formats.row_turned(halves, title), caption


def _steps(row: torch.Tensor) -> list[float]:
    """The step of each group of 32 in q4_0: its largest number is 8 steps."""
    return (row.view(-1, 32).abs().amax(-1) / 8).tolist()


def losses(turned: bool = False) -> Frame:
    """What formats add to SmolLM2's loss, keys and values apart, and with rows turned first if asked for."""
    record = load_kv_format_loss()
    costs = [
        formats.Cost(side, way, column, *record.costs[side, name, way].interval("lost"))
        for column, name in enumerate(SHOWN)
        for side in ("k", "v")
        for way in ((False, True) if turned else (False,))
        if (side, name, way) in record.costs
    ]
    names = [f"{name}\n{KV_LAYOUTS[name].bits:g} bits" for name in SHOWN]
    title = "Turned first, keys lose half as much in q4_0" if turned else "Keys need their bits, values hardly do"
    exact = sum(record.exact_loss) / len(record.exact_loss)
    caption = (
        "Figure: points, what a format adds to SmolLM2's loss on English when it stores only the keys (triangles) or "
        f"only the values (squares){', hollow where rows are turned first' if turned else ''}. Bars are 95% intervals "
        f"over {record.facts['windows']} windows of {record.facts['tokens']} tokens. The exact loss is {exact:.2f} "
        f"nats per token. {record.made_on}."
    )
    return formats.loss_by_format(names, costs, title), caption


def answers() -> Frame:
    """Worksheets that the reasoner has right throughout, by format, and in q4_0 with rows turned first."""
    table, turned = load_table(), load_turned_answers()
    bars: list[tuple[str, Answers]] = [(f"K {k}\nV {v}", table.find((k, v))) for k, v in ANSWERS]
    bars.insert(4, ("K, V q4_0\nturned", turned.pairs["q4_0", "q4_0"]))
    names, found = zip(*bars, strict=True)
    counts = "; ".join(f"{name.replace(chr(10), ' ')}: {sum(each.right)}" for name, each in bars)
    caption = (
        f"Figure: bars, share of worksheets that the reasoner has right in every token, by the format of its cache, "
        f"with 95% intervals. Of {len(found[0].right)}: {counts}. {table.made_on}; those turned {turned.facts['date']}."
    )
    title = "Keys in 4 bits cost answers, and values cost few"
    return formats.answers_by_format(names, [e.share_right for e in found], [e.interval for e in found], title), caption

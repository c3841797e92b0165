"""What the two articles behind this course claim, what the lessons found, and the verdict that follows from it.

A lesson records what it measured where it teaches the claim (``record``); the value travels in the cell's saved output.
The last lesson collects the values from the notebooks (``recorded``) and judges them: no verdict is written down, each
is made from values. Articles: A is on evicting 90% of the KV cache, B on the memory wall of local agents.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.display import display

from helpers.arithmetic.catalog import GB, GiB

MIME = "application/vnd.kv-memory.claim+json"
HOLDS, IN_PART, FAILS, OPEN = "holds", "holds in part", "does not hold", "not settled"
Values = dict[str, Any]


@dataclass(frozen=True)
class Claim:
    """One claim as told, in our words.

    Attributes:
        told: what the article says.
        needs: the names of the values that a lesson must record.
        judge: from those values, the verdict and a sentence that says why.
    """

    told: str
    needs: tuple[str, ...]
    judge: Callable[[Values], tuple[str, str]]


def record(claim: str, **values: Any) -> None:
    """Note what this cell found about a claim, in the cell's output.

    Raises:
        ValueError: if there is no such claim, or the values are not those that its verdict needs.
    """
    if claim not in CLAIMS:
        raise ValueError(f"claim is {claim!r}; it may be {', '.join(CLAIMS)}")
    if set(values) != set(CLAIMS[claim].needs):
        raise ValueError(f"claim {claim} needs {', '.join(CLAIMS[claim].needs)}; got {', '.join(values)}")
    text = f"Noted for claim {claim}: " + ", ".join(f"{name} = {_short(value)}" for name, value in values.items())
    display({MIME: {"claim": claim, "values": values}, "text/plain": text}, raw=True)


def recorded(folder: str | Path) -> dict[str, Values]:
    """The values that the notebooks in a folder hold in their saved outputs, by claim."""
    found: dict[str, Values] = {}
    for path in sorted(Path(folder).glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                note = output.get("data", {}).get(MIME)
                if note:
                    found[note["claim"]] = note["values"]
    return found


def judge(claim: str, values: dict[str, Values]) -> tuple[str, str]:
    """The verdict on a claim and why, from the recorded values; "not settled" where its lesson has not been run."""
    if claim not in values:
        return OPEN, "no lesson has recorded a value yet"
    return CLAIMS[claim].judge(values[claim])


def verdict_table(values: dict[str, Values]) -> str:
    """All claims with their verdicts, as a table in Markdown."""
    lines = ["| claim | as told | verdict | what the lessons found |", "|---|---|---|---|"]
    for name, claim in CLAIMS.items():
        verdict, why = judge(name, values)
        lines.append(f"| {name} | {claim.told} | **{verdict}** | {why} |")
    return "\n".join(lines)


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _when(condition: bool, otherwise: str = FAILS) -> str:
    return HOLDS if condition else otherwise


def _a1(v: Values) -> tuple[str, str]:
    steady = v["least_growth"] == v["most_growth"] > 0 and v["bytes_freed"] == 0
    return _when(steady), f"every token cost {v['most_growth']:,} bytes; given back: {v['bytes_freed']:,}"


def _a2(v: Values) -> tuple[str, str]:
    sizes = f"{v['smallest'] / GiB:.1f} to {v['largest'] / GiB:.1f} GiB for 32,768 tokens, by model"
    return _when(v["rows"] == v["tokens"]), f"{v['tokens']:,} tokens left {v['rows']:,} rows; that is {sizes}"


def _a3(v: Values) -> tuple[str, str]:
    low, high = min(v["ends"]), max(v["ends"])
    near = [abs(end - 24_000) <= 1_000 for end in v["ends"]]
    verdict = HOLDS if all(near) else IN_PART if any(near) else FAILS
    return verdict, f"out of memory between {low:,} and {high:,} tokens, as overhead, weights and card are read"


def _a4(v: Values) -> tuple[str, str]:
    verdict = HOLDS if v["least"] > 0.5 else IN_PART if v["mean"] > 0.5 else FAILS
    return (
        verdict,
        f"the top 10% of rows draw {v['mean']:.0%} of attention on average, {v['least']:.0%} in the flattest head",
    )


def _a5(v: Values) -> tuple[str, str]:
    verdict = HOLDS if v["freed_shared"] < 0.05 else IN_PART if v["freed_per_head"] < 0.05 else FAILS
    return (
        verdict,
        f"blocks of 16 freed: {v['freed_shared']:.1%} with one set, {v['freed_per_head']:.2%} with 8 heads' own",
    )


def _a6(v: Values) -> tuple[str, str]:
    sizes = sorted(set(v["block_sizes"].values()))
    named = ", ".join(f"{name} {size}" for name, size in v["block_sizes"].items())
    return HOLDS if sizes == [16] else IN_PART if 16 in sizes else FAILS, named


def _a7(v: Values) -> tuple[str, str]:
    rule = v["freed_with_one_row_alive"] == 0 and v["freed_with_none_alive"] > 0
    return _when(rule), "one row alive keeps its block; with none it comes back"


def _a8(v: Values) -> tuple[str, str]:
    verdict = HOLDS if v["shared"] < 1 else IN_PART if v["eight_heads"] < 1 else FAILS
    return verdict, f"{v['shared']:.1f} of 1,000 blocks for one random set, {v['eight_heads']:.5f} for 8 heads' own"


def _a9(v: Values) -> tuple[str, str]:
    verdict = IN_PART if v["shuffled_difference"] < 1e-5 and v["breaks"] else HOLDS if v["breaks"] else FAILS
    return (
        verdict,
        f"shuffled rows change the output by {v['shuffled_difference']:.0e}; what breaks: {', '.join(v['breaks'])}",
    )


def _a10(v: Values) -> tuple[str, str]:
    holds = v["bytes_ratio"] > 10 and v["slowdown"] > 1
    price = f"{v['bytes_ratio']:,.0f} times the memory and {v['slowdown']:.1f} times the time"
    why = f"at {v['tokens']:,} tokens the grid takes {price}"
    return _when(holds, IN_PART), why


def _a11(v: Values) -> tuple[str, str]:
    same = v["relative_error"] < 1e-4 and not v["needs_weights"]
    return _when(
        same
    ), f"our score equals the definition to {v['relative_error']:.0e}, and asks for no attention weight"


def _a12(v: Values) -> tuple[str, str]:
    done = v["blocks_held"] == v["blocks_for_rows"] and v["order_kept"]
    verdict = IN_PART if done and v["lengths_kept"] > 1 else _when(done)
    return verdict, f"dense and in order; still {v['lengths_kept']} lengths per sequence to keep, logical and physical"


def _a13(v: Values) -> tuple[str, str]:
    drop = v["accuracy_full"] - v["accuracy_smaller_budget"]
    verdict = IN_PART if drop > 0 else HOLDS
    return verdict, (
        f"{v['token_ratio']:.1f} is a ratio of token counts and {v['speed_ratio']:.1f} one of speeds, not had at once; "
        f"matched at budget 3,072, {drop:.1f} points lower at 2,048"
    )


def _a14(v: Values) -> tuple[str, str]:
    return _when(
        v["total"] <= v["capacity"]
    ), f"{v['total'] / GiB:.1f} of {v['capacity'] / GiB:.0f} GiB, {v['kept'] / GiB:.2f} of them cache"


def _a15(v: Values) -> tuple[str, str]:
    fallen = [v["blocks_freed"] > 0, not v["needs_weights"], v["order_kept"]]
    return HOLDS if all(fallen) else IN_PART if any(fallen) else FAILS, f"{sum(fallen)} of 3 walls fell in our run"


def _b1(v: Values) -> tuple[str, str]:
    near = abs(v["cache"] / GB - 43) < 0.5 and abs(v["weights"] / GB - 42) < 1
    return _when(
        near, IN_PART
    ), f"weights {v['weights'] / GB:.1f} GB, cache {v['cache'] / GB:.1f} GB ({v['cache'] / GiB:.1f} GiB)"


def _b2(v: Values) -> tuple[str, str]:
    return (
        OPEN,
        f"nobody's measurement; ours, of this process: {v['measured'] / GiB:.2f} GiB; calculators use 0.5 to 1.5",
    )


def _b3(v: Values) -> tuple[str, str]:
    return _when(v["predicted"] == v["measured"]), f"predicted {v['predicted']:,} bytes, measured {v['measured']:,}"


def _b4(v: Values) -> tuple[str, str]:
    without = v["without_gqa"]
    verdict = _when(v["factor"] == 8, FAILS) if abs(without / GB - 320) < 5 else IN_PART
    return verdict, f"a factor {v['factor']:.0f}; without it {without / GiB:.0f} GiB, which is {without / GB:.0f} GB"


def _b5(v: Values) -> tuple[str, str]:
    return _when(v["bits"] < 4.1, IN_PART), f"with its scales a 4-bit weight takes {v['bits']:.2f} bits"


def _b6(v: Values) -> tuple[str, str]:
    exact = v["ratio_q8_0"] == 2 and v["ratio_q4_0"] == 4
    right = ", ".join(f"{v[name]:.0%}" for name in ("right_fp", "right_q8_0", "right_q4_0"))
    why = f"{v['ratio_q8_0']:.2f} and {v['ratio_q4_0']:.2f} times less; answers right {right}"
    return HOLDS if exact and v["right_q8_0"] == v["right_fp"] else IN_PART, why


def _b7(v: Values) -> tuple[str, str]:
    verdict = HOLDS if abs(v["tokens_q8_0"] - 218_000) < 1_000 else IN_PART
    return (
        verdict,
        f"{v['tokens_fp16']:,} tokens in fp16, {v['tokens_8_bits']:,} at 8.0 bits, {v['tokens_q8_0']:,} in real Q8_0",
    )


def _b8(v: Values) -> tuple[str, str]:
    same_measure = v["command_line_task"] <= 400
    low, high = v["mcp_task"]
    why = f"task against task it is {low:,} to {high:,} against {v['command_line_task']:,} tokens; 200 is one command"
    return _when(same_measure, IN_PART), why


def _b9(v: Values) -> tuple[str, str]:
    inside = 32_000 <= v["tokens_at_end"] <= 131_072
    read = f"{v['tokens_reread']:,} read again; a shared prefix spares {v['spared']:.0%}"
    why = f"after {v['steps']} steps {v['tokens_at_end']:,} tokens, {read}"
    return _when(inside, IN_PART), why


def _b10(v: Values) -> tuple[str, str]:
    over, under = v["without_sharing"] > v["capacity"], v["with_sharing"] <= v["capacity"]
    why = f"{v['without_sharing'] / GB:.0f} GB without sharing, {v['with_sharing'] / GB:.0f} GB with a shared prefix"
    return HOLDS if over and not under else IN_PART if over else FAILS, why


def _b11(v: Values) -> tuple[str, str]:
    holds = v["weights"] > v["capacity"] and v["slowdown"] > 2
    return _when(
        holds, IN_PART
    ), f"{v['weights'] / GiB:.1f} GiB do not fit; what spills makes it {v['slowdown']:.0f} times slower at best"


def _b12(v: Values) -> tuple[str, str]:
    speeds = "; ".join(
        f"{name} {empty:.1f} falling to {full:.1f}" for name, (empty, full) in v["tokens_per_second"].items()
    )
    return _when(v["total"] <= v["capacity"], FAILS), f"it fits; tokens/s at best: {speeds}"


def _b13(v: Values) -> tuple[str, str]:
    low, high = min(v["ceilings"]), max(v["ceilings"])
    return _when(
        high < 15, IN_PART
    ), f"{low:.1f} to {high:.1f} tokens/s at best: {v['minutes']:.0f} minutes for 10,000 tokens on the slowest"


def _b14(v: Values) -> tuple[str, str]:
    verdict = IN_PART if v["amd_with_fp8"] else HOLDS
    return (
        verdict,
        f"NVFP4 units: {', '.join(v['nvfp4_cards'])}; AMD with FP8: {', '.join(v['amd_with_fp8']) or 'none'}",
    )


def _b15(v: Values) -> tuple[str, str]:
    return _when(abs(v["total"] - v["sum_of_terms"]) < 1), f"{v['total'] / GiB:.2f} GiB, the sum of the three terms"


CLAIMS: dict[str, Claim] = {
    "A1": Claim(
        "Every token adds K and V in every layer, and nothing comes back before the end.",
        ("least_growth", "most_growth", "bytes_freed"),
        _a1,
    ),
    "A2": Claim("A thought of 32K tokens caches about 32K tokens.", ("tokens", "rows", "smallest", "largest"), _a2),
    "A3": Claim("A 32B model in 4 bits on a 24 GB card runs out of memory near 24K tokens.", ("ends",), _a3),
    "A4": Claim("Attention is sparse: a few earlier tokens carry most of it.", ("mean", "least"), _a4),
    "A5": Claim(
        "Evict 90% of the tokens, and memory stays almost where it was.", ("freed_shared", "freed_per_head"), _a5
    ),
    "A6": Claim("A block holds about 16 tokens.", ("block_sizes",), _a6),
    "A7": Claim(
        "A block comes back only when all its slots are empty.",
        ("freed_with_one_row_alive", "freed_with_none_alive"),
        _a7,
    ),
    "A8": Claim(
        "Of 16,000 tokens 2,000 stay, and about none of the 1,000 blocks is emptied.", ("shared", "eight_heads"), _a8
    ),
    "A9": Claim(
        "Wall 1: filling holes breaks the order, and then every slot needs a note of its position.",
        ("shuffled_difference", "breaks"),
        _a9,
    ),
    "A10": Claim(
        "Wall 2: fast kernels keep no attention weights; whoever needs them goes back to slow attention.",
        ("tokens", "bytes_ratio", "slowdown"),
        _a10,
    ),
    "A11": Claim(
        "TriAttention scores keys from geometry before RoPE, without attention weights.",
        ("relative_error", "needs_weights"),
        _a11,
    ),
    "A12": Claim(
        "Every 128 tokens survivors slide together in order, blocks return, no positions are noted.",
        ("blocks_held", "blocks_for_rows", "order_kept", "lengths_kept"),
        _a12,
    ),
    "A13": Claim(
        "10.7 times less KV memory and 2.5 times faster, at equal accuracy.",
        ("token_ratio", "speed_ratio", "accuracy_full", "accuracy_smaller_budget"),
        _a13,
    ),
    "A14": Claim("With it a 32B reasoner runs on a 24 GB card.", ("kept", "total", "capacity"), _a14),
    "A15": Claim("All three walls fall together.", ("blocks_freed", "needs_weights", "order_kept"), _a15),
    "B1": Claim("70B in 4 bits is about 42 GB, and a 128K context about 43 GB more.", ("weights", "cache"), _b1),
    "B2": Claim("About 0.75 GB go to fixed overhead.", ("measured",), _b2),
    "B3": Claim(
        "Layers x KV heads x head_dim x tokens x 2 x bytes per number is the cache.", ("predicted", "measured"), _b3
    ),
    "B4": Claim(
        "Grouped-query attention saves a factor 8; without it the cache would be about 320 GB.",
        ("factor", "without_gqa"),
        _b4,
    ),
    "B5": Claim("Weights of 4 bits are the usual sweet spot.", ("bits",), _b5),
    "B6": Claim(
        "Q8_0 halves the cache at negligible cost, Q4_0 quarters it.",
        ("ratio_q8_0", "ratio_q4_0", "right_fp", "right_q8_0", "right_q4_0"),
        _b6,
    ),
    "B7": Claim(
        "34 GB of free memory hold about 109K tokens, or 218K at 8 bits.",
        ("tokens_fp16", "tokens_8_bits", "tokens_q8_0"),
        _b7,
    ),
    "B8": Claim(
        "An MCP-style operation takes 32,000 to 82,000 tokens, a command line about 200.",
        ("mcp_task", "command_line_task"),
        _b8,
    ),
    "B9": Claim(
        "Agents live between 32K and 128K tokens and read everything again at each step.",
        ("steps", "tokens_at_end", "tokens_reread", "spared"),
        _b9,
    ),
    "B10": Claim(
        "Four sub-agents at 128K need about 160 GB, more than an H200 has.",
        ("without_sharing", "with_sharing", "capacity"),
        _b10,
    ),
    "B11": Claim(
        "A 24 GB card cannot hold 70B, and spilling into main memory ruins the speed.",
        ("weights", "capacity", "slowdown"),
        _b11,
    ),
    "B12": Claim(
        "Machines with 128 GB of unified memory hold model and context.",
        ("total", "capacity", "tokens_per_second"),
        _b12,
    ),
    "B13": Claim("Low bandwidth makes long thoughts slow: 10 to 12 tokens per second.", ("ceilings", "minutes"), _b13),
    "B14": Claim(
        "NVFP4 needs the newest NVIDIA cards, and AMD's RDNA has no FP8.", ("nvfp4_cards", "amd_with_fp8"), _b14
    ),
    "B15": Claim(
        "Memory is overhead + weights + cache per request x requests at once.", ("total", "sum_of_terms"), _b15
    ),
}

"""What the two articles behind this course claim, and the verdict on each claim, made from what the lessons measured.

No verdict is written down: a claim stands once, as told and in our words, over the function that judges it. The names
of its parameters are the values that a lesson must record. Sizes are in bytes, speeds in tokens per second. Articles: A
is on evicting 90% of the KV cache, B on the memory wall of local agents.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass

from helpers.arithmetic.catalog import GB, GiB, MiB

HOLDS, IN_PART, FAILS, OPEN = "holds", "holds in part", "does not hold", "not settled"
EVIDENCE = ("arithmetic", "reasoner", "SmolLM2", "engine", "source")
ARITHMETIC, REASONER, SMOLLM2, ENGINE, SOURCE = EVIDENCE
Verdict = tuple[str, str]  # one of the four above, and a sentence that says why


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        told: what the article says, in our words.
        judge: from what a lesson recorded, the verdict.
        evidence: whose figures it rests on: arithmetic, the reasoner, SmolLM2, an engine's own words, a source.
    """

    told: str
    judge: Callable[..., Verdict]
    evidence: tuple[str, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """The names of the values that a lesson must record."""
        return tuple(inspect.signature(self.judge).parameters)


CLAIMS: dict[str, Claim] = {}


def claim(name: str, told: str, *evidence: str) -> Callable[[Callable[..., Verdict]], Callable[..., Verdict]]:
    """Register the function below as the judge of a claim."""

    def register(judge: Callable[..., Verdict]) -> Callable[..., Verdict]:
        CLAIMS[name] = Claim(told, judge, evidence)
        return judge

    return register


def _verdict(holds: bool, in_part: bool = False) -> str:
    return HOLDS if holds else IN_PART if in_part else FAILS


# --- A: evicting 90% of the KV cache ---------------------------------------------------------------------------------
@claim("A1", "Every token adds K and V in every layer, and nothing comes back before the end.", SMOLLM2, ARITHMETIC)
def _(least_growth: int, most_growth: int, bytes_freed: int, stop_growing: dict[str, list[int]]) -> Verdict:
    steady = least_growth == most_growth > 0 and bytes_freed == 0
    others = ", ".join(
        f"{some} of {all_of_them} layers of {name}" for name, (some, all_of_them) in stop_growing.items()
    )
    why = f"every token of SmolLM2 cost {most_growth:,} bytes; given back: {bytes_freed:,}"
    return _verdict(steady and not others, steady), f"{why}; but {others} stop growing in mid-text" if others else why


@claim("A2", "A thought of 32K tokens caches about 32K tokens.", SMOLLM2, ARITHMETIC)
def _(tokens: int, rows: int, smallest: int, largest: int, fewest_rows: int) -> Verdict:
    sizes = f"{smallest / GiB:.1f} to {largest / GiB:.1f} GiB, by model, where every layer keeps every token"
    why = f"{tokens:,} tokens left SmolLM2 {rows:,} rows; 32,768 take {sizes}, and a window keeps {fewest_rows:,} rows"
    return _verdict(rows == tokens and fewest_rows >= 32_768, rows == tokens), why


@claim("A3", "A 32B model in 4 bits on a 24 GB card runs out of memory near 24K tokens.", ARITHMETIC)
def _(cases: list[str], ends: list[int]) -> Verdict:
    near = {case: end for case, end in zip(cases, ends, strict=True) if abs(end - 24_000) <= 1_000}
    others = [end for end in ends if end not in near.values()]
    where = "; ".join(f"{end:,} tokens: {case}" for case, end in near.items()) or "nowhere near it"
    beside = f"; under other assumptions {min(others):,} to {max(others):,}" if others else ""
    return _verdict(not others, bool(near)), f"{where}{beside}"


@claim("A4", "Attention is sparse: a few earlier tokens carry most of it.", SMOLLM2)
def _(mean: float, least: float) -> Verdict:
    why = f"five rows draw {mean:.0%} of a head's attention on average, and {least:.0%} in the flattest head"
    return _verdict(least > 0.5, mean > 0.5), why


@claim("A5", "Evict 90% of the tokens, and memory stays almost where it was.", ARITHMETIC, SMOLLM2, SOURCE)
def _(freed_shared: float, freed_per_head: float, freed_at_the_end: float, stories: list[int]) -> Verdict:
    why = (
        "true for vLLM, which gives nothing back before the request ends (a table cut at its end: "
        f"{freed_at_the_end:.2%}); an allocator that drops any empty block of 16 gets {freed_shared:.1%} with one "
        f"random set, {freed_per_head:.2%} with 8 heads' own; of 12 blocks of SmolLM2's stories {min(stories)} to "
        f"{max(stories)}, by rule and mode"
    )
    most = max(freed_shared, max(stories) / 12)
    return _verdict(most < 0.05, max(freed_per_head, freed_at_the_end) < 0.05), why


@claim("A6", "A block holds about 16 tokens.", SOURCE, ENGINE)
def _(block_sizes: dict[str, int]) -> Verdict:
    sizes = set(block_sizes.values())
    return _verdict(sizes == {16}, 16 in sizes), ", ".join(f"{name} {size}" for name, size in block_sizes.items())


@claim("A7", "A block comes back only when all its slots are empty.", ENGINE, SMOLLM2)
def _(freed_with_one_row_alive: int, freed_with_none_alive: int, falls_while_running: int) -> Verdict:
    rule = freed_with_one_row_alive == falls_while_running == 0 and freed_with_none_alive > 0
    why = (
        "one row alive keeps its block; with none it comes back in the course's pool, wherever it lies in the table. "
        f"vLLM waits for the request to end or to be sent away: its gauge fell {falls_while_running} times before"
    )
    return _verdict(rule), why


@claim("A8", "Of 16,000 tokens 2,000 stay, and about none of the 1,000 blocks is emptied.", ARITHMETIC, SOURCE)
def _(shared: float, eight_heads: float, at_the_end: float) -> Verdict:
    why = (
        f"{shared:.1f} of 1,000 blocks are empty for one random set, {eight_heads:.5f} for 8 heads' own; vLLM gives "
        f"none of them back before the request ends, and a table that is cut at its end {at_the_end:.2f}"
    )
    return _verdict(shared < 1, max(eight_heads, at_the_end) < 1), why


@claim(
    "A9",
    "Wall 1: filling holes breaks the order, and then every slot needs a note of its position.",
    SMOLLM2,
    ARITHMETIC,
)
def _(tokens_changed: int, shuffled_difference: float, breaks: list[str]) -> Verdict:
    why = (
        f"shuffling all rows changed {tokens_changed} tokens of what it wrote, and attention by "
        f"{shuffled_difference:.0e} at most; what breaks: {', '.join(breaks)}"
    )
    return _verdict(bool(breaks) and tokens_changed > 0, bool(breaks)), why


@claim(
    "A10", "Wall 2: fast kernels keep no attention weights; whoever needs them goes back to slow attention.", SMOLLM2
)
def _(tokens: int, bytes_ratio: float, slowdown: float, bytes_written: dict[str, int]) -> Verdict:
    written = ", ".join(f"{policy} had {n / 2**20:,.0f} MiB of weights written" for policy, n in bytes_written.items())
    price = f"at {tokens:,} tokens the grid takes {bytes_ratio:,.0f} times the memory and {slowdown:.1f} times the time"
    walled = bytes_ratio > 10 and slowdown > 1
    return _verdict(
        walled and all(bytes_written.values()), walled and any(bytes_written.values())
    ), f"{price}; {written}"


@claim("A11", "TriAttention scores keys from geometry before RoPE, without attention weights.", SMOLLM2)
def _(relative_error: float, needs_weights: bool) -> Verdict:
    why = f"equal to our writing of the definition, to within {relative_error:.0e}; no attention weight is asked for"
    return _verdict(relative_error < 1e-4 and not needs_weights), why


@claim("A12", "Every 128 tokens survivors slide together in order, blocks return, no positions are noted.", SMOLLM2)
def _(blocks_held: int, blocks_for_rows: int, order_kept: bool, lengths_kept: int) -> Verdict:
    done = blocks_held == blocks_for_rows and order_kept
    why = f"dense and in order; still {lengths_kept} lengths per sequence to keep, logical and physical"
    return _verdict(done and lengths_kept <= 1, done), why


@claim("A13", "10.7 times less KV memory and 2.5 times faster, at equal accuracy.", SOURCE)
def _(token_ratio: float, speed_ratio: float, accuracy_full: float, accuracy_smaller_budget: float) -> Verdict:
    drop = accuracy_full - accuracy_smaller_budget
    why = (
        f"{token_ratio:.1f} is a ratio of token counts; {speed_ratio:.1f} is one of speeds, the freed memory filled by "
        f"more sequences; matched at budget 3,072 on AIME25, {drop:.1f} points lower at 2,048 on AIME24"
    )
    return _verdict(drop <= 0, in_part=True), why


@claim("A14", "With it a 32B reasoner runs on a 24 GB card.", ARITHMETIC, SOURCE)
def _(kept: int, total: int, capacity: int, engines_here: int) -> Verdict:
    fits = total <= capacity
    ran = f"engines that ran it here: {engines_here or 'none; its authors show one run'}"
    why = f"{total / GiB:.1f} of {capacity / GiB:.0f} GiB, {kept / GiB:.2f} of them cache; {ran}"
    return _verdict(fits and engines_here > 0, fits), why


@claim("A15", "All three walls fall together.", SMOLLM2)
def _(blocks_freed: float, weights_bytes: int, order_kept: bool, still_breaks: list[str]) -> Verdict:
    fallen = [blocks_freed > 0, weights_bytes == 0, order_kept]
    still = f"; still broken: {', '.join(still_breaks)}" if still_breaks else ""
    return _verdict(all(fallen) and not still_breaks, any(fallen)), f"{sum(fallen)} of 3 walls fell in our run{still}"


# --- B: the memory wall of local agents ------------------------------------------------------------------------------
@claim("B1", "70B in 4 bits is about 42 GB, and a 128K context about 43 GB more.", ARITHMETIC)
def _(weights: int, cache: int) -> Verdict:
    near = abs(cache / GB - 43) < 0.5 and abs(weights / GB - 42) < 1
    why = f"weights {weights / GB:.1f} GB, cache {cache / GB:.1f} GB, as powers of 1000 ({cache / GiB:.1f} GiB)"
    return _verdict(near, in_part=True), why


@claim("B2", "About 0.75 GB go to fixed overhead.", ENGINE)
def _(smallest: int, largest: int, process: int) -> Verdict:
    fixed = largest <= 1.1 * smallest and abs(process / GB - 0.75) < 0.1
    moved = (
        f"one engine's compute buffer alone goes from {smallest / MiB:.0f} to {largest / MiB:.0f} MiB, by its settings"
    )
    why = f"{moved}; a notebook holds {process / GiB:.2f} GiB; calculators assume 0.2 to 1.5 GB"
    return (HOLDS if fixed else OPEN), why


@claim("B3", "Layers x KV heads x head_dim x tokens x 2 x bytes per number is the cache.", SMOLLM2, ENGINE)
def _(predicted: int, measured: int, engine_predicted: float, engine_said: float) -> Verdict:
    tensors = f"SmolLM2's tensors: {predicted:,} bytes predicted, {measured:,} counted"
    engine = f"llama.cpp's log: {engine_predicted:.2f} MiB predicted, {engine_said:.2f} said"
    exact = predicted == measured and abs(engine_predicted - engine_said) < 0.005
    return _verdict(exact), f"{tensors}; {engine}; where every layer keeps every token"


@claim("B4", "Grouped-query attention saves a factor 8; without it the cache would be about 320 GB.", ARITHMETIC)
def _(factor: float, without_gqa: int) -> Verdict:
    about_320 = abs(without_gqa / GB - 320) < 5
    why = f"a factor {factor:.0f}; without it {without_gqa / GiB:.0f} GiB, which is {without_gqa / GB:.0f} GB"
    return _verdict(about_320 and factor == 8, in_part=not about_320), why


@claim("B5", "Weights of 4 bits are the usual sweet spot.", ARITHMETIC, REASONER, SOURCE)
def _(bits: float, right_7_values: float, right_3_values: float) -> Verdict:
    ours = f"our reasoner answers {right_7_values:.0%} with 7 values for a weight and {right_3_values:.0%} with 3"
    field = "Dettmers and Zettlemoyer (2023) found 4 best for a given size, on models of 2022"
    return OPEN, f"usual they are, and take {bits:.2f} bits with their scales; {ours}; {field}"


@claim(
    "B6",
    "Q8_0 halves the cache at negligible cost; Q4_0 quarters it, at a cost that depends on the task.",
    REASONER,
    SMOLLM2,
    ENGINE,
)
def _(ratio_q8_0: float, ratio_q4_0: float, right: dict[str, float], lost: dict[str, list[float]]) -> Verdict:
    exact = ratio_q8_0 == 2 and ratio_q4_0 == 4
    mean, half = lost["q8_0"]
    free = right["q8_0"] == right["fp16"] and mean <= half
    why = (
        f"{ratio_q8_0:.2f} and {ratio_q4_0:.2f} times less; worksheets right: "
        f"{', '.join(f'{name} {share:.0%}' for name, share in right.items())}; nats that keys alone add on English: "
        f"{', '.join(f'{name} {cost:.3f}' if cost >= 0.001 else f'{name} none' for name, (cost, _) in lost.items())}"
    )
    return _verdict(exact and free, exact or free), why


@claim("B7", "34 GB of free memory hold about 109K tokens, or 218K at 8 bits.", ARITHMETIC)
def _(tokens_fp16: int, tokens_8_bits: int, tokens_q8_0: int) -> Verdict:
    why = f"{tokens_fp16:,} tokens in fp16, {tokens_8_bits:,} at 8.0 bits, {tokens_q8_0:,} in real Q8_0"
    return _verdict(abs(tokens_q8_0 - 218_000) < 1_000, in_part=True), why


@claim("B8", "An MCP-style operation takes 32,000 to 82,000 tokens, a command line about 200.", SOURCE)
def _(mcp_task: list[int], command_line_task: int) -> Verdict:
    low, high = mcp_task
    why = f"task against task it is {low:,} to {high:,} against {command_line_task:,} tokens; 200 is one command"
    return _verdict(command_line_task <= 400, in_part=True), why


@claim("B9", "Agents live between 32K and 128K tokens and read everything again at each step.", ARITHMETIC)
def _(steps: int, tokens_at_end: int, tokens_reread: int, spared: float) -> Verdict:
    after = f"after {steps} steps {tokens_at_end:,} tokens, {tokens_reread:,} read again"
    return OPEN, f"it follows from numbers that one chooses; with ours {after}, unless a kept cache spares {spared:.0%}"


@claim("B10", "Four sub-agents at 128K need about 160 GB, more than an H200 has.", ARITHMETIC)
def _(without_sharing: int, with_sharing: int, with_offloading: int, capacity: int) -> Verdict:
    over = without_sharing > capacity
    why = (
        f"{without_sharing / GB:.0f} GB if all lie there at once, {with_sharing / GB:.0f} GB with a shared prefix, "
        f"{with_offloading / GB:.0f} GB if one works at a time and the others wait in main memory"
    )
    return _verdict(over and min(with_sharing, with_offloading) > capacity, in_part=over), why


@claim("B11", "A 24 GB card cannot hold 70B, and spilling into main memory ruins the speed.", ARITHMETIC)
def _(weights: int, capacity: int, slowdown: float) -> Verdict:
    why = f"{weights / GiB:.1f} GiB do not fit; what spills makes it {slowdown:.0f} times slower at best"
    return _verdict(weights > capacity and slowdown > 2, in_part=True), why


@claim("B12", "Machines with 128 GB of unified memory hold model and context.", ARITHMETIC)
def _(total: int, capacity: int, at_first: int, tokens_per_second: dict[str, list[float]]) -> Verdict:
    falls = (f"{name} {empty:.1f} falling to {full:.1f}" for name, (empty, full) in tokens_per_second.items())
    told = f", once its GPU may use more than the {at_first / GiB:.1f} GiB it starts with" if total > at_first else ""
    word = "fits" if total <= capacity else "does not fit"
    return _verdict(total <= capacity), f"it {word}{told}; tokens/s at best: {'; '.join(falls)}"


@claim("B13", "With 8-bit weights, low bandwidth may mean 10 to 12 tokens per second: minutes of waiting.", ARITHMETIC)
def _(ceilings: list[float], minutes: float) -> Verdict:
    low, high = min(ceilings), max(ceilings)
    why = f"{low:.1f} to {high:.1f} tokens/s at best: {minutes:.0f} minutes for 10,000 tokens on the slowest"
    return _verdict(10 <= low <= 12 and minutes > 2, in_part=True), why


@claim("B14", "NVFP4 is tied to certain cards, and AMD's RDNA has no FP8.", SOURCE)
def _(nvfp4: dict[str, int], nvidia_without: dict[str, int], rdna_fp8: dict[str, bool]) -> Verdict:
    newest = min(nvfp4.values()) > max(nvidia_without.values())
    names = {has: [name for name in rdna_fp8 if rdna_fp8[name] == has] for has in (True, False)}
    why = (
        f"to multiply NVFP4: {', '.join(nvfp4)}, NVIDIA's from {min(nvfp4.values())} on; FP8: "
        f"{', '.join(names[True]) or 'no RDNA'} yes, {', '.join(names[False]) or 'no RDNA'} no; to store them takes "
        "a kernel alone"
    )
    return _verdict(newest and not names[True], newest or not names[True]), why


@claim("B15", "Memory is overhead + weights + cache per request x requests at once.", ENGINE)
def _(requests: int, predicted: float, measured: float, sharing: float) -> Verdict:
    adds_up = abs(predicted - measured) <= 0.01 * measured
    why = (
        f"{requests} sequences: told from one {predicted:.0f} MiB, llama.cpp's process {measured:.0f}; "
        f"with one cache for all {sharing:.0f}"
    )
    return _verdict(adds_up and sharing > 0.9 * predicted, adds_up), why

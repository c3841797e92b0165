"""Checks of lab 7: what a server says of its pool, predicted: its size, whole blocks that are shared, preemptions."""

from __future__ import annotations

import os
from collections.abc import Callable
from math import ceil, isclose
from typing import Any

from helpers.arithmetic.catalog import MiB
from helpers.cache.block_pool import BlockPool, BlockTable, OutOfBlocks
from helpers.engines import VLLM
from helpers.engines.vllm_environment import is_installed, require_vllm
from helpers.engines.vllm_played import PlayedVLLM
from helpers.experiments.vllm_server import text_tokens
from helpers.models.smollm2 import convert
from helpers.records.vllm_server import COUNTERS, load_vllm_server
from helpers.teaching.attempts import Complaint, attempt, is_number, need
from helpers.teaching.checks import Number, check_stages, in_one_line, stage

__all__ = ["text_tokens"]
Function = Callable[..., Any]
TOKEN_BYTES = 23_040  # of SmolLM2 in 16 bits: 30 layers, K and V, 3 KV heads of 64 numbers of 2 bytes
SMALL_BLOCKS, SMALL_BLOCK = 17, 32  # of 12 MiB
USABLE = SMALL_BLOCKS - 1


# --- The server ------------------------------------------------------------------------------------------------------
def open_server(kv_mib: int, block: int, longest: int, progress: bool = True) -> VLLM | PlayedVLLM:
    """A server of vLLM's on SmolLM2, not started yet: a living one where vLLM is installed, else the saved one.

    ``COURSE_VLLM`` decides otherwise: ``live`` wants a living one, ``saved`` the saved one.
    """
    if _lives():
        return VLLM(convert(), kv_mib, block, longest, progress)
    return PlayedVLLM(kv_mib, block, longest)


def _lives() -> bool:
    wish = os.environ.get("COURSE_VLLM", "")
    if wish not in ("", "live", "saved"):
        raise ValueError(f"COURSE_VLLM is {wish!r}; it may be live or saved, or not be set")
    if wish == "live":
        require_vllm()
    return wish != "saved" and (wish == "live" or is_installed())


def who_answers() -> str:
    """Whether the answers of this page come from a server that lives, or were saved, and where."""
    if _lives():
        return "A living vLLM answers, on this machine."
    record = load_vllm_server()
    return (
        f"Nothing lives here: you read what vLLM {record.version} answered once, on {record.made_on}. "
        "make lab-vllm brings vLLM itself."
    )


def excerpt(said: str) -> str:
    """The lines of ``/metrics`` that this lab reads, out of some hundreds."""
    lines = said.splitlines()
    return "\n".join(line for name in COUNTERS for line in lines if line.startswith(f"vllm:{name}{{"))


# --- Part 1: the line of the start -----------------------------------------------------------------------------------
def check_size(size: Function) -> None:
    """``size(kv_bytes, block, longest)``: blocks, tokens and concurrency that vLLM will say."""
    check_stages(
        stage("1 GiB in blocks of 128", _size, size, 1024 * MiB, 128, 4096),
        stage("100 MiB, where blocks of 16 and of 128 differ", _size, size, 100 * MiB, 16, 2048),
        stage("a longest sequence that ends within a block", _size, size, 64 * MiB, 128, 1000),
        stage("a pool of one block", _size, size, 3 * MiB, 128, 128),
    )


def _size(size: Function, kv_bytes: int, block: int, longest: int) -> None:
    case = f"size({kv_bytes // MiB} * MiB, {block}, {longest})"
    found = attempt(case, size, kv_bytes, block, longest)
    need(
        isinstance(found, tuple | list) and len(found) == 3, f"{case} gives three numbers: blocks, tokens, concurrency."
    )
    need(all(map(is_number, found)), f"{case} gives three numbers; yours are {', '.join(map(repr, found))}.")
    blocks = kv_bytes // (block * TOKEN_BYTES)
    right = (blocks, blocks * block, blocks / ceil(longest / block))
    for name, mine, value in zip(("blocks", "tokens", "concurrency"), found, right, strict=True):
        if not isclose(mine, value, rel_tol=1e-9):
            raise Complaint(f"{name} of {case}: {_why_not_size(name, mine, kv_bytes, block, longest)}")


def _why_not_size(name: str, mine: float, kv_bytes: int, block: int, longest: int) -> str:
    exact = kv_bytes / (block * TOKEN_BYTES)
    blocks = int(exact)
    mistakes = {
        "blocks": [
            (exact, "half a block is none: round down."),
            (ceil(exact), "the last one is not whole: round down."),
            (kv_bytes // TOKEN_BYTES, "those are tokens; a block has room for several."),
            (kv_bytes // (block * TOKEN_BYTES // 2), "a token has rows of K and of V: 23,040 bytes, not half of it."),
            (kv_bytes // (block * TOKEN_BYTES * 3), "SmolLM2's 9 query heads share 3 KV heads; count those."),
            (blocks - 1, "the start counts all of them."),
        ],
        "tokens": [
            (kv_bytes // TOKEN_BYTES, "that fills the memory to the last row; vLLM counts whole blocks."),
            (blocks, "those are blocks."),
        ],
        "concurrency": [
            (blocks * block / longest, "a sequence holds whole blocks: round up how many the longest needs."),
            (blocks // ceil(longest / block), "vLLM says a broken number here, and does not round down."),
            (longest / (blocks * block), "it is how often the longest fits, so pool by sequence."),
        ],
    }
    told = (message for value, message in mistakes[name] if isclose(mine, value, rel_tol=1e-9))
    return next(told, f"{mine:,.10g} is not it. Bytes by the bytes of a block, rounded down, comes first.")


# --- Part 2: the counters --------------------------------------------------------------------------------------------
_LABELS = '{engine="0",model_name="model"}'
_MADE = f"""# HELP vllm:prefix_cache_hits_total Tokens found.
# TYPE vllm:prefix_cache_hits_total counter
vllm:external_prefix_cache_hits_total{_LABELS} 7.0
vllm:prefix_cache_hits_total{_LABELS} 1280.0
vllm:prefix_cache_hits_created{_LABELS} 1.79e+09
vllm:kv_cache_usage_perc{_LABELS} 8.5e-02
vllm:num_requests_waiting_by_reason{{engine="0",model_name="model",reason="capacity"}} 3.0
vllm:num_requests_waiting{_LABELS} 4.0
"""


def check_read_metric(read_metric: Function) -> None:
    """``read_metric(said, name)``: the number on a metric's line, None where there is no such line."""
    check_stages(
        stage("a counter", _metric, read_metric, "prefix_cache_hits_total", 1280.0),
        stage("a small number", _metric, read_metric, "kv_cache_usage_perc", 0.085),
        stage("a name that begins as another does", _metric, read_metric, "num_requests_waiting", 4.0),
        stage("a name that is not there", _metric, read_metric, "gpu_cache_usage_perc", None),
    )


def _metric(read_metric: Function, name: str, right: float | None) -> None:
    found = attempt(f"read_metric(said, {name!r})", read_metric, _MADE, name)
    if right is None:
        need(found is None, f"there is no line of {name!r}: None, not {found!r}.")
        return
    need(not isinstance(found, str), f"{found!r} is text: make a number of it.")
    need(is_number(found), f"read_metric(said, {name!r}) gives a number, not {found!r}.")
    need(found != 7, "that is the line of external_prefix_cache_hits_total, another pool: vllm: stands before a name.")
    need(found != 3, "that is the line of num_requests_waiting_by_reason: a brace stands behind a name.")
    need(found not in (8.5, 5.0, 1.79), "the number ends with the line; 8.5e-02 is one number, 0.085.")
    need(isclose(found, right), f"{name} is {found:g}; the line says {right:g}.")


# Blocks that 200 tokens of prompt and 115 of answer hold at the end. The last token's rows are never computed.
check_blocks_at_end = Number(10, "blocks") | {
    "315 tokens are 9.8 blocks; a block is held whole.": 315 / SMALL_BLOCK,
    "and so are 314: round up.": 314 / SMALL_BLOCK,
    "round up, not down.": 9,
    "that is the prompt alone.": 7,
    "prompt and answer follow each other in one table: round up once, for both.": 11,
    "blocks have 32 slots here.": 20,
    "those are tokens.": 314,
    "those are tokens; the last one's rows are never computed.": 315,
}


# --- Part 3: a shared beginning --------------------------------------------------------------------------------------
def check_hits(hits: Function) -> None:
    """``hits(prompt, shared, block)``: tokens of a prompt whose rows are found in the pool."""
    check_stages(
        stage("138 of 139 tokens shared, blocks of 32", _hits, hits, 139, 138, 32),
        stage("the same in blocks of 128", _hits, hits, 139, 138, 128),
        stage("fewer than a block", _hits, hits, 300, 100, 128),
        stage("the very same prompt", _hits, hits, 128, 128, 32),
    )


def _hits(hits: Function, prompt: int, shared: int, block: int) -> None:
    case = f"hits({prompt}, {shared}, {block})"
    found = attempt(case, hits, prompt, shared, block)
    need(is_number(found), f"{case} gives a number of tokens, not {found!r}.")
    right = min(shared, prompt - 1) // block * block
    if found == right:
        return
    mistakes = [
        (shared // block * block, "something must be left to compute: with nothing new there would be no next token."),
        (prompt, "the prompts are not alike to the end."),
        (shared, "a block is found whole or not at all: what stands in it is its name."),
        (ceil(shared / block) * block, "the last shared block is not full, so it is not found: round down."),
        (shared // block, "those are blocks; vLLM counts tokens."),
        (shared / block, "those are blocks, and broken ones; vLLM counts tokens of whole ones."),
        (prompt - right, "those are the tokens that are computed anew."),
        (prompt // block * block, "only what both have in common can be found."),
        (shared - 1, "row by row it is found by llama.cpp; vLLM finds whole blocks."),
    ]
    told = (message for value, message in mistakes if value == found)
    raise Complaint(f"{case} is {found:,.10g}, not {right}: {next(told, 'count whole blocks of what is shared.')}")


# --- Part 4: too small for both --------------------------------------------------------------------------------------
def check_run_both(run: Function) -> None:
    """``run(pool, prompts, new_tokens)``: how often somebody is sent away while all decode in turn."""
    check_stages(
        stage("room for both", _run, run, 40, 32, [200, 200], 100),
        stage("the lab's two", _run, run, USABLE, SMALL_BLOCK, [200, 200], 100),
        stage("the first needs a block, the last gives it", _run_first, run),
        stage("three, of whom two are sent away", _run, run, 12, 16, [60, 60, 60], 60),
    )


def _run(run: Function, blocks: int, block: int, prompts: list[int], new: int) -> BlockPool:
    pool = BlockPool(blocks, block)
    case = f"run(BlockPool({blocks}, {block}), {prompts}, {new})"
    try:
        found = attempt(case, run, pool, prompts, new, passes=OutOfBlocks)
    except OutOfBlocks as full:
        raise Complaint(f"{case} dies: {full}. Catch OutOfBlocks; vLLM sends the last comer away then.") from full
    need(found is not None and found is not ..., f"{case} gives nothing back: is there a return?")
    need(is_number(found), f"{case} gives how many were sent away, not {found!r}.")
    right = preemptions(BlockPool(blocks, block), prompts, new)
    if found != right:
        raise Complaint(f"{case} is {found:g}, not {right}: {_why_not_run(found, right)}")
    return pool


def _why_not_run(found: float, right: int) -> str:
    if not right:
        return "there is room for all of them, and nobody is sent away."
    if not found:
        return "somebody was sent away, and you did not count it."
    if found > right:
        return "who is sent away counts once, no longer runs, and gives all blocks back (truncate(0))."
    return "one who goes may not be enough: ask again until the row has its place."


def _run_first(run: Function) -> None:
    held = _run(run, 4, 4, [7, 2], 7).num_held_blocks
    need(held != 2, "the first comer was sent away; the one who came last goes.")
    need(held == 4, f"at the end the first alone runs, with 13 rows in 4 blocks; in your pool {held} are held.")


def preemptions(pool: BlockPool, prompts: list[int], new_tokens: int) -> int:
    """How often somebody is sent away, until the first of those that run have all their tokens."""
    running, sent_away = [BlockTable(pool) for _ in prompts], 0
    for table, prompt in zip(running, prompts, strict=True):
        table.append(prompt)
    for _ in range(new_tokens - 1):
        for table in list(running):
            while table in running:
                try:
                    table.append()
                    break
                except OutOfBlocks:
                    running.pop().truncate(0)
                    sent_away += 1
    return sent_away


# --- Part 5: too long ------------------------------------------------------------------------------------------------
@in_one_line
def check_when(when: Any) -> str:
    """When each of two is refused, ``start`` or ``request``: ``{"sequence of 4,096": ..., "prompt of 520": ...}``."""
    need(isinstance(when, dict), f"a dict is asked for, not {type(when).__name__}.")
    right = {"sequence of 4,096": "start", "prompt of 520": "request"}
    need(set(when) == set(right), f"the keys are {' and '.join(right)}.")
    for name, value in when.items():
        need(value in ("start", "request"), f"{name} is {value!r}; it may be 'start' or 'request'.")
    need(
        when["sequence of 4,096"] == "start",
        "the longest sequence is known at the start, and so is the pool: why should it wait?",
    )
    need(when["prompt of 520"] == "request", "when the server starts, nobody has asked yet.")
    return "what is known early is refused early."


# --- Part 6: llama.cpp -----------------------------------------------------------------------------------------------
# Cells that llama.cpp gives each of four sequences out of a context of 1,000.
check_cells = Number(256, "cells") | {
    "llama.cpp gives cells in steps of 256: 250 become more.": 250,
    "that is for all four together.": 1024,
    "those are for all four together, before they are rounded up.": 1000,
    "each of the four gets its share, not the whole.": 1000 * 4,
}

# Tokens of the second prompt that llama.cpp finds, where 138 of 139 are shared.
check_found = Number(138, "tokens") | {
    "that is vLLM, in whole blocks. llama.cpp has no blocks, and compares token by token.": 128,
    "the last one differs, and something must be left to compute.": 139,
    "a sequence's rows stay where they are after its answer; the next prompt may begin with them.": 0,
}


# --- Stretch ---------------------------------------------------------------------------------------------------------
# Three prompts of 200 with 100 new tokens each, in 16 blocks of 32.
check_three = Number(2, "preemptions") | {
    "that is the second. The third waits at the gate, which is not to be sent away; but it is let in later.": 1,
    "waiting at the gate is not counted; only who runs can be sent away.": 3,
    "two of them do not fit, so three do not.": 0,
}

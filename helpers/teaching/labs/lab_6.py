"""Checks of lab 6: the log in numbers, the three terms, the step of death, and changes that hold in the worst case.

What is asked of whole runs, who is sent away and how many answers are right, stands in ``lab_6_runs``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isclose
from numbers import Real
from typing import Any

from helpers.arithmetic.catalog import MiB
from helpers.arithmetic.footprint import MemoryBudget
from helpers.cache.block_pool import blocks_for
from helpers.eviction import H2O, Compressor
from helpers.records.service import BLOCK_SIZE, EVERY, REQUESTS, load_evidence
from helpers.teaching.attempts import Complaint, attempt, need
from helpers.teaching.checks import Number, check_stages, in_one_line, stage

Function = Callable[..., Any]
PROMPT, LENGTH = 139, 362  # tokens of a request when its prompt is read, and when it is answered
NUM_BLOCKS = 192  # in fp16
FINISHED = blocks_for(LENGTH, BLOCK_SIZE)  # blocks of a request that is answered
PREFIX = PROMPT - 1  # tokens that all requests have in common
SHARED = PREFIX // BLOCK_SIZE  # blocks of it that are full, so that nobody copies them
STOPPED_WITH, DIED_AT = 13, 176  # requests that were running when it died, and the step
Q8_0_BLOCK = BLOCK_SIZE * 4 * 4 * 2 * 34  # bytes: slots, layers, KV heads, K and V, bytes of a row of 32 numbers


# --- Part 1: the log -------------------------------------------------------------------------------------------------
def without_compaction() -> Compressor:
    """A colleague's idea for each request: H2O, whose survivors stay where they are."""
    return Compressor(H2O(), budget=104, interval=56, compact=False)


def check_read_line(read_line: Function) -> None:
    """``read_line(line)``: step, running, waiting and usage of a line that says them; None for any other."""
    made = "INFO  step  100: running  8, waiting  3, finished  2, KV cache usage 51.6%"
    numbers = {"step": 100, "running": 8, "waiting": 3, "usage": 0.516}
    check_stages(
        stage("one line by hand", _read, read_line, made, numbers),
        stage("lines of another kind", _skip, read_line),
        stage("the whole log", _read_all, read_line),
    )


def _read(read_line: Function, line: str, right: dict[str, float]) -> None:
    found = attempt(f"read_line({line!r})", read_line, line)
    need(isinstance(found, dict), f"read_line gives a dict for {line!r}, not {type(found).__name__}.")
    need(
        set(found) == set(right), f"the keys are {', '.join(right)}; yours are {', '.join(map(str, found)) or 'none'}."
    )
    for name, value in found.items():
        need(isinstance(value, Real), f"{name} is {value!r}, which is text: make a number of it.")
    need(
        not isclose(found["usage"], 100 * right["usage"]) or not right["usage"],
        f"usage is a share: {100 * right['usage']:.1f}% is {right['usage']:.3f}, not {found['usage']}.",
    )
    swapped = right["running"] != right["waiting"] and found["running"] == right["waiting"]
    need(not swapped, f"running and waiting have changed places: running {right['running']} in {line!r}.")
    for name, value in right.items():
        need(isclose(found[name], value, abs_tol=1e-9), f"{name} is {found[name]} in {line!r}; it should be {value}.")


def _skip(read_line: Function) -> None:
    for line in (line for line in load_evidence().log if "running" not in line):
        found = attempt(f"read_line({line!r})", read_line, line)
        need(found is None, f"{line!r} says nothing about running and waiting: None, not {found!r}.")


def _read_all(read_line: Function) -> None:
    evidence = load_evidence()
    for line in (line for line in evidence.log if "running" in line):
        words = line.replace(",", " ").replace(":", " ").replace("%", " ").split()
        numbers = {name: float(words[words.index(name) + 1]) for name in ("step", "running", "waiting")}
        _read(read_line, line, numbers | {"usage": float(words[words.index("usage") + 1]) / 100})


# --- Part 2: three terms ---------------------------------------------------------------------------------------------
def check_budget(budget: Any) -> None:
    """The MemoryBudget of the process when it stopped, in bytes."""
    check_stages(
        stage("kind and unit", _budget_kind, budget),
        stage("weights", _term, budget, "weights"),
        stage("overhead", _term, budget, "overhead"),
        stage("cache x concurrency", _cache_term, budget),
    )


def _terms(moment: str) -> dict[str, float]:
    evidence = load_evidence()
    rest = evidence.process_bytes[moment] - evidence.weights_bytes - evidence.pool_bytes
    return {"overhead": rest, "weights": evidence.weights_bytes}


def _budget_kind(budget: Any) -> None:
    need(isinstance(budget, MemoryBudget), f"a MemoryBudget is asked for, not {type(budget).__name__}.")
    total = load_evidence().process_bytes["died"]
    need(budget.overhead > 1e6, "all terms are in bytes; yours are in MiB. One MiB is 1024**2 bytes.")
    right = _terms("died")
    in_mb = [isclose(getattr(budget, name), value / MiB * 1e6, rel_tol=2e-3) for name, value in right.items()]
    in_mb.append(isclose(budget.total, total / MiB * 1e6, rel_tol=2e-3))
    need(not any(in_mb), "the log says MiB, which is 1024**2 bytes; you took MB, 10**6 bytes.")
    in_gib = isclose(budget.total, total * 1024, rel_tol=2e-3)
    need(not in_gib, "the log says MiB, 1024**2 bytes; you took GiB.")


def _term(budget: MemoryBudget, name: str) -> None:
    evidence, found, right = load_evidence(), getattr(budget, name), _terms("died")[name]
    process, weights, pool = evidence.process_bytes, evidence.weights_bytes, evidence.pool_bytes
    mistakes = {
        "weights": {
            "that is by how much the process grew when they were loaded; the log says what the tensors take, and what "
            "else came with them is overhead.": process["weights"] - process["imports"],
        },
        "overhead": {
            "process memory counts everything; take weights and pool off.": process["died"],
            "the pool is part of the process's memory from the start; take it off too.": process["died"] - weights,
            "the weights are part of the process's memory too; take them off.": process["died"] - pool,
            "that was when it was ready; when it stopped the log says something else.": _terms("ready")["overhead"],
        },
    }
    _require_bytes(name, found, right, mistakes[name])


def _require_bytes(name: str, found: float, right: float, mistakes: dict[str, float]) -> None:
    if isclose(found, right, rel_tol=1e-3, abs_tol=0.02 * MiB):
        return
    for message, value in mistakes.items():
        if isclose(found, value, abs_tol=0.11 * MiB):  # differences of numbers that the log rounds to 0.1
            raise Complaint(f"{name}: {message}")
    raise Complaint(f"{name} is {found / MiB:,.2f} MiB in your budget; the log says {right / MiB:,.2f} MiB.")


def _cache_term(budget: MemoryBudget) -> None:
    pool = load_evidence().pool_bytes
    need(budget.sequences != REQUESTS, f"{REQUESTS} were to come that evening, but {STOPPED_WITH} were running.")
    need(budget.sequences == STOPPED_WITH, f"{STOPPED_WITH} were running; your budget has {budget.sequences}.")
    whole = isclose(budget.cache_per_sequence, pool, rel_tol=1e-3)
    need(
        not whole,
        f"the whole pool is shared out among {STOPPED_WITH}; you gave it to each, {budget.cache / MiB:.0f} MiB in all.",
    )
    right = pool / STOPPED_WITH
    _require_bytes("cache_per_sequence", budget.cache_per_sequence, right, {})


@in_one_line
def check_culprit(culprit: Any) -> str:
    """Which of the three terms killed it."""
    grown = (_terms("died")["overhead"] - _terms("ready")["overhead"]) / MiB
    innocent = {
        "weights": "the weights were there before the first request, and took not a byte more at the end. What stands "
        "still fills nothing up.",
        "overhead": f"it is the largest term by far, but it grew by {grown:.1f} MiB between ready and stopped, and not "
        "in the pool. What said no was the pool, and the largest need not be the one that grows.",
    }
    name = culprit.strip().lower() if isinstance(culprit, str) else culprit
    known = name in ("cache", *innocent)
    need(known, f"the three terms are overhead, weights and cache; you blame {culprit!r}.")
    need(name == "cache", innocent.get(name, ""))
    held = NUM_BLOCKS * BLOCK_SIZE
    return f"the cache went from nothing to {NUM_BLOCKS} blocks, {held:,} slots, and asked for one more."


# --- Part 3: what grows, and until when ------------------------------------------------------------------------------
def blocks_in_traces(step: int) -> int:
    """Blocks that all requests' traces list after a step."""
    evidence = load_evidence()
    held = (
        (trace.blocks_held, step - arrived) for trace, arrived in zip(evidence.traces, evidence.arrived, strict=True)
    )
    return sum(blocks[i] for blocks, i in held if 0 <= i < len(blocks))


def check_blocks_at(blocks_at: Function) -> None:
    """``blocks_at(step)``: blocks in use after a step, by arithmetic."""
    check_stages(
        stage("four steps by hand", _blocks_at, blocks_at, [24, 20, 14, 5]),
        stage("every step of the traces", _blocks_at, blocks_at, range(DIED_AT)),
        stage("beyond the end", _blocks_at, blocks_at, [DIED_AT]),
    )


def _rows_at(step: int) -> list[int]:
    """Rows of each request that has come, by the step in which it came."""
    return [PROMPT + step - arrived for arrived in range(0, step + 1, EVERY)][:REQUESTS]


def _blocks_at(blocks_at: Function, steps: Any) -> None:
    for step in steps:
        found = attempt(f"blocks_at({step})", blocks_at, step)
        right = (
            blocks_in_traces(step) if step < DIED_AT else sum(blocks_for(rows, BLOCK_SIZE) for rows in _rows_at(step))
        )
        need(isinstance(found, Real), f"blocks_at({step}) gives {type(found).__name__}; it should be a number.")
        need(found == right, f"blocks_at({step}) is {found:,.10g}, not {right}: {_why_not_blocks(found, step)}.")


def _why_not_blocks(found: float, step: int) -> str:
    def held(rows: Iterable[int]) -> int:
        return sum(blocks_for(r, BLOCK_SIZE) for r in rows)

    rows = _rows_at(step)
    all_rows = [PROMPT + step - EVERY * i for i in range(REQUESTS)]  # as if those to come were there
    mistakes = [
        (held(r - PROMPT for r in rows), "the prompts are missing; they are in the cache too"),
        (held(r for r in rows if r > PROMPT), "who comes in this step reads its prompt in this step"),
        (held(all_rows), "not all of them have come by then"),
        (held(max(PROMPT, r) for r in all_rows), "not all of them have come by then"),
        (REQUESTS * blocks_for(PROMPT + step, BLOCK_SIZE), "they do not come all at once"),
        (held(r + 1 for r in rows), "one token too many: in the step of the prompt only the prompt is cached"),
        (held(r - 1 for r in rows), "one token too few: every step after the prompt's caches one"),
        (blocks_for(sum(rows), BLOCK_SIZE), "each request rounds up for itself; strangers share no block"),
        (sum(r // BLOCK_SIZE for r in rows), "a block is held whole: round up, not down"),
        (sum(rows), "those are tokens; a block has room for 16"),
        (held(rows[:1]), "that is the first request alone"),
    ]
    return next((message for value, message in mistakes if value == found), "work this step out by hand")


# The first step that needs more blocks than there are.
check_death_step = Number(DIED_AT, "steps") | {
    "that is the last step that still fits; in the next one the pool refuses.": DIED_AT - 1,
    "that is one step late: in which step are more than 192 blocks needed for the first time?": DIED_AT + 1,
    "then the first request would have been answered; the pool is full before that.": LENGTH - PROMPT,
}


# --- Part 4: make them wait ------------------------------------------------------------------------------------------
# The most requests that can run at once, whenever they come.
check_limit = Number(NUM_BLOCKS // FINISHED, "requests") | {
    f"9 answered requests hold 9 x {FINISHED} = {9 * FINISHED} blocks; there are {NUM_BLOCKS}. Round down.": 9,
    "only whole requests run.": NUM_BLOCKS / FINISHED,
    "that counts prompts alone, as the service did. The thought comes after.": NUM_BLOCKS // 9,
    "so many were running when it died.": STOPPED_WITH,
    "so many would have got through that evening, because they came one after the other. If they come together, "
    f"they need {10 * FINISHED} blocks.": 10,
    f"that counts tokens; a request holds whole blocks, {FINISHED} of them.": NUM_BLOCKS * BLOCK_SIZE / LENGTH,
    "that is safe, but one more fits.": 7,
}


# --- Part 6: hold more -----------------------------------------------------------------------------------------------
# Blocks of sixteen answered requests that share the prefix, the service's own prefix counted.
KEPT, OWN = blocks_for(PREFIX, BLOCK_SIZE), FINISHED - SHARED
check_shared_peak = Number(KEPT + REQUESTS * OWN, "blocks") | {
    "that is without sharing.": REQUESTS * FINISHED,
    "the prefix is held too, by the service itself.": REQUESTS * OWN,
    "the ninth block of the prefix is not full: each request copies it, so 15 are its own.": (
        KEPT + REQUESTS * (OWN - 1)
    ),
    "the service keeps the prefix's ninth block too, for those who are still to come.": SHARED + REQUESTS * OWN,
    "8 blocks stay shared, and the service holds 9: count the prefix once, and 15 for each of the 16.": (
        KEPT + REQUESTS * FINISHED
    ),
    "that is one request.": KEPT + OWN,
}


def check_q8_blocks(answer: Any) -> None:
    """Blocks that the pool's bytes make with q8_0 rows."""
    right = load_evidence().pool_bytes // Q8_0_BLOCK
    mistakes = {
        "q8_0 takes 8.5 bits for a number, not 8: each 32 numbers have a scale of 16 bits.": 2 * NUM_BLOCKS,
        "only whole blocks count: round down.": load_evidence().pool_bytes / Q8_0_BLOCK,
        "smaller rows make more blocks, not fewer.": NUM_BLOCKS * 8.5 / 16,
        "that is what they hold in fp16.": NUM_BLOCKS,
        "the pool has 6 MiB, not 6 MB.": 6 * 10**6 // Q8_0_BLOCK,
        "K and V, each in 4 heads of 4 layers: a token has 32 rows.": 2 * right,
    }
    Number(right, "blocks", mistakes)(answer)


def check_compressor(make_compressor: Function) -> None:
    """``make_compressor()``: one per request, that lets sixteen at once through with a shared prefix."""
    check_stages(
        stage("one for each request", _compressor_kind, make_compressor),
        stage("do blocks come back?", _compressor_frees, make_compressor),
        stage("sixteen in 192 blocks", _compressor_fits, make_compressor),
    )


def _compressor_kind(make_compressor: Function) -> None:
    one, other = (attempt("make_compressor()", make_compressor) for _ in range(2))
    need(isinstance(one, Compressor), f"make_compressor() gives a Compressor, not {type(one).__name__}.")
    alike = one is other or one.policy is other.policy
    need(
        not alike,
        "every request needs a compressor and a policy of its own, since a policy remembers what it saw: "
        "make both inside the function.",
    )


def _compressor_frees(make_compressor: Function) -> None:
    compressor = make_compressor()
    need(
        compressor.compact,
        "evicted without compaction: the rows are dead, their blocks stay held, and the service dies as it did before.",
    )
    need(
        compressor.protect_prompt,
        "with protect_prompt=False the prompt's rows are evicted and moved as well: every "
        "request then needs a copy of the blocks it shares.",
    )


def _compressor_fits(make_compressor: Function) -> None:
    compressor = make_compressor()
    budget, interval = compressor.budget, compressor.interval
    rows = min(LENGTH, PROMPT + budget + interval)
    thought = LENGTH - PROMPT
    need(
        budget + interval <= thought,
        f"it acts when {budget} + {interval} rows of thought are there; a thought has {thought}, so it never does.",
    )
    peak = peak_of_sixteen(rows)
    need(
        peak <= NUM_BLOCKS,
        f"bigger than the pool allows: just before it acts, a request has {PROMPT} + {budget} + "
        f"{interval} = {rows} rows in {blocks_for(rows, BLOCK_SIZE)} blocks, {SHARED} of them shared. Sixteen and the "
        f"prefix come to {peak} of {NUM_BLOCKS} blocks. Budget and interval count together.",
    )


def peak_of_sixteen(rows: int) -> int:
    """Blocks when one of sixteen has ``rows`` rows and is about to compress, and the others have one row less."""
    others, last = (blocks_for(n, BLOCK_SIZE) - SHARED for n in (rows - 1, rows))
    return blocks_for(PREFIX, BLOCK_SIZE) + (REQUESTS - 1) * others + last


def check_blocks_back(answer: Any, report: Any) -> None:
    """Blocks that the compressions of a run gave back."""
    done = [compression for request in report.requests for compression in request.trace.compressions.values()]
    evicted = sum(compression.tokens_evicted for compression in done)
    right = sum(compression.blocks_freed for compression in done)
    mistakes = {
        "those are evicted tokens; count the blocks that came back.": evicted,
        "those are compressions.": len(done),
        "those are bytes.": sum(compression.bytes_freed for compression in done),
        "that is what the evicted tokens would fill, were they side by side; the trace counts what came back.": evicted
        / BLOCK_SIZE,
        "that is one request's.": right / len(report.requests),
    }
    Number(right, "blocks", mistakes)(answer)

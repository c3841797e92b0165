"""The page that sets transformers' paged engine and the course's cache side by side, from the record.

``python -m helpers.experiments.two_paged_engines`` prints ``docs/two_paged_engines.md``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from helpers.records.transformers_paged import RUNS, TransformersPaged, load_transformers_paged


def in_words(table: list[int]) -> str:
    """A block table as a reader takes it in: ``9 to 5, 17 to 21`` for what counts down or up by one."""
    pieces: list[list[int]] = []
    for block in table:
        piece = pieces[-1] if pieces else []
        steps = {after - before for before, after in pairwise([*piece, block])}
        if piece and steps in ({1}, {-1}):
            piece.append(block)
        else:
            pieces.append([block])
    return ", ".join(f"{piece[0]} to {piece[-1]}" if len(piece) > 1 else str(piece[0]) for piece in pieces)


def page() -> str:
    """``docs/two_paged_engines.md``: both side by side, every figure from the record."""
    found = load_transformers_paged()
    if not (found.facts["same_tokens"] and found.facts["too_small"]["same_tokens"]):
        raise ValueError("the two gave different answers; the page says that they give the same")
    parts = (_opening, _growing, _ending, _evicting, _too_small, _in_short)
    return "\n\n".join([*(part(found) for part in parts), _made(found)]) + "\n"


def _rows(head: str, rows: list[list[Any]]) -> str:
    """A Markdown table; ``head`` has its columns parted by bars."""
    columns = [column.strip() for column in head.split("|")]
    lines = [columns, ["---"] * len(columns), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _opening(found: TransformersPaged) -> str:
    size, blocks = found.facts["block_size"], found.facts["num_blocks"]
    return f"""# Two paged engines on the same requests

transformers has a paged engine of its own: `model.generate_batch(...)`, or a manager that takes requests as they come.
It and the course's `PagedCache` both keep rows of K and V in blocks of {size} tokens, dealt from a pool. Here the
reasoner answers the same worksheets through both, from pools of {blocks} blocks: worksheets A, B, A again and C, one
after another. **Both give the same answers, token for token.** What differs is what comes back, and when."""


def _growing(found: TransformersPaged) -> str:
    if not found.facts["same_blocks_at_every_step"]:
        raise ValueError("the two held different numbers of blocks; the page says that they hold the same")
    rows = [
        [name, each["prompt_tokens"], each["new_tokens"], *found.runs["course"][name]["blocks"]]
        for name, each in found.requests.items()
    ]
    pools = found.facts["pools"]
    extra = (pools["transformers"]["reserved"] - pools["course"]["reserved"]) // pools["course"]["block"]
    return f"""## What they count alike

At every step of every request both hold the same number of blocks: as many as prompt and answer need, rounded up. The
last token of an answer is never read, so it has no row.

{_rows("request | tokens of the prompt | of the answer | blocks after the prompt | at the end", rows)}

A block of all layers is {pools["course"]["block"]:,} bytes in both, counted from the tensors. The engine reserves
{pools["transformers"]["reserved"]:,} bytes, the course {pools["course"]["reserved"]:,}: {extra} blocks more, which it
deals to nobody (padding reads one and writes the other)."""


def _ending(found: TransformersPaged) -> str:
    tables, free = [], []
    for name in found.requests:
        course, plain, sharing = (found.runs[run][name] for run in RUNS)
        tables.append([name, *(in_words(run["table"]) for run in (course, plain, sharing))])
        free.append([name, course["free"], plain["free"], f"{sharing['free']}, and {sharing['remembered']} remembered"])
    columns = "request | course | engine, sharing off | engine, sharing on"
    shared = len(set(found.runs[RUNS[2]]["A"]["table"]) & set(found.runs[RUNS[2]]["A again"]["table"]))
    return f"""## Tables, and what a request's end gives back

Block tables at the end of each request:

{_rows(columns, tables)}

Blocks free after it, of {found.facts["num_blocks"]}:

{_rows(columns, free)}

- Without sharing a request's end gives all its blocks back, in both. The course deals the block that has been free for
  longest, as vLLM does, the engine the one that came back last: so the tables differ, and nothing depends on it.
- Sharing is the engine's default. A full block is then remembered by its tokens and those before it when its request
  ends: nobody lists it, and it is not free. "A again" lists {shared} of A's blocks, those of its *answer* included: a
  block that fills with text that is there already is exchanged for the one that has it.
- When less than 15% of the pool is free, the engine forgets all that it remembers, at once: C's turn shows it.
- The course shares when told to: `cache.fork()` lists all blocks of a cache a second time. It looks for nothing."""


def _evicting(found: TransformersPaged) -> str:
    evicted = found.facts["evicted"]
    free = evicted["free"]
    done = {
        "before": f"A's answer is there, {evicted['rows']} rows per head and layer",
        "evict": f"`evict`: each head of each layer keeps {evicted['kept']} rows, of the shortest keys",
        "release_empty_blocks": "`release_empty_blocks`: what is empty in all heads and layers",
        "compact": "`compact`: survivors slide forward, the tail comes back",
        "reset": "`reset`: the request ends",
    }
    rows = [[text, free[name]] for name, text in done.items()]
    return f"""## Before a request ends

The engine can be asked for nothing here: a request holds its blocks until it ends. The course's cache, after A:

{_rows("what is done | blocks free", rows)}

Three rows in four are gone after the second line, and no block has come back until survivors move: the trap of the
lesson on eviction, on one request."""


def _too_small(found: TransformersPaged) -> str:
    small, large = found.facts["too_small"], found.facts["too_large"]
    [lost] = small["thrown_back"]
    free = small["course_free"]
    needed = sum(found.runs["course"][name]["blocks"][-1] for name in ("A", "B"))
    return f"""## A pool too small

{small["num_blocks"]} blocks, for A and B together: room for each of them, but both need {needed}.

- **The engine** reads both at once. When no block is left, it throws the {lost["request"]} request back. All
  its {lost["blocks"]} blocks are free, its rows are lost, and once there is room it is read again, with what was
  answered so far. Both answers are right; the price is time.
- **The course** answers A, keeps its rows, and begins B in the same pool. It is refused in one line,
  "{small["refusal"]}", and nothing has changed. Then A gives up three rows in four: {free["before"]} blocks
  free become {free["compact"]}, and B is answered in full. The price is A's rows, if anybody goes on from them.

{large["num_blocks"]} blocks, for A alone, which needs {found.runs["course"]["A"]["blocks"][-1]}. Both give up.
The engine: "{large["engine"]}" The course: "{large["course"]}"."""


def _in_short(found: TransformersPaged) -> str:
    rows = [
        ["counts in", f"blocks: {found.facts['block_size']} tokens of all layers", "the same"],
        ["deals first", "the block that has been free for longest", "the one that came back last"],
        ["frees at a request's end", "all its blocks", "all; with sharing the full ones are remembered instead"],
        ["frees before that", "any rows; whole blocks after `compact`", "nothing"],
        ["in a full pool", "refuses, and nothing has changed", "forgets, then throws a whole request back"],
        ["shares", "what is forked", "what it finds alike, prompts and answers"],
        ["takes", "a batch of one length, or forks", "requests of any length, coming and going"],
    ]
    return f"""## In short

{_rows("what it does | the course's PagedCache | transformers' engine", rows)}

The engine is the better server. It has no door for eviction, though: when memory is short, it begins a request again,
or moves it to main memory if room was set aside there (not run here)."""


def _made(found: TransformersPaged) -> str:
    version = found.facts["machine"]["transformers"]
    return (
        f"Made on {found.made_on}, transformers {version}, by `{found.facts['command']}`.\n"
        "This page is written from that record by `python -m helpers.experiments.two_paged_engines`."
    )


if __name__ == "__main__":
    print(page(), end="")

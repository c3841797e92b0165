"""Control of the garage: sequences arrive, grow, fork and leave, and the pool shows which blocks they hold."""

from __future__ import annotations

from matplotlib.figure import Figure

from helpers.cache.block_pool import BlockPool, BlockTable, OutOfBlocks
from helpers.plots import blocks
from helpers.widgets.page import Frame, choice, control, slider

SLOTS = 320  # of the garage, whatever its block size
LETTERS = "ABCDEF"
OWN, SHARED = "each reads its own", "all share one"
Tables = dict[str, BlockTable]  # the sequences in a pool, by letter


def draw_pool(pool: BlockPool, tables: Tables, row: int = blocks.ROW) -> Figure:
    """The pool as a garage, floor by floor, ``row`` slots side by side."""
    return blocks.pool_map(_floors(pool, tables), row)


def describe_pool(pool: BlockPool, tables: Tables) -> str:
    """What the garage holds, wastes and spares, in words."""
    size, held = pool.block_size, pool.num_held_blocks
    tokens = sum(slot != blocks.EMPTY for floor in _floors(pool, tables) for slot in floor.slots)
    listed = sum(len(table.blocks) for table in tables.values())
    empty = held * size - tokens
    waste = f"{empty:,} of them empty (waste {empty / (held * size):.1%})" if held else "none of them empty"
    return (
        f"{held} of {pool.num_blocks} blocks held (usage {held / pool.num_blocks:.1%}); {tokens:,} tokens in "
        f"{held * size:,} slots, {waste}. The tables list {listed} blocks, so sharing spares {listed - held}."
    )


def run_garage(
    sequences: int, prompt: int, prompts: str, decoded: int, gone: int, block_size: int
) -> tuple[BlockPool, Tables, str]:
    """Let sequences arrive with their prompts and decode in turn, a token at a time; then the first ``gone`` leave.

    Args:
        sequences: how many arrive.
        prompt: tokens of the prompt.
        prompts: ``each reads its own``, or ``all share one``: the others are then forks of the first.
        decoded: tokens that each decodes.
        gone: how many leave.
        block_size: slots per block.

    Returns:
        The pool, the tables of those still there, and what went wrong: nothing, or that the pool was full.
    """
    pool, tables, trouble = BlockPool(SLOTS // block_size, block_size), {}, ""
    try:
        for letter in LETTERS[:sequences]:
            _arrive(letter, prompt, prompts, pool, tables)
        for _ in range(decoded):
            for table in tables.values():
                table.append()
    except OutOfBlocks as error:
        trouble = str(error)
    for letter in LETTERS[:gone]:
        if letter in tables:
            tables.pop(letter).truncate(0)
    return pool, tables, trouble


def pool_frame(sequences: int, prompt: int, prompts: str, decoded: int, gone: int, block_size: int) -> Frame:
    """The garage after sequences have arrived, grown, forked and left; the arguments are those of ``run_garage``."""
    pool, tables, trouble = run_garage(sequences, prompt, prompts, decoded, gone, block_size)
    caption = (
        f"Figure: map of a pool, a strip per block of {block_size} slots with its number, free blocks dotted; ×3 says "
        f"three tables list it. {describe_pool(pool, tables)}"
    )
    if trouble:
        caption += f" Not all tokens found a slot ({trouble}): somebody must wait."
    return draw_pool(pool, tables), caption


def pool_control() -> None:
    """Show the garage with its controls: sequences, prompt, sharing, tokens decoded, sequences gone, block size."""
    control(
        pool_frame,
        sequences=slider("sequences", range(1, len(LETTERS) + 1), 4),
        prompt=slider("prompt", range(1, 65), 40),
        prompts=choice("prompts", [OWN, SHARED], OWN),
        decoded=slider("decoded", range(0, 65), 20),
        gone=slider("gone", range(0, len(LETTERS) + 1), 0),
        block_size=choice("block size", [4, 8, 16, 32], 16),
    )


def _arrive(letter: str, prompt: int, prompts: str, pool: BlockPool, tables: Tables) -> None:
    if prompts == SHARED and tables:
        tables[letter] = tables["A"].fork()
        return
    table = BlockTable(pool)
    table.append(prompt)
    tables[letter] = table


def _floors(pool: BlockPool, tables: Tables) -> list[blocks.Floor]:
    listed = {letter: (table.blocks, table.num_slots) for letter, table in tables.items()}
    return blocks.floors_of(pool.block_size, pool.ref_count, listed)

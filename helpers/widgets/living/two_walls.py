"""The two walls: what becomes of the holes that an eviction leaves, and why nobody who reads tiles has the grid."""

from __future__ import annotations

from typing import Any

from helpers.arithmetic.catalog import find_model
from helpers.arithmetic.footprint import format_bytes
from helpers.arithmetic.holes import REUSE, WAYS, broken_habits, mask_by_age, mask_by_place, take_in
from helpers.arithmetic.tiles import causal_weights, grid_bytes, run_tiles, tile_bytes
from helpers.records.compass import load_compass
from helpers.widgets.living import walls_still
from helpers.widgets.living.picture import LivingPicture, join_modules
from helpers.widgets.living.scene import Scene

HOLES, TILES = WALLS = ("holes", "tiles")
SLOTS, MOST_NEW, WINDOW, BLOCK = 12, 4, 6, 8  # of the row before; tokens that come at once; a sliding window's tokens
TILE = 3  # tokens along one side of a tile, where 12 are drawn
MODEL, REAL_TILE = "Llama-3.1-8B", 128
LENGTHS = (1_024, 16_384, 131_072)
FIRST = {
    "wall": HOLES,
    "way": REUSE,
    "row": list(range(SLOTS)),
    "gone": [1, 2, 4, 6, 9],
    "new": MOST_NEW,
    "window": False,
    "round": 1,
    "copied": 0,
    "step": 7,
    "memory": 0,
}


class TwoWalls(LivingPicture):
    """Evict tokens by hand and see which masks go wrong; let tiles run over a grid of attention weights."""

    title = "The two walls: holes, and the grid"
    _esm = join_modules("parts.js", "hands.js", "walls_holes.js", "walls_tiles.js", "two_walls.js")

    def __init__(self, **choice: Any) -> None:
        captions = {wall: self.caption(FIRST | {"wall": wall}) for wall in WALLS}
        holes = {"ways": list(WAYS), "slots": SLOTS, "most_new": MOST_NEW, "window": WINDOW, "block": BLOCK}
        holes["first"] = {name: FIRST[name] for name in ("row", "gone", "round", "copied")}
        super().__init__({"captions": captions, "holes": holes, "tiles": tiles_data()}, FIRST | choice)

    def frame(self, choice: dict[str, Any]) -> dict[str, Any]:
        """See ``LivingPicture.frame``: of the holes the row afterwards, its copies, both masks and the habits.

        Raises:
            ValueError: if the row or what is evicted is none.
        """
        row, gone = choice["row"], choice["gone"]
        alive = [token for token in row if token is not None]
        if len(row) > SLOTS or not alive or len(set(alive)) < len(alive):
            raise ValueError(f"row is {row}; it may be 1 to {SLOTS} slots, each with another token")
        if not set(gone) <= set(alive):
            raise ValueError(f"gone is {gone}; it may name tokens of the row, which are {alive}")
        n_new, newest = choice["new"], max(alive)
        if n_new not in range(1, MOST_NEW + 1):
            raise ValueError(f"new is {n_new}; it may be 1 to {MOST_NEW}")
        holes = [None if token in gone else token for token in row]
        slots, copies = take_in(holes, range(newest + 1, newest + 1 + n_new), choice["way"])
        window = WINDOW if choice["window"] else None
        masks = {"age": mask_by_age(slots, n_new, window), "place": mask_by_place(slots, n_new, window)}
        wrong = broken_habits(slots, n_new, WINDOW, BLOCK)
        return {"slots": slots, "copies": copies, "differ": count_different(*masks.values()), "wrong": wrong} | masks

    @classmethod
    def caption(cls, choice: dict[str, Any]) -> str:
        """See ``LivingPicture.caption``."""
        if choice["wall"] == HOLES:
            return (
                "Figure: a row of slots before and after an eviction, and below it what each new token may see. A "
                "number is a token's age: 12 came after 11. Upper grid: by age, which is right. Lower grid: by place, "
                "as an engine has it that takes a slot's place for its token's age; marked cells are wrong."
            )
        grid = load_compass().grid
        return (
            f"Figure: attention weights of SmolLM2, layer {grid.layer}, head {grid.head}. A row is a token that looks, "
            "a column one that is looked at, in the same order; more colour is more weight. The grid is kept whole. Of "
            "the tiles each is forgotten when the next one comes; of each line its largest logit and a sum stay. "
            "Below each side stands what a token got in all, as far as that side can say."
        )

    def scene(self) -> Scene:
        """See ``LivingPicture.scene``."""
        choice = self.choice
        if choice["wall"] == HOLES:
            return walls_still.holes_scene(choice, self.frame(choice), SLOTS + MOST_NEW)
        return walls_still.tiles_scene(self.data["tiles"], choice)


def count_different(one: list[list[bool]], other: list[list[bool]]) -> int:
    """Cells in which two masks differ."""
    return sum(a != b for rows in zip(one, other, strict=True) for a, b in zip(*rows, strict=True))


def tiles_data() -> dict[str, Any]:
    """The grid, every step of the tiles, and the bytes that both hold, as numbers and in words."""
    grid, n_heads = load_compass().grid, find_model(MODEL).config["num_attention_heads"]
    weights, tokens = causal_weights(grid.logits), len(grid.tokens)
    steps = [step._asdict() | {"weights": rounded(step.weights)} for step in run_tiles(grid.logits, TILE)]
    sums = [0.0] * tokens
    for step in steps:
        for row in weights[step["row"] : step["row"] + TILE]:
            for column in range(step["column"], step["column"] + TILE):
                sums[column] += row[column]
        step["sums"] = [round(value, 2) for value in sums]
        step["maximum"] = [None if value is None else round(value, 2) for value in step["maximum"]]
        step["total"] = [round(value, 2) for value in step["total"]]
    sizes = [(f"these {tokens} tokens, one head", 1, tokens, TILE)]
    sizes += [(f"{length:,} tokens, one layer of {MODEL}", n_heads, length, REAL_TILE) for length in LENGTHS]
    memory = [of_size(*size) for size in sizes]
    return {"tokens": grid.tokens, "size": TILE, "weights": rounded(weights)} | {
        "steps": steps,
        "memory": memory,
    }


def of_size(label: str, n_heads: int, tokens: int, tile: int) -> dict[str, Any]:
    """What a text of one length makes both ways hold."""
    whole, tiles = grid_bytes(n_heads, tokens), tile_bytes(n_heads, tokens, tile)
    words = {"grid_words": format_bytes(whole), "tiles_words": format_bytes(tiles)}
    return {"label": label, "grid": whole, "tiles": tiles, "times": f"{float(f'{whole / tiles:.3g}'):,g}"} | words


def rounded(rows: list[list[float]]) -> list[list[float]]:
    """To three digits behind the point."""
    return [[round(value, 3) for value in row] for row in rows]

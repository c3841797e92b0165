"""The garage: a conversation of SmolLM2, and the blocks that hold what the model noted of each of its tokens.

Blocks, tables and bytes come from a real pool: those of a recorded conversation by ``Parking``, those of a run that
goes on now by ``snapshot`` of its cache (``helpers.widgets.living.garage_live``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from helpers.arithmetic.footprint import KVShape
from helpers.cache.block_pool import blocks_for
from helpers.records.garage import load_garage, packed
from helpers.widgets.living.garage_scene import draw_garage, sentence
from helpers.widgets.living.picture import LivingPicture, join_modules
from helpers.widgets.living.scene import Scene

if TYPE_CHECKING:
    from helpers.eviction.parking import Parking

MODES = {
    "per_layer_per_head": "each head of each layer",
    "per_head": "each head, all layers alike",
    "shared": "all heads together",
    "union": "all together, by the keenest",
}
LAYER = 14  # shown first: in the middle, and its attention is recorded
CARS = {  # what a car may be made of: numbers in a key, and in a value, and their format; the first is as recorded
    "64 + 64 numbers of 2 bytes": (64, "fp16"),
    "64 + 64 numbers of 1 byte": (64, "fp8_e4m3"),
    "64 + 64 numbers of 4 bytes": (64, "fp32"),
    "128 + 128 numbers of 2 bytes": (128, "fp16"),
}
MODULES = ("parts.js", "garage_frame.js", "garage_keys.js", "garage_look.js", "garage_words.js", "garage_floors.js")
ABOUT = (
    "Figure: a conversation of SmolLM2 (135 million parameters), recorded, and the blocks that hold its notes, rows of "
    "K and V. A floor is a block of 16 slots, and a slot has a lane for each KV head. One of 30 layers is drawn; a "
    "block is the same floor in all of them, and comes back only when every head of every layer has left it."
)


class Garage(LivingPicture):
    """The garage of the recorded conversation.

    Args:
        plays: write the conversation at once, from the end of its prompt, unless the reader wants less motion; it is
            scrolled into view, and nothing but the writing is to be turned.
        choice: what it is turned to at first: any of ``seen``, ``layer``, ``head``, ``policy``, ``mode``, ``share``,
            ``compact``, ``gone`` and ``second``, as ``Parking.after`` has them. With ``car``, one of ``CARS``, what a
            car weighs is to be turned, and beside it only ``seen``.

    Raises:
        ValueError: if the choice holds what may not be.
    """

    title = "The garage"
    _esm = join_modules(*MODULES, "garage.js")

    def __init__(self, plays: bool = False, **choice: Any) -> None:
        choice = parking().start | {"layer": LAYER} | choice
        self.frame(choice)  # refuses what may not be
        super().__init__(recorded(), choice)
        self.data = self.data | {"caption": ABOUT, "plays": plays}  # no figures: a reader turns it

    def frame(self, choice: dict[str, Any]) -> dict[str, Any]:
        """See ``LivingPicture.frame``: as ``Parking.after``, and ``floors_back``, the blocks that the pool got back.

        With a ``car``, as ``weighed`` says.
        """
        return counted(choice)

    @classmethod
    def caption(cls, choice: dict[str, Any]) -> str:
        """See ``LivingPicture.caption``."""
        frame, by = counted(choice), choice["policy"]
        who = f"{by}, {MODES[choice['mode']]}" if by in load_garage().ranks else by
        how = f" Chosen by {who.removeprefix('by ')}." if frame["rows_evicted"] else ""
        return f"{ABOUT} Here: {sentence(frame, choice['compact'])}{how}"

    def scene(self) -> Scene:
        """See ``LivingPicture.scene``."""
        return draw_garage(load_garage().tokens, self.frame(self.choice), self.choice)


def counted(choice: dict[str, Any]) -> dict[str, Any]:
    """What the pool holds after a choice, with cars as heavy as the choice has them."""
    parked = {name: value for name, value in choice.items() if name != "car"}
    frame = with_floors_back(parking().after(parked))
    return weighed(frame, choice["car"]) if "car" in choice else frame


def weighed(frame: dict[str, Any], car: str) -> dict[str, Any]:
    """A frame with cars of another weight: the same floors, other bytes.

    It says too what a car weighs, which part that is of the heaviest, and what all floors hold with the heaviest.

    Raises:
        ValueError: if there is no such car.
    """
    if car not in CARS:
        raise ValueError(f"car is {car!r}; it may be {', '.join(CARS)}")
    weights = car_weights()
    recorded_one, heaviest, one = next(iter(weights.values())), max(weights.values()), weights[car]
    names = ("bytes_held", "bytes_alive", "bytes_back")
    told = {name: frame[name] * one // recorded_one for name in names if name in frame}
    full = recorded()["full_bytes"] * heaviest // recorded_one
    return frame | told | {"car_bytes": one, "car_share": one / heaviest, "full_bytes": full}


def car_weights() -> dict[str, int]:
    """Bytes of each of ``CARS``: one head's key and value of one token."""
    return {car: KVShape(1, 1, dim).bytes(1, kv_format=kv_format) for car, (dim, kv_format) in CARS.items()}


@cache
def parking() -> Parking:
    """The pool in which the recorded conversation is parked, anew for each choice."""
    from helpers.eviction.parking import Parking  # here, since it needs torch, and the register of pictures does not

    told = load_garage()
    shape = KVShape(told.n_layers, told.n_kv_heads, told.head_dim)
    return Parking(len(told.tokens), told.prompt_length, told.ranks, shape, told.block_size)


@cache
def recorded() -> dict[str, Any]:
    """What the picture is drawn from, ready for JSON; without a kernel it is all that there is."""
    from helpers.cache.snapshot import AISLE

    told, size = load_garage(), load_garage().block_size
    steps = {str(second).lower(): _steps(second) for second in (False, True)}
    row_bytes = steps["false"][-1]["bytes_held"] // (blocks_for(len(told.tokens), size) * size)  # a token's
    return {
        "tokens": list(told.tokens),
        "prompt": told.prompt_length,
        "layers": told.n_layers,
        "kv_heads": told.n_kv_heads,
        "heads": told.n_heads,
        "block_size": size,
        "aisles": [[first, min(first + AISLE, told.n_layers)] for first in range(0, told.n_layers, AISLE)],
        "policies": list(told.ranks),
        "modes": list(map(list, MODES.items())),
        "ranks": {
            policy: {mode: _table(table) for mode, table in modes.items()} for policy, modes in told.ranks.items()
        },
        "links": {str(layer): {"base64": packed(links)} for layer, links in told.links.items()},
        "n_links": next(iter(told.links.values())).shape[2],
        "steps": steps,
        "stops": {policy: {mode: _stops(policy, mode) for mode in MODES} for policy in told.ranks},
        "bytes_alive": [row_bytes * seen for seen in range(len(told.tokens) + 1)],
        "full_bytes": steps["false"][-1]["bytes_held"],
        "cars": list(map(list, car_weights().items())),
    }


def by_hand(gone: Sequence[int]) -> list[dict[str, Any]]:
    """What is left of the whole story after a hand, as it is recorded: without compaction and with it.

    A page without a kernel finds it in ``hands``, beside what ``recorded`` gives.
    """
    choice = {"policy": "by hand", "gone": list(gone)}
    told = {compact: parking().after(choice | {"compact": compact}) for compact in (False, True)}
    return [
        {"gone": list(gone), "compact": compact} | _without_rows(with_floors_back(frame))
        for compact, frame in told.items()
    ]


def with_floors_back(frame: dict[str, Any]) -> dict[str, Any]:
    """A frame that says too how many blocks the pool got back."""
    held = {block for table in frame["tables"] for block in table}
    of_a_block = frame["bytes_held"] // len(held) if held else 1
    return frame | {"floors_back": max(0, frame["bytes_back"] // of_a_block)}  # copies of shared blocks may cost more


def _steps(second: bool) -> list[dict[str, Any]]:
    """The frames at which a block is taken while the story is written, without the rows."""
    found: list[dict[str, Any]] = []
    told, size = load_garage(), load_garage().block_size
    for seen in sorted({0, told.prompt_length, told.prompt_length + 1, *range(1, len(told.tokens) + 1, size)}):
        frame = _without_rows(with_floors_back(parking().after({"seen": seen, "second": second})))
        found.append({name: value for name, value in frame.items() if name != "keep"})
    return found


def _stops(policy: str, mode: str) -> list[list[dict[str, Any]]]:
    """Without compaction and with it, a frame at each share that was recorded."""
    told = load_garage()
    frames = [told.frames[policy, mode, compact] for compact in (False, True)]
    return [
        [{"share": share} | with_floors_back(frame) for share, frame in zip(told.shares, of_share, strict=True)]
        for of_share in frames
    ]


def _without_rows(frame: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in frame.items() if name not in ("rows", "layer")}


def _table(ranks: Any) -> dict[str, Any]:
    return {"layers": ranks.shape[0], "heads": ranks.shape[1], "base64": packed(ranks)}

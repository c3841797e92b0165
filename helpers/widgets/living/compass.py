"""TriAttention's score as needles that turn: the mean query of the future beside a key, band by band."""

from __future__ import annotations

import cmath
from typing import Any

from helpers.records.compass import Head, load_compass
from helpers.widgets.living import compass_still
from helpers.widgets.living.picture import LivingPicture, join_modules
from helpers.widgets.living.scene import Scene

KEPT = 5  # of the sixteen keys
OFFSETS = tuple(2**i for i in range(17))  # TriAttention's own, 1 to 65,536, over which it takes the mean
FIRST = {"head": 0, "stop": 2, "key": 15}


class Compass(LivingPicture):
    """Turn the mean query of a head as far ahead as you like, and see which keys answer it.

    A choice has the ``head`` (by its number in the record), the ``key`` (the number of its token) and the ``stop``: an
    index of the record's distances, or one more for the mean over all of ``OFFSETS``.
    """

    title = "The score: needles that turn"
    _esm = join_modules("parts.js", "hands.js", "needles.js", "compass.js")

    def __init__(self, **choice: Any) -> None:
        found = load_compass()
        heads = [head._asdict() for head in found.heads]
        captions = [self.caption(FIRST | {"head": number}) for number in range(len(heads))]
        data = {"distances": list(found.distances), "offsets": list(OFFSETS), "kept": KEPT}
        super().__init__(data | {"heads": heads, "captions": captions}, FIRST | choice)

    def frame(self, choice: dict[str, Any]) -> dict[str, Any]:
        """See ``LivingPicture.frame``: products of the key by band, and of all keys scores, order and who is kept.

        Raises:
            ValueError: if the record has no such head, stop or key.
        """
        found = load_compass()
        sizes = {"head": len(found.heads), "stop": len(found.distances) + 1}
        for name, size in (sizes | {"key": len(found.heads[0].tokens)}).items():
            if choice[name] not in range(size):
                raise ValueError(f"{name} is {choice[name]}; it may be 0 to {size - 1}")
        head, stop = found.heads[choice["head"]], choice["stop"]
        is_mean = stop == len(found.distances)
        scores = head.mean_score if is_mean else head.scores[stop]
        offsets = OFFSETS if is_mean else (found.distances[stop],)
        order = sorted(range(len(scores)), key=lambda token: -scores[token])
        products = band_products(head, choice["key"], offsets)
        return {"products": products, "scores": scores, "order": order, "kept": sorted(order[:KEPT])}

    @classmethod
    def caption(cls, choice: dict[str, Any]) -> str:
        """See ``LivingPicture.caption``."""
        found = load_compass()
        head = found.heads[choice["head"]]
        quick, slow = head.R
        asks = "asks nearly the same thing every time" if min(head.R) > 0.9 else "asks many different things"
        return (
            f"Figure: layer {head.layer}, head {head.head} of {head.name}. Two of its {len(head.omega)} bands are "
            "compasses: the strongest quick one and the strongest slow one. Dots are queries of a text, turned back "
            "to one place; the blue needle is their mean, turned as far as the slider says; the orange needle with a "
            f"square end is a key. Each has a scale of its own. R = {quick:.3f} and {slow:.3f}: this head {asks}. "
            f"Kept are the {KEPT} best by this head alone. TriAttention takes the mean of all distances, where the "
            f"slider ends. {found.made_on}."
        )

    def scene(self) -> Scene:
        """See ``LivingPicture.scene``."""
        choice, frame = self.choice, self.frame(self.choice)
        is_mean = choice["stop"] == len(self.data["distances"])
        offsets = OFFSETS if is_mean else (self.data["distances"][choice["stop"]],)
        head = load_compass().heads[choice["head"]]
        key, ahead = choice["key"], "all" if is_mean else offsets[0]
        needles = [(future_query(head, band, offsets), cached_key(head, key, band)) for band in head.bands]
        return compass_still.compass_scene(head, key, frame, needles, ahead)


def future_query(head: Head, band: int, offsets: tuple[int, ...]) -> complex:
    """The mean query of a band as it will be, the mean over offsets, on a card that is turned with the present."""
    turns = [cmath.exp(1j * head.omega[band] * offset) for offset in offsets]
    return complex(*head.q_mean[band]) * sum(turns) / len(turns)


def cached_key(head: Head, token: int, band: int) -> complex:
    """A band of a key, on the same card: turned back by the position of the last token."""
    row = head.keys[token]
    return complex(row[band], row[band + len(head.omega)]) * cmath.exp(-1j * head.omega[band] * head.position)


def band_products(head: Head, token: int, offsets: tuple[int, ...]) -> list[float]:
    """Dot product of key and future mean query by band; their sum is the trigonometric term."""
    return [
        (cached_key(head, token, band).conjugate() * future_query(head, band, offsets)).real
        for band in range(len(head.omega))
    ]

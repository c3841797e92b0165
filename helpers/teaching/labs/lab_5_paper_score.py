"""TriAttention's score as the paper defines it, and the slips that people make, each with the line that names it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from helpers.eviction.triattention_by_definition import score_as_defined
from helpers.teaching.attempts import attempt, need

Function = Callable[..., Any]
NEAR = 1e-3  # relative error allowed, so that float32 passes
QUARTER = torch.tensor([math.pi / 2], dtype=torch.float64)  # a band of 90 degrees per token, to be worked out by hand


@dataclass(frozen=True)
class Case:
    """What a score is made of.

    Attributes:
        keys: ``[n_kv_heads, rows, head_dim]``, rotated.
        q_mean, q_abs_mean: E[q] and E|q|, ``[n_heads, bands]``.
        omega: ``[bands]``.
        position: of the last token read.
        offsets: how far ahead of it the future queries stand.
    """

    keys: torch.Tensor
    q_mean: torch.Tensor
    q_abs_mean: torch.Tensor
    omega: torch.Tensor
    position: int
    offsets: list[int]

    def ask(self, score: Function) -> torch.Tensor:
        """The reader's scores."""
        inputs = (x.clone() for x in (self.keys, self.q_mean, self.q_abs_mean, self.omega))
        case = f"the score of keys {list(self.keys.shape)} at position {self.position}"
        return as_tensor(attempt(case, score, *inputs, self.position, list(self.offsets)))

    @property
    def right(self) -> torch.Tensor:
        """By the definition, ``[n_heads, rows]``: keys turned back, a cosine per offset."""
        return score_as_defined(self.keys, self.q_mean, self.q_abs_mean, self.omega, self.position, self.offsets)


def case_by_hand(offsets: Sequence[int] = (1,)) -> Case:
    """A key's arrow 2 up, a mean query 3 to the right, E|q| 4, 90 degrees per token, newest position 4."""
    key, query, length = torch.tensor([[[0.0, 2.0]]]), torch.tensor([[3 + 0j]]), torch.tensor([[4.0]])
    return Case(key, query, length, QUARTER, position=4, offsets=list(offsets))


def random_case(seed: int, position: int = 9, bands: int = 4) -> Case:
    """5 rows of 2 KV heads, and 4 query heads; offsets 1, 2, 4 and 8."""
    generator = torch.Generator().manual_seed(seed)
    q_mean = torch.randn(4, bands, dtype=torch.complex128, generator=generator)
    spread = torch.rand(4, bands, dtype=torch.float64, generator=generator)
    keys = torch.randn(2, 5, 2 * bands, generator=generator)
    return Case(keys, q_mean, q_mean.abs() + spread, frequencies(bands), position, [1, 2, 4, 8])


# --- Slips -----------------------------------------------------------------------------------------------------------
SLIPS: dict[str, dict[str, Any]] = {
    "the offsets are missing: the query stands at position + offset.": {"add": False},
    "the key's arrow is not mirrored: without conj angles add up instead of being subtracted.": {"mirror": False},
    "the mean query is turned the wrong way; RoPE turns by plus omega x position.": {"direction": -1},
    "the norm term is missing: the spread E|q| - |E[q]| times the key's length.": {"norm": "none"},
    "the norm term has R in it instead of 1 - R: it is for what the mean does not say.": {"norm": "R"},
    "the norm term is (1 - R) |k|; E|q| is missing in it: (1 - R) E|q| |k|.": {"norm": "no length"},
    "the norm term takes E|q| whole; only what exceeds |E[q]| is spread.": {"norm": "whole"},
    "the norm term is there once, not once per offset.": {"norm": "per offset"},
    "the keys' arrows are made of neighbours; band f is x[f] with x[f + head_dim / 2].": {"neighbours": True},
    "query heads 0 and 1 share KV head 0, 2 and 3 share KV head 1: repeat_interleave, not repeat.": {"tiled": True},
    "those are sums over the offsets; take their mean.": {"reduce": "sum"},
    "that is the largest over the offsets; take their mean.": {"reduce": "max"},
    "1 / sqrt(head_dim) belongs to attention; this score has none.": {"scale": True},
    "those are lengths; of conj(k) q the real part counts.": {"part": "abs"},
}


def slipped(
    case: Case,
    add: bool = True,
    mirror: bool = True,
    direction: int = 1,
    norm: str = "spread",
    neighbours: bool = False,
    tiled: bool = False,
    reduce: str = "mean",
    scale: bool = False,
    part: str = "real",
) -> torch.Tensor:
    """The score with a slip in it, as ``SLIPS`` names them; without one, the score."""
    bands = (arrows_of_neighbours if neighbours else arrows_of)(case.keys.double())
    group_size = len(case.q_mean) // len(bands)
    keys = bands.repeat(group_size, 1, 1) if tiled else bands.repeat_interleave(group_size, 0)
    products = []
    for offset in case.offsets:
        phases = direction * case.omega * (case.position + offset * add)
        product = (keys.conj() if mirror else keys) * (case.q_mean * torch.exp(1j * phases))[:, None]
        products.append((product.abs() if part == "abs" else product.real).sum(-1))
    together = torch.stack(products)
    trigonometric = together.amax(0) if reduce == "max" else getattr(together, reduce)(0)
    scores = trigonometric + (_weights(case, norm)[:, None] * keys.abs()).sum(-1)
    return scores / math.sqrt(case.keys.shape[-1]) if scale else scores


def _weights(case: Case, norm: str) -> torch.Tensor:
    """What the norm term weighs the length of a key's arrow by, ``[n_heads, bands]``."""
    length, concentration = case.q_abs_mean, case.q_mean.abs() / case.q_abs_mean
    return {
        "spread": length - case.q_mean.abs(),
        "none": 0 * length,
        "R": concentration * length,
        "no length": 1 - concentration,
        "whole": length,
        "per offset": len(case.offsets) * (length - case.q_mean.abs()),
    }[norm]


def which_slip(found: torch.Tensor, case: Case, otherwise: str) -> str:
    """The line of the slip that gives what was found; ``otherwise`` if none does."""
    for message, slip in SLIPS.items():
        wrong = slipped(case, **slip)
        if not near(wrong, case.right) and near(found, wrong):
            return message
    return otherwise


# --- Arrows ----------------------------------------------------------------------------------------------------------
def frequencies(bands: int) -> torch.Tensor:
    """Omega as most models have it, radians per token."""
    return 10_000 ** (-torch.arange(bands, dtype=torch.float64) / bands)


def arrows_of(rows: torch.Tensor) -> torch.Tensor:
    """Complex ``[..., head_dim / 2]``: band f is ``x[f]`` with ``x[f + head_dim / 2]``."""
    half = rows.shape[-1] // 2
    return torch.complex(rows[..., :half], rows[..., half:])


def arrows_of_neighbours(rows: torch.Tensor) -> torch.Tensor:
    """The other layout: band f is ``x[2 f]`` with ``x[2 f + 1]``."""
    return torch.complex(rows[..., 0::2], rows[..., 1::2])


def turned_on(rows: torch.Tensor, omega: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """RoPE by its definition, with a cosine and a sine: ``[..., tokens, head_dim]``, float64."""
    right, up = rows.double().chunk(2, dim=-1)
    phases = positions.double()[:, None] * omega
    cos, sin = phases.cos(), phases.sin()
    return torch.cat([right * cos - up * sin, right * sin + up * cos], dim=-1)


def as_tensor(found: Any) -> torch.Tensor:
    """What was found, if it is a tensor.

    Raises:
        Complaint: if not.
    """
    need(found is not None, "it gives nothing back: is there a return?")
    need(isinstance(found, torch.Tensor), f"it gives back a tensor, not a {type(found).__name__}.")
    return found


def near(found: torch.Tensor, right: torch.Tensor, error: float = NEAR) -> bool:
    """Whether the shapes agree, and no number is further off than a share of the largest."""
    if found.shape != right.shape:
        return False
    return bool((found - right).abs().max() <= error * max(1e-9, right.abs().max().item()))


def complain_of(found: torch.Tensor, mistakes: dict[str, torch.Tensor], error: float = NEAR) -> None:
    """Complain if it is what a mistake gives; each line comes with what its mistake gives."""
    for message, wrong in mistakes.items():
        need(not near(found, wrong, error), message)

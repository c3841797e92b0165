"""What KV formats cost a real model: loss, distance to the exact answer, and next words that change, K and V apart.

``python -m helpers.experiments.kv_format_loss`` has SmolLM2 read windows of English, over a cache that gives back rows
as each format has kept them. Formats in groups are read a second time with rows that are turned first, as llama.cpp
does since April 2026 (its pull request 21038): multiplied by a Hadamard matrix, which spreads a few large numbers over
the whole row. There queries are turned as well, and attention's output is turned back; to turn the rows themselves
back when they are read gives attention the same numbers, and needs no more than a cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm
from transformers import DynamicCache

from helpers.cache.kv_formats import KV_FORMATS
from helpers.experiments.fidelity import round_trip
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.windows import windows
from helpers.models.loading import Loaded, load_smollm2

TEXT, COUNT, LENGTH = "english", 8, 512
EXACT = "fp32"
TURNED = ("q8_0", "q5_0", "q4_0", "nvfp4")  # what llama.cpp calls quantized: its rows are turned, others' are not
AT_ONCE = 64  # predictions whose distributions are compared in float64 at once


@dataclass(frozen=True)
class Storing:
    """How one run stores its rows: the other side stays exact.

    Attributes:
        side: ``k`` or ``v``.
        kv_format: of that side.
        turned: whether its rows are turned first.
    """

    side: str
    kv_format: str
    turned: bool = False

    def keep(self, rows: torch.Tensor) -> torch.Tensor:
        """Rows ``[batch, n_kv_heads, new, head_dim]`` as they are read back."""
        if not self.turned:
            return round_trip(rows, self.kv_format)
        turn = hadamard(rows.shape[-1])
        return round_trip(rows @ turn, self.kv_format) @ turn


STORINGS = tuple(
    Storing(side, name, turned)
    for side in ("k", "v")
    for name in KV_FORMATS
    if name != EXACT
    for turned in ((False, True) if name in TURNED else (False,))
)


class LossyCache(DynamicCache):
    """A cache that keeps what comes of each new row by being stored in a format, in the model's own numbers.

    A side of which ``storings`` say nothing stays exact.
    """

    def __init__(self, config: Any, *storings: Storing) -> None:
        super().__init__(config=config)
        self.storing = {storing.side: storing for storing in storings}

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the new rows; return all rows as they are read back."""
        if "k" in self.storing:
            key_states = self.storing["k"].keep(key_states)
        if "v" in self.storing:
            value_states = self.storing["v"].keep(value_states)
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)


def hadamard(size: int) -> torch.Tensor:
    """The Hadamard matrix of a power of 2 after Sylvester, its own inverse: every number is 1 or -1 over sqrt(size).

    Raises:
        ValueError: if ``size`` is no power of 2.
    """
    if size < 1 or size & (size - 1):
        raise ValueError(f"size is {size}; it must be a power of 2")
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / size**0.5


@torch.inference_mode()
def predict(loaded: Loaded, token_ids: torch.Tensor, storing: Storing) -> torch.Tensor:
    """Logits for the tokens of a window from the second on, read at once: ``[tokens - 1, vocabulary]``."""
    cache = LossyCache(loaded.model.config, storing)
    return loaded.model(token_ids[None], past_key_values=cache).logits[0, :-1]


def compare(logits: torch.Tensor, exact: torch.Tensor, gold: torch.Tensor) -> dict[str, float]:
    """Loss that is lost, KL divergence from the exact distribution (both in nats per token), and share left equal.

    Args:
        logits: of one run, ``[predictions, vocabulary]``.
        exact: log probabilities of the exact run, likewise, in float64.
        gold: the tokens that came, ``[predictions]``.
    """
    lost, divergence, equal = 0.0, 0.0, 0
    for some, true, came in zip(*(x.split(AT_ONCE) for x in (logits, exact, gold)), strict=True):
        further = true - some.double().log_softmax(-1)
        lost += further.gather(-1, came[:, None]).sum().item()
        divergence += torch.linalg.vecdot(true.exp(), further).sum().item()
        equal += (some.argmax(-1) == true.argmax(-1)).sum().item()
    return {"lost": lost / len(gold), "kl": divergence / len(gold), "equal": equal / len(gold)}


def measure_window(
    loaded: Loaded, token_ids: torch.Tensor, step: Callable[[], Any] = lambda: None
) -> tuple[float, list[dict[str, float]]]:
    """One window, ``[tokens]``: the exact loss, and what ``compare`` says of each of ``STORINGS``; steps at each."""
    gold, found = token_ids[1:], []
    exact = predict(loaded, token_ids, Storing("k", EXACT)).double().log_softmax(-1)
    for storing in STORINGS:
        found.append(compare(predict(loaded, token_ids, storing), exact, gold))
        step()
    return -exact.gather(-1, gold[:, None]).mean().item(), found


def _rounded(name: str, figure: float) -> float:
    """Three digits; of a loss, which may go either way, none behind the fifth decimal: there only rounding is left."""
    figure = float(f"{figure:.3g}")
    return round(figure, 5) if name == "lost" else figure


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("kv_format_loss", __doc__)
    options = parser.parse_args()
    loaded = load_smollm2()
    texts = windows(loaded, TEXT, COUNT, LENGTH)
    with tqdm(total=COUNT * len(STORINGS), desc="readings") as bar:
        found = [measure_window(loaded, window, bar.update) for window in texts]
    runs = []
    for i, storing in enumerate(STORINGS):
        lines = [of_window[i] for _, of_window in found]
        figures = {name: [_rounded(name, line[name]) for line in lines] for name in lines[0]}
        runs.append({"side": storing.side, "kv_format": storing.kv_format, "turned": storing.turned, **figures})
    facts = {"text": TEXT, "windows": COUNT, "tokens": LENGTH, "exact_loss": [round(loss, 3) for loss, _ in found]}
    finish(new_report(command_of(parser, options)) | facts | {"runs": runs}, options)


if __name__ == "__main__":
    main()

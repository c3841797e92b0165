"""Where a real model's attention goes: how much of it to the strongest rows of the past, and to which tokens.

``python -m helpers.experiments.attention_mass`` has SmolLM2 read windows of English, and adds up the softmax weights of
every head by what the rows are that get them. Each row of a grid is counted once: a row among the first is not counted
as near, a near one not as the same token.
"""

from __future__ import annotations

from typing import Any

import torch
from tqdm import tqdm
from transformers import DynamicCache

from helpers.cache.attention import attending
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.windows import windows
from helpers.models.loading import Loaded, load_smollm2
from helpers.records.attention_mass import NAMES, PLACES

TEXT, COUNT, LENGTH = "english", 10, 1024
FIRST_QUERY = 512  # queries before it have too short a past
FIRST, NEAR, TENTH, HANDFUL = 4, 16, 0.1, 5


class MassWatcher:
    """Adds up a window's weights, layer by layer, without keeping any grid.

    Args:
        token_ids: of the window, ``[tokens]``.
        first_query: the first of the queries that count.
    """

    needs_queries, needs_weights = False, True

    def __init__(self, token_ids: torch.Tensor, first_query: int) -> None:
        self.first_query = first_query
        self.places = places_of(token_ids)[:, first_query:]  # [places, queries, rows]
        self.found: dict[int, torch.Tensor] = {}  # per layer [n_heads, NAMES]

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        """Never called."""

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        """Weights ``[1, n_heads, tokens, tokens]``."""
        counted = weights[0, :, self.first_query :]
        by_place = torch.stack([(counted * place).sum(-1).mean(-1) for place in self.places], dim=-1)
        self.found[layer] = torch.cat([strongest(counted, self.first_query), by_place], dim=-1)


def strongest(weights: torch.Tensor, first_query: int) -> torch.Tensor:
    """Share of the weights in the rows that draw most: a tenth of those a query sees, and five. Mean over queries.

    Args:
        weights: ``[n_heads, queries, rows]``; query i sees ``first_query + i + 1`` rows, its own included.
        first_query: place of the first query.

    Returns:
        ``[n_heads, 2]``.
    """
    seen = torch.arange(first_query, weights.shape[-1]) + 1
    counts = (TENTH * seen).ceil().long()
    drawn = weights.topk(max(HANDFUL, int(counts.max())), dim=-1).values.cumsum(-1)
    tenth = drawn.gather(-1, counts.sub(1).expand(len(weights), -1)[..., None])[..., 0]
    return torch.stack([tenth.mean(-1), drawn[..., HANDFUL - 1].mean(-1)], dim=-1)


def places_of(token_ids: torch.Tensor) -> torch.Tensor:
    """What each row is to each query, by ``PLACES``: bool ``[places, queries, rows]``, one of them for a row seen.

    ``same`` is an earlier row of the query's own token, ``after_same`` the row right behind one.
    """
    rows = torch.arange(len(token_ids))
    behind = rows[:, None] - rows  # how far each row stands behind each query
    same = token_ids[:, None] == token_ids
    after_same = torch.nn.functional.pad(same, (1, 0))[:, :-1]
    kinds = [rows.expand(len(rows), -1) < FIRST, behind < NEAR, same, after_same, torch.ones_like(same)]
    left, places = behind >= 0, []
    for kind in kinds:
        places.append(left & kind)
        left = left & ~kind
    return torch.stack(places)


@torch.inference_mode()
def measure_window(loaded: Loaded, token_ids: torch.Tensor, first_query: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One window, ``[tokens]``: weights ``[n_layers, n_heads, NAMES]``, and the share of rows ``[places]``."""
    watcher = MassWatcher(token_ids, first_query)
    with attending(loaded.model, watcher):
        loaded.model(token_ids[None], past_key_values=DynamicCache(config=loaded.model.config), logits_to_keep=1)
    counts = watcher.places.sum(-1, dtype=torch.double)  # [places, queries]
    of_layers = [found for _, found in sorted(watcher.found.items())]
    return torch.stack(of_layers).double(), (counts / counts.sum(0)).mean(-1)


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("attention_mass", __doc__)
    options = parser.parse_args()
    loaded = load_smollm2()
    texts = windows(loaded, TEXT, COUNT, LENGTH)
    found = [measure_window(loaded, window, FIRST_QUERY) for window in tqdm(texts, desc="windows")]
    report: dict[str, Any] = {"text": TEXT, "windows": COUNT, "tokens": LENGTH, "first_query": FIRST_QUERY}
    by_head = torch.stack([weights for weights, _ in found]).mean(0)
    for i, name in enumerate(NAMES):
        report[name] = [[round(x, 3) for x in layer] for layer in by_head[..., i].tolist()]
    report["by_window"] = [
        {name: round(x, 4) for name, x in zip(NAMES, weights.mean((0, 1)).tolist(), strict=True)}
        for weights, _ in found
    ]
    shares = torch.stack([share for _, share in found]).mean(0).tolist()
    report["rows"] = [{name: round(x, 4) for name, x in zip(PLACES, shares, strict=True)}]
    finish(new_report(command_of(parser, options)) | report, options)


if __name__ == "__main__":
    main()

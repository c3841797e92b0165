"""A conversation recorded for the picture of the garage: ``python -m helpers.experiments.garage``.

SmolLM2 tells one of the stories of ``story_floors``. Recorded are its tokens, when it took which block, whom each token
attends to most, and in which order the rows would go at its end, by policy and mode. The blocks, bytes and tables after
each share come from a real pool (``helpers.eviction.parking``).
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import DynamicCache

from helpers.arithmetic.footprint import KVShape
from helpers.cache import PagedCache
from helpers.cache.attention import attending
from helpers.eviction import is_variant
from helpers.eviction.behind import Behind
from helpers.eviction.parking import Parking
from helpers.eviction.policy import Policy
from helpers.eviction.selection import SELECTIONS, group_scores, ranks
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.smollm2_sweep import BLOCK_SIZE, COMPETITORS, prepared
from helpers.experiments.smollm2_tasks import smollm2
from helpers.experiments.story_floors import PROMPTS, evict_at_the_end, tell
from helpers.records.garage import packed

PROMPT = PROMPTS[1]
RECORDED = [name for name in COMPETITORS if not is_variant(name)]
LAYERS = (0, 4, 9, 14, 17, 20, 23, 29)  # whose attention is recorded; 17, 20 and 23 have heads that copy
LINKS = 3
STOPS = tuple(per_cent / 100 for per_cent in range(0, 100, 5))
OF_SHARE = ("seen", "keep", "rows_evicted", "rows_in_all", "floors", "bytes_alive")  # whatever policy and mode are
OF_CHOICE = ("tables", "free", "layers_holding", "floors_closed", "bytes_held", "bytes_back")


class ScoreNoter(Behind):
    """Lets another policy decide, and notes its scores, per layer ``[1, n_heads or n_kv_heads, rows]``."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.noted: dict[int, torch.Tensor] = {}

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``."""
        self.noted[layer] = super().score(layer, keys, position)
        return self.noted[layer]


class LinkNoter(Policy):
    """Notes of each token the others that it attends to most, in ``LAYERS``; the token itself is none of them.

    Attributes:
        links: per layer uint8 ``[n_heads, tokens, LINKS, 2]``: token, and share in whole per cents.
    """

    needs_weights = True

    def __init__(self) -> None:
        self.links: dict[int, np.ndarray] = {}

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        """Weights ``[1, n_heads, tokens, tokens]`` of the whole text."""
        if layer in LAYERS:
            self.links[layer] = strongest(weights[0])


def strongest(weights: torch.Tensor) -> np.ndarray:
    """Of each query its ``LINKS`` strongest rows but its own, ``[n_heads, tokens, LINKS, 2]``: row, whole per cents.

    Args:
        weights: ``[n_heads, tokens, tokens]``, causal.
    """
    others = weights.float().tril(-1)
    shares, rows = others.topk(LINKS, dim=-1)
    return torch.stack([rows, shares.mul(100).round().long()], dim=-1).numpy().astype(np.uint8)


def ranks_at_the_end(story: torch.Tensor, policy: Policy) -> dict[str, np.ndarray]:
    """By mode, the order in which rows stay when a policy evicts at the end of a story.

    Rows at the end that the policy needs protected come first, the latest of all at rank 0; among the others, the
    candidates, a row is kept just where the compressor would keep it.

    Args:
        story: ``[1, tokens]``.
        policy: as the compressor gets it.

    Returns:
        ``[n_layers, n_kv_heads, tokens]``, 1 in place of layers or heads that choose together.
    """
    noter, recent = ScoreNoter(policy), policy.least_recent
    evict_at_the_end(story, noter, SELECTIONS[0])
    candidates, n_kv_heads = story.shape[1] - recent, smollm2().model.config.num_key_value_heads
    scores = torch.stack(
        [group_scores(noter.noted[i][..., :candidates].float(), n_kv_heads) for i in sorted(noter.noted)]
    )
    return {mode: with_protected(ranks(scores, mode)[:, 0].numpy(), recent) for mode in SELECTIONS}


def with_protected(of_candidates: np.ndarray, recent: int) -> np.ndarray:
    """Ranks of all rows, from those ``[..., candidates]`` of all but the last ``recent``, which go before them."""
    protected = np.broadcast_to(np.arange(recent)[::-1], (*of_candidates.shape[:-1], recent))
    return np.concatenate([of_candidates + recent, protected], axis=-1)


def told() -> tuple[torch.Tensor, list[tuple[int, str, int]]]:
    """The story ``[1, tokens]``, and ``(tokens read, "take", block)`` for each block that its run took."""
    events = []

    def look(cache: PagedCache) -> None:
        had = {block for *_, block in events}
        events.extend((cache.tokens_seen, "take", block) for block in cache.tables[0].blocks if block not in had)

    return tell(PROMPT, look), events


@torch.inference_mode()
def attention(story: torch.Tensor) -> dict[int, np.ndarray]:
    """The links of a story, as ``LinkNoter`` has them."""
    noter, model = LinkNoter(), smollm2().model
    with attending(model, noter):
        model(story, past_key_values=DynamicCache(config=model.config), logits_to_keep=1)
    return noter.links


def frames(parking: Parking) -> dict[str, list[dict[str, Any]]]:
    """What the pool says: per stop what follows from the share alone, all frames that differ, and which a cell has."""
    known: dict[str, int] = {}
    cells, stops = [], []
    for policy in parking.ranks:
        for mode in SELECTIONS:
            for compact in (False, True):
                choice = {"policy": policy, "mode": mode, "compact": compact}
                found = [parking.after(choice | {"share": share}) for share in STOPS]
                stops = [
                    {"share": share} | {name: frame[name] for name in OF_SHARE}
                    for share, frame in zip(STOPS, found, strict=True)
                ]
                texts = [json.dumps({name: frame[name] for name in OF_CHOICE}) for frame in found]
                cells.append(choice | {"frames": [known.setdefault(text, len(known)) for text in texts]})
    return {"stops": stops, "frames": [json.loads(text) for text in known], "cells": cells}


def record() -> dict[str, Any]:
    """All that is recorded."""
    loaded = smollm2()
    story, events = told()
    prompt_length = events[0][0]  # read at once, in the first step
    found = {name: prepared(name) for name in RECORDED}
    order = {name: ranks_at_the_end(story, policy) for name, policy in tqdm(found.items(), unit="policy")}
    shape = KVShape.from_config(loaded.model.config)
    parking = Parking(story.shape[1], prompt_length, order, shape, BLOCK_SIZE)
    return {
        "prompt": PROMPT,
        "tokens": [loaded.tokenizer.decode([token]) for token in story[0].tolist()],
        "prompt_length": prompt_length,
        "n_layers": shape.n_layers,
        "n_heads": loaded.model.config.num_attention_heads,
        "n_kv_heads": shape.n_kv_heads,
        "head_dim": shape.head_dim,
        "block_size": BLOCK_SIZE,
        "num_blocks": parking.num_blocks,
        "bytes_per_token": shape.bytes_per_token(),
        "events": events,
        "ranks_shape": {mode: order[RECORDED[0]][mode].shape[:2] for mode in SELECTIONS},
        "policies": [
            {
                "policy": name,
                "protect_recent": found[name].least_recent,
                "ranks": {mode: packed(of_mode) for mode, of_mode in of_policy.items()},
            }
            for name, of_policy in order.items()
        ],
        "attention": [{"layer": i, "links": packed(links)} for i, links in sorted(attention(story).items())],
        **frames(parking),
    }


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("garage", __doc__)
    options = parser.parse_args()
    finish(new_report(command_of(parser, options)) | record(), options)


if __name__ == "__main__":
    main()

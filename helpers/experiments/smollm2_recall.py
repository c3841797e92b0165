"""Why a policy recalls or does not, on SmolLM2: ``python -m helpers.experiments.smollm2_recall``.

Some heads copy: at a word that has stood in the text before, they look at the one that came after it then. Do these
heads, and these alone, decide whether a passage is recalled? Three measurements say it: how much each head copies; how
much of the passage each policy leaves it; and what changes where the passage is kept for the copying heads by force, or
dropped from them, with as many other heads for comparison.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from typing import Any

import torch
from tqdm import tqdm

from helpers.arithmetic.footprint import KVShape
from helpers.cache.attention import attending
from helpers.eviction import Compressor, Policy, TriAttention
from helpers.eviction.behind import Behind
from helpers.eviction.recorder import Recorder
from helpers.experiments.report import command_of, finish, new_parser, new_report
from helpers.experiments.smollm2_sweep import COMPETITORS, EVERY_HEAD, INTERVAL, RECENT, prepared, read_under
from helpers.experiments.smollm2_tasks import BETWEEN, CUE, PASSAGE, Task, calibration_text, english, recall, smollm2

SHARE = 0.25  # rows kept, of each text
CHOSEN = 9  # KV heads of 90: the tenth that copies most
LAST = 32  # queries at the end of the English windows, whose attention is held against what was kept
TEXTS_AT_ONCE = 2  # a grid of weights is large

Head = tuple[int, int]  # layer and KV head


class Favouring(Behind):
    """Lets another policy decide, but in some heads keeps the first tokens above all, or drops them before all others.

    Args:
        policy: the one that decides otherwise.
        heads: layers and KV heads.
        first: tokens at the beginning of each text.
        keep: True to keep them, False to drop them.
    """

    def __init__(self, policy: Policy, heads: Collection[Head], first: int, keep: bool) -> None:
        super().__init__(policy)
        self.heads, self.first, self.keep = heads, first, keep

    def begin(self, shape: KVShape, prompt_length: int, token_index: Callable[[int], torch.Tensor]) -> None:
        """See ``Policy.begin``."""
        self._token_index = token_index
        super().begin(shape, prompt_length, token_index)

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``. The rows in question lie above or below all others, in their own order."""
        scores = super().score(layer, keys, position).clone()  # which may be the policy's own books
        scores = scores.unflatten(1, (keys.shape[1], -1))  # a KV head's group together
        early = self._token_index(layer) < self.first  # [batch, n_kv_heads, rows]
        reach = (scores.amax(-1) - scores.amin(-1)).clamp_min(1)[..., None] * (1 if self.keep else -1)
        for _, head in (each for each in self.heads if each[0] == layer):
            scores[:, head] += 10 * reach[:, head] * early[:, head, None]
        return scores.flatten(1, 2)


class _Watcher:
    """Hands each layer's weights on as they come, and forgets them."""

    needs_queries, needs_weights = False, True

    def __init__(self, take: Callable[[int, torch.Tensor], None]) -> None:
        self.take = take

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        """Never called."""

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        """Weights ``[batch, n_heads, tokens, tokens]``."""
        self.take(layer, weights)


def watch(token_ids: torch.Tensor, take: Callable[[int, torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """What ``take`` makes of each layer's attention weights over whole texts: ``[n_layers, texts, ...]``."""
    parts = []
    for some in token_ids.split(TEXTS_AT_ONCE):
        found: dict[int, torch.Tensor] = {}
        watcher = _Watcher(lambda layer, weights, found=found: found.__setitem__(layer, take(layer, weights)))
        with torch.inference_mode(), attending(smollm2().model, watcher):
            smollm2().model(some, use_cache=False, logits_to_keep=1)
        parts.append(torch.stack([found[layer] for layer in sorted(found)]))
    return torch.cat(parts, dim=1)


def copying(task: Task) -> torch.Tensor:
    """Attention that each head gives, in the repeated passage, to what followed the same word: ``[layers, heads]``."""
    here = torch.arange(PASSAGE + BETWEEN + CUE, PASSAGE + BETWEEN + PASSAGE - 1)
    then = here - PASSAGE - BETWEEN + 1
    return watch(task.token_ids, lambda _, weights: weights[:, :, here, then].mean(-1)).mean(1)


def strongest(by_head: torch.Tensor) -> list[Head]:
    """The ``CHOSEN`` KV heads of which one query head copies most, the strongest first."""
    by_kv_head = _of_groups(by_head)
    places = by_kv_head.flatten().argsort(descending=True)[:CHOSEN].tolist()
    return [divmod(place, by_kv_head.shape[1]) for place in places]


def others(chosen: Collection[Head], seed: int) -> list[Head]:
    """As many KV heads that are not among the chosen, drawn by lot."""
    shape = smollm2().shape
    rest = [(layer, head) for layer in range(shape.n_layers) for head in range(shape.n_kv_heads)]
    return random.Random(seed).sample([head for head in rest if head not in chosen], len(chosen))


def read_with_quarter(policy: Policy, task: Task) -> list[float]:
    """Read the texts with a quarter of the rows; per text the mean loss of what counts, in nats per token."""
    budget = round(SHARE * task.token_ids.shape[1])
    return read_under(Compressor(policy, budget, INTERVAL, EVERY_HEAD, True, False, RECENT), task)[0]


def passage_left(recorder: Recorder) -> torch.Tensor:
    """Share of the passage that each KV head has left just before it comes again: ``[n_layers, n_kv_heads]``."""
    last = max(position for position in recorder.left if position < PASSAGE + BETWEEN)
    left = recorder.left[last]
    return torch.stack([(left[layer] < PASSAGE).sum(-1).float().mean(0) / PASSAGE for layer in sorted(left)])


def left_to(heads: Collection[Head], left: torch.Tensor) -> float:
    """The mean over some heads of what ``passage_left`` says."""
    return round(torch.stack([left[head] for head in heads]).mean().item(), 3)


def mass_kept(recorder: Recorder, weights: torch.Tensor) -> float:
    """Share of attention, without eviction, that falls on the rows which a policy keeps; a mean over all heads.

    Args:
        recorder: after a run over the English windows.
        weights: of their last queries over all rows, ``[n_layers, texts, n_heads, queries, rows]``.
    """
    first = weights.shape[-1] - weights.shape[-2]  # position of the first of these queries
    last = max(position for position in recorder.left if position < first)
    shares = []
    for layer, tokens in sorted(recorder.left[last].items()):
        per_head = tokens.repeat_interleave(weights.shape[2] // tokens.shape[1], dim=1)
        index = per_head[:, :, None].expand(-1, -1, weights.shape[-2], -1)
        new = weights[layer][..., last + 1 :].sum(-1)  # rows that came after the compression are all there
        shares.append((weights[layer].gather(-1, index).sum(-1) + new).mean())
    return torch.stack(shares).mean().item()


def last_weights(task: Task) -> torch.Tensor:
    """Attention weights of the last queries of each text, ``[n_layers, texts, n_heads, LAST, length]``."""
    return watch(task.token_ids, lambda _, weights: weights[:, :, -LAST:].clone())


def of_policies(chosen: list[Head]) -> list[dict[str, Any]]:
    """What each policy leaves of the passage, to the copying heads and to all; what of the attention it keeps."""
    weights, found = last_weights(english()), []
    for name in tqdm(COMPETITORS, unit="policy"):
        on_recall, on_english = (Recorder(prepared(name)) for _ in range(2))
        losses = read_with_quarter(on_recall, recall())
        left = passage_left(on_recall)
        read_with_quarter(on_english, english())
        found.append(
            {
                "policy": name,
                "losses": losses,
                "left_to_copying_heads": left_to(chosen, left),
                "left_to_all_heads": round(left.mean().item(), 3),
                "left": [[round(x, 2) for x in layer] for layer in left.tolist()],
                "mass_kept": round(mass_kept(on_english, weights), 3),
            }
        )
    return found


def interventions(chosen: list[Head]) -> list[dict[str, Any]]:
    """The passage kept by force under TriAttention, and dropped by force under H2O: copying heads, and others."""
    sets = [("the copying heads", chosen), *((f"others, lot {seed}", others(chosen, seed)) for seed in (0, 1))]
    runs = [(name, keep, *which) for name, keep in (("TriAttention", True), ("H2O", False)) for which in sets]
    found = []
    for name, keep, label, heads in tqdm(runs, unit="run"):
        recorder = Recorder(Favouring(prepared(name), heads, PASSAGE, keep))
        losses = read_with_quarter(recorder, recall())
        left = left_to(chosen, passage_left(recorder))
        found.append({"policy": name, "keep": keep, "heads": label, "losses": losses, "left_to_copying_heads": left})
    return found


def _of_groups(by_head: torch.Tensor) -> torch.Tensor:
    """Per KV head the most of its query heads: ``[n_layers, n_kv_heads]`` of ``[n_layers, n_heads]``."""
    return by_head.unflatten(1, (smollm2().shape.n_kv_heads, -1)).amax(-1)


def concentration(chosen: list[Head]) -> dict[str, float]:
    """R over the two strongest bands and over all, of the copying KV heads' query heads and of all other heads."""
    policy, n_kv_heads = TriAttention.calibrate(smollm2().model, calibration_text()), smollm2().shape.n_kv_heads
    is_chosen = torch.zeros(smollm2().shape.n_layers, n_kv_heads, dtype=torch.bool)
    for head in chosen:
        is_chosen[head] = True
    found = {}
    for name, of_heads in (("top 2", policy.head_concentration()), ("all", policy.concentration.mean(-1))):
        of_kv_heads = of_heads.unflatten(1, (n_kv_heads, -1)).mean(-1)
        for who, which in (("copying", is_chosen), ("others", ~is_chosen)):
            found[f"{name} bands, {who}"] = round(of_kv_heads[which].mean().item(), 3)
    return found


def main() -> None:
    """Run from the command line and save."""
    parser = new_parser("smollm2_recall", __doc__)
    options = parser.parse_args()
    by_head = copying(recall())
    chosen = strongest(by_head)
    measured = {
        "share": SHARE,
        "copying": [[round(x, 3) for x in layer] for layer in by_head.tolist()],
        "copying_heads": chosen,
        "concentration": concentration(chosen),
        "policies": of_policies(chosen),
        "interventions": interventions(chosen),
    }
    finish(new_report(command_of(parser, options)) | measured, options)


if __name__ == "__main__":
    main()

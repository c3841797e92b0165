"""A text read once, with what its words ask and see: queries and attention weights of every layer, and the cache."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import DynamicCache

from helpers.cache.attention import attending
from helpers.models.loading import Loaded


@dataclass(frozen=True)
class Reading:
    """What one pass over a text leaves, and what is used in it and forgotten.

    Attributes:
        ids: of the tokens, ``[1, tokens]``.
        words: the text of each token.
        cache: keys and values; what stays.
        queries: per layer what the newest token asks, ``[n_heads, head_dim]``, rotated.
        weights: per layer the attention weights, ``[n_heads, tokens, tokens]``: who asks, and whom it looks at.
        scaling: factor of the products of queries and keys.
    """

    ids: torch.Tensor
    words: tuple[str, ...]
    cache: DynamicCache
    queries: tuple[torch.Tensor, ...]
    weights: tuple[torch.Tensor, ...]
    scaling: float

    def group(self, layer: int, kv_head: int) -> torch.Tensor:
        """Where the query heads that read a KV head look from the newest token: ``[group_size, tokens]``."""
        newest = self.weights[layer][:, -1]
        return newest.unflatten(0, (self.cache.layers[layer].keys.shape[1], -1))[kv_head]

    def plainest(self) -> tuple[int, int]:
        """Layer and KV head of the group whose heads prefer different words, each as plainly as anywhere.

        The first word does not count, for there a head looks that finds nothing; nor does what is shorter than three
        letters. In a model without such a group it is one whose heads prefer anything plainly.
        """
        places = [
            (layer, kv_head)
            for layer in range(len(self.weights))
            for kv_head in range(self.cache.layers[layer].keys.shape[1])
        ]
        return max(places, key=self._plainness)

    def _plainness(self, place: tuple[int, int]) -> tuple[bool, float]:
        best = self.group(*place)[:, 1:].max(-1)
        words = {self.words[i + 1].strip() for i in best.indices.tolist()}
        differ = len(words) == len(best.indices) and all(word.isalpha() and len(word) > 2 for word in words)
        return differ, best.values.min().item()


class _Listener:
    needs_queries, needs_weights = True, True

    def __init__(self) -> None:
        self.queries: dict[int, torch.Tensor] = {}
        self.weights: dict[int, torch.Tensor] = {}
        self.scaling = 1.0

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        self.queries[layer], self.scaling = queries[0, :, -1], scaling

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        self.weights[layer] = weights[0]


@torch.inference_mode()
def look_back(loaded: Loaded, text: str) -> Reading:
    """Let a model read a text at once, and note where each of its words looks.

    Args:
        loaded: any model that the course's attention computes.
        text: two tokens or more; the weights take ``4 * n_layers * n_heads * tokens ** 2`` bytes.

    Raises:
        ValueError: if the text is shorter, or the model's attention is of another kind.
    """
    ids = loaded.tokenizer(text, return_tensors="pt").input_ids.to(loaded.model.device)
    if ids.shape[1] < 2:
        raise ValueError(f"text is {text!r}; it must have two tokens or more")
    listener, cache = _Listener(), DynamicCache(config=loaded.model.config)
    with attending(loaded.model, listener):
        loaded.model(ids, past_key_values=cache, logits_to_keep=1)
    words = tuple(loaded.tokenizer.decode([token]) for token in ids[0].tolist())
    of_layers = [tuple(seen[layer] for layer in sorted(seen)) for seen in (listener.queries, listener.weights)]
    return Reading(ids, words, cache, *of_layers, listener.scaling)

"""A plan for one machine: what has to fit, whether it fits, how fast it can be at best, and the verdict in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from helpers.arithmetic.agents import bytes_of_agents
from helpers.arithmetic.catalog import Card, GiB, Model, find_card, find_model
from helpers.arithmetic.fields import Fields, read_fields
from helpers.arithmetic.footprint import KVShape, MemoryBudget, decode_ceiling, format_bytes, weights_bytes

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")  # how families name their number of experts
OF_EXPERTS = re.compile(r"(^|_)(num|n)_.*expert|^moe_(k|topk|top_k)$")  # names of such numbers, known here or not
STEPS = 64  # slices of a sum over tokens; time per token is nearly straight within each


@dataclass(frozen=True)
class Plan:
    """What is to run, and on what; names are those of the catalog.

    Attributes:
        model: the model, by its name or, where the catalog has none, described as there.
        weight_format: how its weights are stored.
        card: the card or machine.
        kv_format: how K and V rows are stored.
        context: tokens of each sequence when it is full.
        sequences: sequences at the same time.
        shared_prefix: tokens at the start that all sequences have in common and keep once; capped by the context.
        second_model: a helper beside it, in Q4_K_M, with one sequence of the same context; None for none.
        overhead: bytes for everything else.
        wanted: tokens per second and sequence below which it is of no use.
        kept: tokens at most in each sequence's cache, the rest being evicted and their blocks given back; None for all.

    Raises:
        ValueError: if tokens are to be evicted from a model that does not keep every token in every layer.
    """

    model: str | Model
    weight_format: str
    card: str
    kv_format: str = "fp16"
    context: int = 131_072
    sequences: int = 1
    shared_prefix: int = 0
    second_model: str | None = None
    overhead: float = 0.75 * GiB
    wanted: float = 5.0
    kept: int | None = None

    def __post_init__(self) -> None:
        if self.kept is not None and {layer.kind for layer in self.shape.layers} != {"full"}:
            raise ValueError(f"kept is {self.kept:,}; {self.entry.name} has layers that do not keep every token anyway")

    @property
    def entry(self) -> Model:
        """The model as the catalog describes it."""
        return self.model if isinstance(self.model, Model) else find_model(self.model)

    @cached_property
    def shape(self) -> KVShape:
        """The shape of the model's cache."""
        return KVShape.from_config(self.entry.config)

    @property
    def machine(self) -> Card:
        """The card's data sheet."""
        return find_card(self.card)

    @cached_property
    def weights(self) -> float:
        """Bytes of the model's weights."""
        return weights_bytes(self.entry.n_params, self.weight_format)

    @cached_property
    def cache(self) -> int:
        """Bytes of all sequences' caches, a shared prefix once."""
        return self._cache_of(self.sequences)

    @cached_property
    def shared_cache(self) -> int:
        """Bytes of the rows that all sequences have in common, a part of ``cache``; 0 for a single sequence."""
        if self.sequences == 1:
            return 0
        return 2 * self._cache_of(1) - self._cache_of(2)

    @cached_property
    def second(self) -> float:
        """Bytes of the second model and its cache."""
        if self.second_model is None:
            return 0.0
        helper = find_model(self.second_model)
        shape = KVShape.from_config(helper.config)
        cache = shape.bytes(self.context, kv_format=self.kv_format) + shape.fixed_bytes
        return weights_bytes(helper.n_params, "q4_k_m") + cache

    @property
    def budget(self) -> MemoryBudget:
        """The three terms; the second model counts as weights, and the cache is what a sequence costs on average."""
        return MemoryBudget(self.overhead, self.weights + self.second, self.cache / self.sequences, self.sequences)

    @property
    def spare(self) -> float:
        """Bytes that stay free of what the driver shows; negative if it does not fit."""
        return self.machine.driver_memory - self.budget.total

    @property
    def fits(self) -> bool:
        """True if everything fits, once the GPU of a unified machine has been told that it may use more."""
        return self.spare >= 0

    @property
    def fits_untold(self) -> bool:
        """True if everything fits into what the GPU may use before anybody tells it more."""
        return self.budget.total <= self.machine.default_memory

    def speed(self, tokens: int) -> float:
        """At most so many tokens per second for each sequence, when each holds ``tokens`` tokens.

        Every step reads the weights in use once for all sequences, and each sequence's whole cache: sharing a prefix
        saves memory, not reading.
        """
        read = weights_read(self.entry, self.sequences) / self.entry.n_params * self.weights
        rows = self._alive(tokens)
        kv_bytes = self.shape.bytes(rows, self.sequences, self.kv_format) + self.sequences * self.shape.fixed_bytes
        return decode_ceiling(self.machine.bandwidth, read, kv_bytes)

    def seconds(self, n_tokens: int, start: int = 0) -> float:
        """At least so many seconds for a sequence to decode ``n_tokens`` more, from ``start`` tokens on."""
        return sum_over_tokens(lambda tokens: 1 / self.speed(tokens), n_tokens, start)

    def _alive(self, tokens: int) -> int:
        return tokens if self.kept is None else min(tokens, self.kept)

    def _cache_of(self, sequences: int) -> int:
        tokens = self._alive(self.context)
        return bytes_of_agents(self.shape, tokens, sequences, min(self.shared_prefix, tokens), self.kv_format)

    @property
    def usable(self) -> bool:
        """True if a full context still decodes at the wanted speed."""
        return self.speed(self.context) >= self.wanted

    @property
    def verdict(self) -> str:
        """Fits or not, usable or not, in one sentence."""
        if not self.fits:
            return f"It does not fit: {format_bytes(-self.spare)} too much"
        speed = f"at most {self.speed(self.context):,.1f} tokens/s in each sequence at full context"
        word = "is usable" if self.usable else "is not usable"
        told = "" if self.fits_untold else ", once the GPU has been told that it may use more than it may by default"
        return f"It fits{told}, with {format_bytes(self.spare)} to spare, and {word}: {speed}"


def weights_read(model: Model, sequences: int = 1) -> int:
    """Parameters read to decode one token of each sequence: all, but for experts that no sequence chooses.

    In a mixture of experts each token chooses a few per layer; several sequences may all choose different ones.

    Raises:
        ValueError: if the config names the experts or their sizes in a way that is not known here, or not all of its
            layers can have them.
    """
    fields = read_fields(model.config)
    n_experts = next((n for n in EXPERTS if fields.get(n)), None)
    if n_experts is None:
        _require_dense(fields)
        return model.n_params
    idle = max(0, fields.count(n_experts) - sequences * fields.count("num_experts_per_tok", "num_experts_per_token"))
    width = fields.count("moe_intermediate_size" if fields.get("moe_intermediate_size") else "intermediate_size")
    one_expert = 3 * fields.count("hidden_size") * width
    layers = fields.count("num_hidden_layers") - (fields.get("first_k_dense_replace") or 0)
    read = model.n_params - layers * idle * one_expert
    if read <= 0:
        raise fields.refusal("it has experts in some of its layers alone, which ones is not known here", [n_experts])
    return read


def _require_dense(fields: Fields) -> None:
    """Raise if a field tells of experts that nobody counted: all their weights are not read for a token."""
    nested = [value for value in fields.values.values() if isinstance(value, dict)]
    unclear = [
        name
        for values in (fields.values, *nested)
        for name, value in values.items()
        if OF_EXPERTS.search(name) and (isinstance(value, list) or isinstance(value, int) and value > 1)
    ]
    if unclear:
        raise fields.refusal(f"its experts have names that are not known here, {', '.join(unclear)}")


def sum_over_tokens(function: Callable[[int], float], n_tokens: int, start: int = 0) -> float:
    """The sum of ``function(tokens)`` over ``start``, ..., ``start + n_tokens - 1``, by the middles of equal slices."""
    slices = min(STEPS, n_tokens)
    return sum(n_tokens / slices * function(round(start + (i + 0.5) * n_tokens / slices - 0.5)) for i in range(slices))


def spilled_speed(
    weights: float, kv_bytes: float, room: float, card_bandwidth: float, system_bandwidth: float
) -> float:
    """Tokens per second at best when what does not fit into ``room`` bytes of the card is read from main memory.

    Args:
        weights: bytes of weights read per token.
        kv_bytes: bytes of cache read per token.
        room: bytes of the card for both.
        card_bandwidth: bytes per second of the card's memory.
        system_bandwidth: bytes per second of main memory.
    """
    total = weights + kv_bytes
    on_card = min(total, room)
    return 1 / (on_card / card_bandwidth + (total - on_card) / system_bandwidth)

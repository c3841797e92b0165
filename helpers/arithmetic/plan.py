"""A plan for one machine: what has to fit, whether it fits, how fast it can be at best, and the verdict in words.

Nobody knows beforehand what an engine takes beside weights and cache. So the overhead is a band, and every answer that
depends on it is one too: from the case with the most of it to that with the least.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from helpers.arithmetic.agents import bytes_of_agents
from helpers.arithmetic.catalog import Card, GiB, Model, find_card, find_model
from helpers.arithmetic.drafting import predicting_shape, tokens_per_pass
from helpers.arithmetic.experts import weights_read
from helpers.arithmetic.footprint import (
    KVShape,
    MemoryBudget,
    decode_ceiling,
    format_band,
    format_bytes,
    max_tokens,
    weights_bytes,
)
from helpers.arithmetic.reading import cache_read

STEPS = 64  # slices of a sum over tokens; time per token is nearly straight within each
# What calculators on the web put there (0.5 to 1.5 GB, one says 0.2); no primary source measured it. What was measured
# stands beside it on a plan's page.
OVERHEAD = (0.5 * GiB, 1.5 * GiB)
FITS, PERHAPS, TOO_LARGE = "fits", "fits only if the overhead is small", "does not fit"


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
        second_model: a helper beside it, in Q4_K_M, with one sequence of the same context; None for none. With
            ``draft_tokens`` it drafts, and has a sequence for each.
        overhead: bytes for everything else: from the least to the most, or one number.
        wanted: tokens per second and sequence below which it is of no use.
        kept: tokens at most in each sequence's cache, the rest being evicted and their blocks given back; None for all.
        draft_tokens: tokens that are guessed for each pass: by the second model, or without one by the model's own
            layers for it, or by looking them up in the text.
        acceptance: the share of guesses that is accepted, from 0 to 1.

    Raises:
        ValueError: if tokens are to be evicted from a model that does not keep every token in every layer, or the
            overhead or the drafts are out of range.
    """

    model: str | Model
    weight_format: str
    card: str
    kv_format: str = "fp16"
    context: int = 131_072
    sequences: int = 1
    shared_prefix: int = 0
    second_model: str | None = None
    overhead: float | tuple[float, float] = OVERHEAD
    wanted: float = 5.0
    kept: int | None = None
    draft_tokens: int = 0
    acceptance: float = 0.7

    def __post_init__(self) -> None:
        band = self.overhead if isinstance(self.overhead, tuple) else (self.overhead, self.overhead)
        if len(band) != 2 or not 0 <= band[0] <= band[1]:
            raise ValueError(f"overhead is {self.overhead!r}; it must be bytes, or a pair (least, most) of 0 or more")
        object.__setattr__(self, "overhead", band)
        tokens_per_pass(self.draft_tokens, self.acceptance)  # refuses what is out of range
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

    @cached_property
    def predicting(self) -> KVShape | None:
        """What the model's own layers for drafts keep, or None if they do not draft."""
        drafts_itself = self.draft_tokens and self.second_model is None
        return predicting_shape(self.entry.config) if drafts_itself else None

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
        """Bytes of all sequences' caches, a shared prefix once.

        With drafts the rows of the layers that make them, and a recurrent state more for each drafted token: a wrong
        one is undone by going back to the state before it. (Both as llama.cpp logs them.)
        """
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
        sequences = self.sequences if self.draft_tokens else 1
        cache = shape.bytes(self.context, sequences, self.kv_format) + sequences * shape.fixed_bytes
        return weights_bytes(helper.n_params, "q4_k_m") + cache

    @property
    def budgets(self) -> tuple[MemoryBudget, MemoryBudget]:
        """The three terms, with the least overhead and with the most.

        The second model counts as weights, and the cache is what a sequence costs on average.
        """
        least, most = (
            MemoryBudget(size, self.weights + self.second, self.cache / self.sequences, self.sequences)
            for size in self.overhead
        )
        return least, most

    @property
    def spare(self) -> tuple[float, float]:
        """Bytes free of what the driver shows, with the most overhead and the least; negative if it does not fit."""
        least, most = self.budgets
        memory = self.machine.driver_memory
        return memory - most.total, memory - least.total

    @property
    def fit(self) -> str:
        """``FITS``, ``PERHAPS`` or ``TOO_LARGE``, once a unified machine's GPU has been told that it may use more."""
        return FITS if self.spare[0] >= 0 else PERHAPS if self.spare[1] >= 0 else TOO_LARGE

    @property
    def fits_untold(self) -> bool:
        """True if everything fits into what the GPU may use before anybody tells it more, with the most overhead."""
        return self.budgets[1].total <= self.machine.default_memory

    @property
    def room(self) -> tuple[float, float]:
        """Tokens of each sequence that fit beside the rest, with the most overhead and with the least.

        A shared prefix, tokens to be evicted and drafts are left out: so many that each keeps for itself.
        """
        free = [self.machine.driver_memory - budget.overhead - budget.weights for budget in self.budgets]
        least, most = (max_tokens(size, self.shape, self.sequences, self.kv_format) for size in reversed(free))
        return least, most

    def speed(self, tokens: int, *, cascade: bool = False, same_experts: bool = False) -> float:
        """At most so many tokens per second for each sequence, when each holds ``tokens`` tokens.

        A pass reads the weights in use once for all sequences, and of each sequence's cache what attention reads of it:
        sharing a prefix saves memory, not reading, unless the kernel is made for it.

        Args:
            tokens: of each sequence.
            cascade: whether the rows of a shared prefix are read once for all sequences.
            same_experts: whether all tokens of a pass choose the same experts; all different ones if not, as far as
                there are so many. What happens lies between.
        """
        checked = self.draft_tokens + 1  # tokens of a sequence that a pass reads
        in_use = weights_read(self.entry, 1 if same_experts else self.sequences * checked)
        read = in_use / self.entry.n_params * self.weights + self._drafts_read(tokens)
        rows = self._alive(tokens)
        once = min(self.shared_prefix, rows) if cascade else 0
        kv_bytes = cache_read(self.shape, rows, self.sequences, self.kv_format, read_once=once)
        passes = decode_ceiling(self.machine.bandwidth, read, kv_bytes)
        return passes * tokens_per_pass(self.draft_tokens, self.acceptance)

    def _drafts_read(self, tokens: int) -> float:
        """Bytes read to draft: a second model's for each token, or the rows of the layers that predict."""
        if self.draft_tokens and self.second_model is not None:
            drafter = replace(self, model=self.second_model, weight_format="q4_k_m", second_model=None, draft_tokens=0)
            return self.draft_tokens * self.machine.bandwidth / drafter.speed(tokens)
        if self.predicting is None:
            return 0.0
        return self.draft_tokens * cache_read(self.predicting, self._alive(tokens), self.sequences, self.kv_format)

    def seconds(self, n_tokens: int, start: int = 0) -> float:
        """At least so many seconds for a sequence to decode ``n_tokens`` more, from ``start`` tokens on."""
        return sum_over_tokens(lambda tokens: 1 / self.speed(tokens), n_tokens, start)

    def _alive(self, tokens: int) -> int:
        return tokens if self.kept is None else min(tokens, self.kept)

    def _cache_of(self, sequences: int) -> int:
        tokens = self._alive(self.context)
        rows = tokens, sequences, min(self.shared_prefix, tokens), self.kv_format
        drafts = 0 if self.predicting is None else bytes_of_agents(self.predicting, *rows)
        return bytes_of_agents(self.shape, *rows) + drafts + sequences * self.draft_tokens * self.shape.fixed_bytes

    @property
    def usable(self) -> bool:
        """True if a full context still decodes at the wanted speed."""
        return self.speed(self.context) >= self.wanted

    @property
    def verdict(self) -> str:
        """Fits or not, usable or not, in one sentence."""
        least, most = self.spare
        if self.fit == TOO_LARGE:
            return f"It does not fit: {format_band(-most, -least)} too much"
        speed = f"at most {self.speed(self.context):,.1f} tokens/s in each sequence at full context"
        word = f"is usable: {speed}" if self.usable else f"is not usable: {speed}"
        held_back = self.machine.default_memory < self.machine.driver_memory and not self.fits_untold
        told = ", once the GPU has been told that it may use more than it may by default" if held_back else ""
        if self.fit == PERHAPS:
            small, large = map(format_bytes, self.overhead)
            return (
                f"It fits only if the overhead is small{told}, with {format_bytes(most)} to spare at {small} of it and "
                f"{format_bytes(-least)} too much at {large}, and {word}"
            )
        return f"It fits{told}, with {format_band(least, most)} to spare, and {word}"


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

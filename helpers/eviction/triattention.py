"""TriAttention (arXiv 2604.04921): scores a key by the queries that are still to come, without any attention weight.

Before RoPE turns them, a head's queries sit close together, at every position and in every text. Their mean is
therefore known before the run. RoPE turns band f of a vector by ``omega_f`` radians per position, so the mean query of
any later position is known too, and a cached key, turned already, only has to be multiplied with it:

    trigonometric term   sum_f Re( conj(k_f) E[q_f] e^(i omega_f (position + offset)) ),   averaged over the offsets
    norm term            sum_f ( E|q_f| - |E[q_f]| ) |k_f|,   what the queries' spread may add

The key's own position is in neither: it is in the key. And since a mean of products with one key is the product with
the mean, all offsets cost no more than one: the average query of the future is made first.

Vectors are read as complex numbers, ``x[f] + i x[f + head_dim / 2]`` for band f, the layout that ``rotate_half`` turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Self

import torch

from helpers.arithmetic.footprint import KVShape, require_count
from helpers.cache.attention import attending
from helpers.cache.row_store import sequences_at_once
from helpers.eviction.policy import Policy, Subject

AGGREGATIONS = ("mean", "max")
LEAST_TOKENS = 128  # the mean of so few unrelated unit vectors is still 0.08 long, where it should be 0
# For the proof that queries turn as the model's frequencies say: tokens, how far on they are read again, and the error
# allowed. Correct models err by 0.003 in bfloat16; the nearest wrong ones by 0.17 and more.
PROBE_TOKENS, SHIFT, TOLERANCE = 16, 100, 0.02
MOVING_FREQUENCIES = ("dynamic", "longrope")  # kinds of RoPE whose frequencies depend on the length of the text


def score(
    rotated_keys: torch.Tensor,
    q_mean: torch.Tensor,
    q_abs_mean: torch.Tensor,
    omega: torch.Tensor,
    position: int,
    offsets: Sequence[int],
    aggregation: str = "mean",
) -> torch.Tensor:
    """The score of every key for every query head: trigonometric and norm term, before any grouping.

    Args:
        rotated_keys: ``[n_kv_heads, n_tokens, head_dim]``, as cached; dimensions may stand before, such as a batch.
        q_mean: E[q], complex ``[n_heads, head_dim / 2]``, of queries turned back to position 0.
        q_abs_mean: E|q|, ``[n_heads, head_dim / 2]``.
        omega: radians per position, ``[head_dim / 2]``; 0 for a band that does not turn.
        position: of the last token read.
        offsets: how far ahead of it the future queries stand.
        aggregation: ``mean`` over the offsets, or ``max``.

    Returns:
        ``[n_heads, n_tokens]``, with the leading dimensions of the keys; no softmax, no 1 / sqrt(head_dim).

    Raises:
        ValueError: if ``offsets`` is empty or ``aggregation`` unknown.
    """
    if aggregation not in AGGREGATIONS:
        raise ValueError(f"aggregation is {aggregation!r}; it may be {' or '.join(AGGREGATIONS)}")
    if not len(offsets):
        raise ValueError("offsets is empty; name one or more")
    keys = rotated_keys.to(torch.promote_types(rotated_keys.dtype, torch.float32))  # squares overflow in float16
    queries = future_queries(q_mean, omega, position, offsets)  # [n_offsets, n_heads, head_dim / 2]
    if aggregation == "mean":
        queries = queries.mean(0, keepdim=True)
    as_real = torch.cat([queries.real, queries.imag], dim=-1)
    trigonometric = _dot(as_real, keys).amax(-3)
    first, second = keys.chunk(2, dim=-1)
    bands = (first.square() + second.square()).sqrt()  # |k_f|; ten times quicker here than hypot
    spread = q_abs_mean - q_mean.abs()
    return trigonometric + _dot(spread[None], bands).squeeze(-3)


def future_queries(q_mean: torch.Tensor, omega: torch.Tensor, position: int, offsets: Sequence[int]) -> torch.Tensor:
    """The mean query as it will be turned at ``position + offset``: complex ``[n_offsets, n_heads, head_dim / 2]``.

    Phases are in float64: a float32 phase is off by 0.009 at position 131,072.
    """
    positions = position + _on_device(tuple(offsets), omega.device)
    return q_mean.to(torch.complex128) * _turn(omega, positions)[:, None]


class TriAttention(Policy):
    """Scores rows by the mean query of the future. It needs neither attention weights nor positions of keys.

    Args:
        q_mean: E[q] per layer and query head, complex ``[n_layers, n_heads, head_dim / 2]``.
        q_abs_mean: E|q|, ``[n_layers, n_heads, head_dim / 2]``.
        omega: ``[head_dim / 2]``; see ``score``.
        horizon: the furthest offset; offsets are 1, 2, 4, ... up to it.
        aggregation: ``mean`` over the offsets, or ``max``.
        n_turning: bands of the model's own layout: it pairs ``x[f]`` with ``x[f + n_turning]``. All, unless its RoPE is
            partial; the statistics are then those of rows laid out by ``in_halves``.
        n_kv_heads: of the model that was calibrated on, where it is to be checked.

    Raises:
        ValueError: if ``horizon`` or ``aggregation`` is out of range.
    """

    def __init__(
        self,
        q_mean: torch.Tensor,
        q_abs_mean: torch.Tensor,
        omega: torch.Tensor,
        horizon: int = 65536,
        aggregation: str = "mean",
        n_turning: int | None = None,
        n_kv_heads: int | None = None,
    ) -> None:
        require_count("horizon", horizon, least=1)
        if aggregation not in AGGREGATIONS:
            raise ValueError(f"aggregation is {aggregation!r}; it may be {' or '.join(AGGREGATIONS)}")
        self.q_mean, self.q_abs_mean, self.omega, self.aggregation = q_mean, q_abs_mean, omega, aggregation
        self.offsets = [2**i for i in range(horizon.bit_length())]
        self.n_turning, self.n_kv_heads = n_turning or len(omega), n_kv_heads

    @classmethod
    def calibrate(cls, model: Any, token_ids: torch.Tensor, horizon: int = 65536) -> Self:
        """Measure E[q] and E|q| over a text, from the queries that attention sees, turned back by their positions.

        So whatever the model does before or in its RoPE (norms, biases, scaled frequencies) is in them.

        Args:
            model: a causal language model of transformers with RoPE.
            token_ids: the text, ``[tokens]`` or ``[batch, tokens]``.
            horizon: as above.

        Raises:
            ValueError: if the text is too short, or the model's queries do not turn as one RoPE would turn them.
        """
        require_count("horizon", horizon, least=1)
        token_ids = token_ids if token_ids.ndim == 2 else token_ids[None]
        if token_ids.numel() < LEAST_TOKENS:
            raise ValueError(f"token_ids holds {token_ids.numel()} tokens; calibration needs {LEAST_TOKENS} or more")
        turning = _frequencies(model)
        _require_turning(model, token_ids[:1, :PROBE_TOKENS], turning)
        means = look_at_queries(model, token_ids, turning, means_of)
        q_mean, q_abs_mean = (torch.stack(of_layers) for of_layers in zip(*means.values(), strict=True))
        omega = torch.nn.functional.pad(turning, (0, q_mean.shape[-1] - len(turning)))
        n_kv_heads = KVShape.from_config(model.config).n_kv_heads
        return cls(q_mean, q_abs_mean, omega, horizon, n_turning=len(turning), n_kv_heads=n_kv_heads)

    @classmethod
    def prepare(cls, subject: Subject) -> Self:
        """See ``Policy.prepare``: calibrated on the subject's text."""
        return _calibrated(cls, subject.model, subject.token_ids)

    def with_other(self, **changes: Any) -> Self:
        """The same policy with other arguments, named as in ``TriAttention``."""
        names = ("q_mean", "q_abs_mean", "omega", "aggregation", "n_turning", "n_kv_heads")
        same = {name: getattr(self, name) for name in names} | {"horizon": self.offsets[-1]}
        return type(self)(**same | changes)

    @property
    def concentration(self) -> torch.Tensor:
        """R per layer, query head and band, ``|E[q]| / E|q|``: 1 if all queries are alike, 0 if they point anywhere."""
        return self.q_mean.abs() / self.q_abs_mean.clamp_min(torch.finfo(self.q_abs_mean.dtype).tiny)

    def head_concentration(self, n_bands: int = 2) -> torch.Tensor:
        """R per layer and query head, ``[n_layers, n_heads]``: its mean over the bands with the largest E|q|.

        With 2 bands it is the figure published for the method. Over all bands it is far lower; say which you mean.
        """
        strongest = self.q_abs_mean.topk(n_bands, dim=-1).indices
        return self.concentration.gather(-1, strongest).mean(-1)

    def begin(self, shape: KVShape, prompt_length: int, token_index: Callable[[int], torch.Tensor]) -> None:
        """See ``Policy.begin``."""
        layers, heads, bands = self.q_mean.shape
        n_kv_heads = self.n_kv_heads or shape.n_kv_heads
        calibrated = layers, n_kv_heads, 2 * bands
        if calibrated != (shape.n_layers, shape.n_kv_heads, shape.head_dim) or heads % n_kv_heads:
            raise ValueError(
                f"TriAttention was calibrated on {layers} layers of {n_kv_heads} KV heads of {2 * bands}, not on "
                f"{shape.n_layers} layers of {shape.n_kv_heads} KV heads of {shape.head_dim}"
            )

    def score(self, layer: int, keys: torch.Tensor, position: int) -> torch.Tensor:
        """See ``Policy.score``. One score per query head; keys may also be ``[n_kv_heads, rows, head_dim]``."""
        statistics = self.q_mean[layer], self.q_abs_mean[layer], self.omega
        arguments = *statistics, position, self.offsets, self.aggregation
        if keys.ndim == 3:
            return score(in_halves(keys, self.n_turning), *arguments)
        parts = keys.split(sequences_at_once(keys))
        return torch.cat([score(in_halves(part, self.n_turning), *arguments) for part in parts])


@lru_cache(maxsize=1)  # a sweep asks for the same one again and again; the cache keeps its model alive
def _calibrated(policy: type[TriAttention], model: Any, token_ids: torch.Tensor) -> TriAttention:
    return policy.calibrate(model, token_ids)


# TriAttention without one of its parts, to see what that part is worth.
_CHANGES: dict[str, Callable[[TriAttention], TriAttention]] = {
    "TriAttention, horizon 64": lambda full: full.with_other(horizon=64),
    "TriAttention, horizon 1024": lambda full: full.with_other(horizon=1024),
    "TriAttention, max over offsets": lambda full: full.with_other(aggregation="max"),
    "TriAttention, no norm term": lambda full: full.with_other(q_abs_mean=full.q_mean.abs()),
    "TriAttention, no trigonometric term": lambda full: full.with_other(
        q_mean=torch.zeros_like(full.q_mean), q_abs_mean=full.q_abs_mean - full.q_mean.abs()
    ),
}
ABLATIONS: dict[str, Callable[[Subject], TriAttention]] = {
    name: lambda subject, change=change: change(TriAttention.prepare(subject)) for name, change in _CHANGES.items()
}


def turn_back(rotated: torch.Tensor, omega: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Vectors ``[..., tokens, head_dim]`` as they were before RoPE: ``[..., tokens, head_dim / 2]``, complex128."""
    halves = in_halves(rotated, len(omega)).double()
    as_complex = torch.complex(*halves.chunk(2, dim=-1))
    still = torch.zeros(as_complex.shape[-1] - len(omega), dtype=omega.dtype, device=omega.device)
    return as_complex * _turn(torch.cat([omega, still]), positions).conj()


@lru_cache(maxsize=16)
def _on_device(offsets: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """The offsets as float64, made once for all layers: a GPU is made to wait by each tensor made from a list."""
    return torch.tensor(offsets, dtype=torch.float64, device=device)


def _turn(omega: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """e^(i omega position), complex128 ``[positions, bands]``."""
    phases = positions.double()[:, None] * omega.double()
    return torch.polar(torch.ones_like(phases), phases)


def _dot(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Products of ``[n, n_heads, dim]`` with keys ``[..., n_kv_heads, rows, dim]``: ``[..., n, n_heads, rows]``.

    Heads that share a KV head are multiplied with its keys together.
    """
    n, n_heads, _ = queries.shape
    n_kv_heads = keys.shape[-3]
    queries = queries.to(keys.device, keys.dtype)
    grouped = queries.unflatten(1, (n_kv_heads, -1)).transpose(0, 1).flatten(1, 2)  # [n_kv_heads, n x group_size, dim]
    products = (grouped @ keys.transpose(-1, -2)).unflatten(-2, (n, n_heads // n_kv_heads))
    return products.transpose(-4, -3).flatten(-3, -2)  # from [..., n_kv_heads, n, group_size, rows]


def in_halves(rows: torch.Tensor, n_turning: int) -> torch.Tensor:
    """Rows ``[..., head_dim]`` of which a model turns the first ``2 n_turning`` numbers, laid out as if it turned all.

    Band f of such a row is ``x[f]`` with ``x[f + n_turning]``. Which of the numbers that stand still make a pair is a
    convention (in order), which the trigonometric term does not feel and the norm term does.
    """
    head_dim = rows.shape[-1]
    if 2 * n_turning == head_dim:
        return rows
    still = range(2 * n_turning, head_dim)
    first = [*range(n_turning), *still[: len(still) // 2]]
    second = [*range(n_turning, 2 * n_turning), *still[len(still) // 2 :]]
    return rows[..., first + second]


def _frequencies(model: Any) -> torch.Tensor:
    """Radians per position of each band that turns, float64, from the model's own RoPE."""
    name = type(model).__name__
    found = [buffer for path, buffer in model.named_buffers() if path.rpartition(".")[2] == "inv_freq"]
    if not found:
        raise ValueError(f"{name} has no RoPE with one set of frequencies (inv_freq), from which to read the future")
    kind = (getattr(model.config.get_text_config(), "rope_parameters", None) or {}).get("rope_type", "default")
    if kind in MOVING_FREQUENCIES or any(not torch.equal(found[0], other) for other in found):
        raise ValueError(f"{name} has RoPE of kind {kind!r}, whose frequencies are not the same everywhere")
    found = found[0].detach()
    return (found.cpu() if found.device.type == "mps" else found).double()  # Apple's GPUs know no float64


def _require_turning(model: Any, token_ids: torch.Tensor, omega: torch.Tensor) -> None:
    """Raise unless tokens further on in positions have, once turned back, the very same queries, in every layer.

    Each token is a text of its own: where tokens attend to each other, rounding grows from layer to layer.
    """
    here, there = (look_at_queries(model, token_ids.T, omega, lambda queries: queries, first) for first in (0, SHIFT))
    if not here:
        raise ValueError(f"{type(model).__name__} showed no queries; TriAttention needs layers with attention")
    for layer, queries in here.items():
        error = (queries - there[layer]).norm() / queries.norm()
        if not error < TOLERANCE:
            raise ValueError(
                f"{type(model).__name__} does not turn the queries of layer {layer} by halves with its frequencies "
                f"(interleaved RoPE, or a layer without): turned back they differ by {error:.0%}"
            )


def means_of(queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """E[q] and E|q| of ``[batch, n_heads, tokens, head_dim / 2]`` over batch and tokens."""
    return queries.mean((0, 2)), queries.abs().mean((0, 2))


@torch.inference_mode()
def look_at_queries(
    model: Any, token_ids: torch.Tensor, omega: torch.Tensor, look: Callable[[torch.Tensor], Any], first: int = 0
) -> dict[int, Any]:
    """What ``look`` makes of each layer's queries, turned back to position 0.

    Args:
        model: a causal language model of transformers with RoPE.
        token_ids: ``[batch, tokens]``.
        omega: radians per position, of the bands that turn.
        look: takes a layer's queries, complex ``[batch, n_heads, tokens, head_dim / 2]``.
        first: position at which the text begins.

    Returns:
        By layer, in order.
    """
    positions = torch.arange(first, first + token_ids.shape[1], device=omega.device)
    watcher = _QueryWatcher(lambda queries: look(turn_back(queries.to(omega.device), omega, positions)))
    with attending(model, watcher):
        model(
            token_ids.to(model.device), position_ids=positions[None].to(model.device), use_cache=False, logits_to_keep=1
        )
    return dict(sorted(watcher.seen.items()))


class _QueryWatcher:
    """Keeps what ``look`` makes of the queries of each layer; the queries themselves would take more than the model."""

    needs_queries, needs_weights = True, False

    def __init__(self, look: Callable[[torch.Tensor], Any]) -> None:
        self.look, self.seen = look, {}

    def see_queries(self, layer: int, queries: torch.Tensor, scaling: float) -> None:
        """Queries ``[batch, n_heads, tokens, head_dim]``, rotated."""
        self.seen[layer] = self.look(queries)

    def see_weights(self, layer: int, weights: torch.Tensor) -> None:
        """Never called."""

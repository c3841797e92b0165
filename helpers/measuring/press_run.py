"""What came of a cache that was compressed: the rows kept, head by head, the bytes of the tensors, the loss after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Self

Rows = tuple[tuple[tuple[int, ...], ...], ...]  # [n_layers][n_kv_heads]: the tokens whose rows are attended to, sorted


@dataclass(frozen=True)
class PressRun:
    """One text, read through a press of KVPress or under a policy of the course.

    Attributes:
        rows: per layer and KV head, the tokens whose rows are attended to after the last compression.
        rows_in_tensors: rows per head that the tensors of the first layer hold, attended to or not.
        zeroed_channels: numbers of a key that are 0 in all rows, on the average over heads.
        in_order: whether older tokens come first in the tensors of every head.
        compressions: how often it compressed.
        bytes_before: what the rows of all tokens read until then would take.
        bytes_after: bytes that the cache holds after the last compression.
        losses: of each later token, minus the logarithm of its probability (nats).
    """

    rows: Rows
    rows_in_tensors: int
    zeroed_channels: float
    in_order: bool
    compressions: int
    bytes_before: int
    bytes_after: int
    losses: tuple[float, ...]

    @property
    def loss(self) -> float:
        """Mean loss of the later tokens, in nats."""
        return sum(self.losses) / len(self.losses)

    @property
    def rows_kept(self) -> int:
        """Rows attended to, all heads of all layers together."""
        return sum(len(tokens) for _, tokens in self.heads())

    @property
    def share_of_bytes(self) -> float:
        """Bytes after as a share of bytes before."""
        return self.bytes_after / self.bytes_before

    def heads(self) -> Iterator[tuple[tuple[int, int], tuple[int, ...]]]:
        """Each head as (layer, KV head), with the tokens it kept."""
        for layer, heads in enumerate(self.rows):
            for head, tokens in enumerate(heads):
                yield (layer, head), tokens

    def in_common(self, other: Self) -> dict[tuple[int, int], int]:
        """Per (layer, KV head), how many tokens both kept."""
        theirs = dict(other.heads())
        return {place: len(set(tokens) & set(theirs[place])) for place, tokens in self.heads()}

    def to_json(self) -> dict[str, Any]:
        """As a record keeps it: per head a number in hexadecimal whose bit i says whether token i was kept."""
        rows = [[f"{sum(1 << token for token in tokens):x}" for tokens in heads] for heads in self.rows]
        return asdict(self) | {"rows": rows}

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Self:
        """The run that ``to_json`` wrote."""
        rows = tuple(tuple(_ones(head) for head in heads) for heads in facts["rows"])
        return cls(**facts | {"rows": rows, "losses": tuple(facts["losses"])})


def _ones(hexadecimal: str) -> tuple[int, ...]:
    bits = int(hexadecimal, 16)
    return tuple(place for place in range(bits.bit_length()) if bits >> place & 1)

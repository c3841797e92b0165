"""What a cache holds at one moment, as numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CacheStats:
    """What a cache holds. Tokens are per sequence; slots, blocks and bytes are of all its sequences together.

    Attributes:
        tokens_seen: the logical length.
        tokens_alive: rows alive per KV head and layer.
        slots_held, blocks_held: what its block tables list, shared blocks once.
        blocks_free: free blocks of the pool.
        bytes_held: bytes of the held blocks' K and V, in all layers.
        bytes_alive: bytes of the rows alive.
        bytes_reserved: bytes of the whole pool, which never moves.
    """

    tokens_seen: int
    tokens_alive: int
    slots_held: int
    blocks_held: int
    blocks_free: int
    bytes_held: int
    bytes_alive: int
    bytes_reserved: int

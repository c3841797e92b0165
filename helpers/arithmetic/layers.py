"""What one layer of a model keeps of a token, and how many bytes that is in a format.

Most models keep the same in every layer. The others are the reason for this file: sliding windows, latent attention,
rows that several tokens share, index rows, recurrent layers, layers that read what another one keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

from helpers.arithmetic.catalog import KV_LAYOUTS

# One name for all, or (format of K, format of V), or (K, V, index rows).
KVFormat = str | tuple[str, str] | tuple[str, str, str]
ROWLESS = ("none", "shared")


@dataclass(frozen=True)
class LayerKV:
    """What one layer keeps of one token.

    Attributes:
        kind: ``full`` keeps every token; ``sliding`` the last ``window - 1``, which with the token being read make up
            the window; ``latent`` one compressed row for all heads; ``shared`` nothing of its own, since it reads what
            an earlier layer keeps; ``none`` nothing per token of text (a recurrent layer, one without attention, or
            one that attends to an image).
        n_kv_heads: key-value heads; 1 for ``latent``.
        k_dim: numbers per key row; for ``latent`` the compressed row of keys and values together.
        v_dim: numbers per value row; for ``latent`` the small rotated key that cannot be compressed; 0 where one row
            serves as key and value.
        window: tokens a sliding layer sees, otherwise None.
        index_dim: numbers of the index row, one for all heads, by which sparse attention picks the tokens to read; 0
            where there is none.
        stride: where it is not 0, the layer keeps beside its window one more key row, and its index row, for every
            ``stride`` tokens together (DeepSeek-V4).
        state: bytes of recurrent and convolution state of one sequence, which do not grow.
        reads: rows per KV head that a new token reads at most, where attention is sparse; None where it reads all that
            are kept. With ``stride`` it counts rows that several tokens share; the window is read besides.
        source: where the kind is ``shared``, the number of the earlier layer whose rows this one reads.
    """

    kind: str
    n_kv_heads: int
    k_dim: int
    v_dim: int
    window: int | None = None
    index_dim: int = 0
    stride: int = 0
    state: int = 0
    reads: int | None = None
    source: int | None = None

    @property
    def grows(self) -> bool:
        """True where every further token costs memory, however long the text is."""
        return self.kind in ("full", "latent") or self.stride > 0

    def rows(self, tokens: int) -> int:
        """Rows kept per KV head after ``tokens`` tokens, those that several tokens share left out."""
        if self.kind in ROWLESS:
            return 0
        return min(tokens, self.window - 1) if self.kind == "sliding" else tokens

    def token_bytes(self, kv_format: KVFormat = "fp16") -> int:
        """Bytes of one token's rows: K and V over all KV heads of the layer, and the index row."""
        k_format, v_format, index_format = split_format(kv_format, index=True)
        pair = row_bytes(self.k_dim, k_format) + row_bytes(self.v_dim, v_format)
        return self.n_kv_heads * pair + (0 if self.stride else row_bytes(self.index_dim, index_format))

    def shared_row_bytes(self, kv_format: KVFormat = "fp16") -> int:
        """Bytes of what ``stride`` tokens keep together: a row that serves as key and value, and its index row."""
        if not self.stride:
            return 0
        k_format, _, index_format = split_format(kv_format, index=True)
        return self.n_kv_heads * row_bytes(self.k_dim, k_format) + row_bytes(self.index_dim, index_format)

    def bytes(self, tokens: int, kv_format: KVFormat = "fp16") -> int:
        """Bytes of the layer's rows after ``tokens`` tokens of one sequence, its state left out."""
        shared = tokens // self.stride * self.shared_row_bytes(kv_format) if self.stride else 0
        return self.rows(tokens) * self.token_bytes(kv_format) + shared

    def read_bytes(self, tokens: int, kv_format: KVFormat = "fp16") -> int:
        """Bytes of the rows that a new token reads after ``tokens`` tokens, its state left out.

        All that are kept, but for sparse attention: every index row, and the rows that they pick.
        """
        if self.reads is None:
            return self.bytes(tokens, kv_format)
        *pair, index_format = split_format(kv_format, index=True)
        if not self.stride:
            index = self.rows(tokens) * row_bytes(self.index_dim, index_format)
            plain = self.token_bytes(kv_format) - row_bytes(self.index_dim, index_format)
            return index + min(self.rows(tokens), self.reads) * plain
        shared = tokens // self.stride
        row = self.n_kv_heads * row_bytes(self.k_dim, pair[0])
        picked = shared * row_bytes(self.index_dim, index_format) + min(shared, self.reads) * row
        return self.rows(tokens) * self.token_bytes(kv_format) + picked

    def bytes_per_token(self, kv_format: KVFormat = "fp16") -> float:
        """Bytes that a token costs on average before a window is full; a whole number unless tokens share rows."""
        own = 0 if self.kind in ROWLESS else self.token_bytes(kv_format)
        return own + self.shared_row_bytes(kv_format) / self.stride if self.stride else own


def row_bytes(dim: int, kv_format: str) -> int:
    """Bytes of one row of ``dim`` numbers stored in a KV format, its scales included."""
    if kv_format not in KV_LAYOUTS:
        raise ValueError(f"kv_format is {kv_format!r}; it may be {', '.join(KV_LAYOUTS)}")
    layout = KV_LAYOUTS[kv_format]
    if dim % layout.values_per_group:
        raise ValueError(f"{kv_format} stores {layout.values_per_group} numbers at a time, which a row of {dim} is not")
    return dim // layout.values_per_group * layout.bytes_per_group


def split_format(kv_format: KVFormat, index: bool = False) -> tuple[str, ...]:
    """The formats of K and of V, and with ``index`` those of index rows too, which are K's unless a third is named."""
    names = tuple(kv_format) if isinstance(kv_format, tuple | list) else (kv_format, kv_format)
    if index and len(names) == 2:
        names += names[:1]
    if len(names) != 2 + index:
        third = ", or three, index rows last" if index else ""
        raise ValueError(f"kv_format is {kv_format!r}; it may be one name or a pair, (format of K, format of V){third}")
    return names

"""Attention that reads rows where they lie: one new token per sequence, K and V through the block table.

Gathering moves each row three times: it is read, written to a buffer, and read again. A paged kernel reads it once. Two
libraries have one: PyTorch's ``varlen_attn``, over a FlashAttention that is installed beside it, and FlexAttention,
whose block mask names blocks of the pool. Neither is believed before it has agreed with ``gather`` on a small case.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.nn.attention import varlen
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.functional import pad, scaled_dot_product_attention

QUERY_TILE = 128  # FlexAttention's own; a decoded token has one query and fills a part of one tile
TOLERANCE = 0.02  # in 16 bits, on random rows
# The FlashAttention that can read pages on a card of this compute capability, and the module that holds it. What
# PyTorch brings itself (FlashAttention 2) cannot.
FLASH = {9: ("FA3", "flash_attn_interface"), 10: ("FA4", "flash_attn.cute")}


@dataclass(frozen=True)
class Blocks:
    """Rows of one layer in the blocks of a pool, and which of them belong to whom.

    Attributes:
        keys, values: ``[num_blocks, block_size, n_kv_heads, head_dim]``.
        block_table: int32 ``[batch, blocks]``; entries behind a sequence's last block are ignored.
        lengths: int32 ``[batch]``, rows of each sequence, 1 or more. They fill its blocks in order.
    """

    keys: torch.Tensor
    values: torch.Tensor
    block_table: torch.Tensor
    lengths: torch.Tensor


# query [batch, n_heads, 1, head_dim], blocks, factor of the products -> output [batch, n_heads, 1, head_dim]
Reader = Callable[[torch.Tensor, Blocks, float], torch.Tensor]


def gather(query: torch.Tensor, blocks: Blocks, scaling: float) -> torch.Tensor:
    """What the others must equal: each sequence's rows are copied together, in order, and attended to."""
    outputs = []
    for i, length in enumerate(blocks.lengths.tolist()):
        table = blocks.block_table[i].long()
        rows = (pool[table].flatten(0, 1)[:length].transpose(0, 1)[None] for pool in (blocks.keys, blocks.values))
        outputs.append(scaled_dot_product_attention(query[i : i + 1], *rows, scale=scaling, enable_gqa=True))
    return torch.cat(outputs)


def flash(query: torch.Tensor, blocks: Blocks, scaling: float) -> torch.Tensor:
    """PyTorch's ``varlen_attn``: sequences of one query each, laid end to end."""
    ends = torch.arange(len(query) + 1, dtype=torch.int32, device=query.device)
    most = blocks.block_table.shape[1] * blocks.keys.shape[1]
    options = {"scale": scaling, "enable_gqa": query.shape[1] != blocks.keys.shape[2]}
    tables = {"seqused_k": blocks.lengths, "block_table": blocks.block_table}
    queries = query[:, :, 0].contiguous()
    output = varlen.varlen_attn(queries, blocks.keys, blocks.values, ends, None, 1, most, **options, **tables)
    return output[:, :, None]


def flex(query: torch.Tensor, blocks: Blocks, scaling: float) -> torch.Tensor:
    """FlexAttention over the whole pool, with a mask that names each sequence's blocks.

    It is compiled for the shapes it meets: call it with a block table of one width.
    """
    num_blocks, size = blocks.keys.shape[:2]
    table, used = blocks.block_table, (blocks.lengths + size - 1) // size
    if not query.is_cuda:
        table = pad(table, (0, num_blocks - table.shape[1]))  # the CPU's kernel wants room for every block
    last = table.gather(1, (used - 1)[:, None].long())[:, 0]
    filled = blocks.lengths - (used - 1) * size  # slots of the last block

    def seen(sequence: torch.Tensor, head: Any, place: Any, slot: torch.Tensor) -> torch.Tensor:
        return (slot // size != last[sequence]) | (slot % size < filled[sequence])

    # All blocks go as partly masked: with "full" ones beside, the kernel would share out the pool's length, not theirs.
    mask = BlockMask.from_kv_blocks(
        used[:, None, None],
        table[:, None, None],
        BLOCK_SIZE=(QUERY_TILE, size),
        mask_mod=seen,
        seq_lengths=(1, num_blocks * size),
        compute_q_blocks=False,
    )
    keys, values = (rows.flatten(0, 1).transpose(0, 1)[None] for rows in (blocks.keys, blocks.values))
    return _compiled_flex()(query, keys, values, block_mask=mask, scale=scaling, enable_gqa=True)


@cache
def why_not(name: str, device: str) -> str | None:
    """Why a reader of ``READERS`` cannot be used on a device: a line for people; None if it can."""
    reader = READERS[name]
    try:
        if name == "flash":
            _activate_flash(torch.device(device))
        wrong = _error_of(reader, device)
    except Exception as error:  # whatever a library lacks, there is another way to read
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason given'}"
    return None if wrong <= TOLERANCE else f"it is wrong by {wrong:.2g}"


def installed_reader(device: torch.device | str, dtype: torch.dtype) -> Reader | None:
    """The paged kernel for steps of any shape, where a FlashAttention that has one is installed; None elsewhere."""
    device = torch.device(device)
    if device.type != "cuda" or dtype.itemsize != 2 or _flash_of(device) is None:
        return None
    return flash if why_not("flash", str(device)) is None else None


def _flash_of(device: torch.device) -> str | None:
    """The FlashAttention for this card, if it is installed."""
    name, module = FLASH.get(torch.cuda.get_device_capability(device)[0], ("", ""))
    try:
        return name if name and importlib.util.find_spec(module) else None
    except ModuleNotFoundError:  # the package around the module is not there either
        return None


def _activate_flash(device: torch.device) -> None:
    name = _flash_of(device) if device.type == "cuda" else None
    if name is None:
        raise RuntimeError("no FlashAttention that reads pages is installed for this device")
    torch.nn.attention.activate_flash_attention_impl(name)


def _error_of(reader: Reader, device: str) -> float:
    """Largest difference to ``gather`` on a small case, with blocks in no order and a last one partly filled."""
    make = torch.Generator().manual_seed(0)
    keys, values = torch.randn(2, 24, 16, 2, 64, generator=make).to(device, torch.float16)
    query = torch.randn(3, 8, 1, 64, generator=make).to(device, torch.float16)
    table = torch.randperm(24, generator=make).view(3, 8).to(device, torch.int32)
    lengths = torch.tensor([1, 48, 101], dtype=torch.int32, device=device)
    blocks = Blocks(keys, values, table, lengths)
    difference = reader(query, blocks, 0.125) - gather(query, blocks, 0.125)
    return difference.abs().nan_to_num(torch.inf).max().item()


@cache
def _compiled_flex() -> Callable:
    return torch.compile(flex_attention, dynamic=False)


READERS: dict[str, Reader] = {"flash": flash, "flex": flex}

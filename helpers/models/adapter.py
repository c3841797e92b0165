"""A low-rank adapter (LoRA, https://arxiv.org/abs/2106.09685): what a model learned on top of what it was.

The weight ``W`` of a linear layer becomes ``W + B A``, with ``A`` ``[rank, inputs]`` and ``B`` ``[outputs, rank]``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import linear


class Adapted(nn.Module):
    """A linear layer without bias, frozen, with a low-rank change that learns. It begins as no change.

    Args:
        frozen: the layer, in whatever dtype; the change is kept in float32 and works in the layer's.
        rank: of the change.
    """

    def __init__(self, frozen: nn.Linear, rank: int) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        device = frozen.weight.device
        self.a = nn.Parameter(torch.randn(rank, frozen.in_features, device=device) / math.sqrt(frozen.in_features))
        self.b = nn.Parameter(torch.zeros(frozen.out_features, rank, device=device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``W x + B A x``: ``[..., inputs]`` to ``[..., outputs]``."""
        return self.frozen(x) + linear(linear(x, self.a.to(x.dtype)), self.b.to(x.dtype))


def adapt(model: Any, rank: int) -> dict[str, nn.Parameter]:
    """Give every linear layer inside the model's layers an adapter, and freeze all else; what learns, by name."""
    model.requires_grad_(False)
    for name, layer in list(model.model.layers.named_modules()):
        if isinstance(layer, nn.Linear):
            parent, _, own = name.rpartition(".")
            model.model.layers.get_submodule(parent).add_module(own, Adapted(layer, rank))
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save_adapter(learned: dict[str, nn.Parameter], path: Path) -> None:
    """Write an adapter in bfloat16."""
    save_file({name: p.detach().to("cpu", torch.bfloat16).contiguous() for name, p in learned.items()}, path)


def merge_adapter(model: Any, path: Path) -> None:
    """Add ``B A`` to the weights of a model as it was; afterwards it needs no more time or memory than before.

    Raises:
        ValueError: if the adapter is of a model with other layers.
    """
    learned = load_file(path)
    weights = {name: layer.weight for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    changes = {}
    for name in sorted({name.rpartition(".")[0] for name in learned}):
        changes[name] = learned[f"{name}.b"].float() @ learned[f"{name}.a"].float()
        if name not in weights or weights[name].shape != changes[name].shape:
            sizes = list(changes[name].shape)
            raise ValueError(f"path is {str(path)!r}; it adapts {name} of {sizes}, which this model has not")
    with torch.no_grad():
        for name, change in changes.items():
            weights[name] += change.to(weights[name])

"""How large a tensor a computation makes on its way: counted from the tensors, not read off the code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _Largest(TorchDispatchMode):
    """Looks at what every operation of torch returns, also inside larger ones such as attention."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        made = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return made


def largest_tensor(run: Callable[[], Any]) -> int:
    """Bytes of the largest tensor that ``run()`` makes or returns, in between or at the end.

    What a kernel keeps inside itself for a moment is not seen; it never becomes a tensor.
    """
    with torch.inference_mode(False), torch.no_grad(), _Largest() as watch:  # inference mode would hide what is inside
        run()
    return watch.bytes

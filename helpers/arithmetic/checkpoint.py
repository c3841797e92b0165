"""A model on this machine, described as the catalog does it: its config, and the parameters that its files hold.

Only the header of a safetensors file is read: eight bytes with its length, then JSON with every tensor's type and shape
(the format's description in huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
from datetime import date
from pathlib import Path

from helpers.arithmetic.catalog import Model
from helpers.arithmetic.fields import read_fields
from helpers.arithmetic.footprint import KVShape
from helpers.arithmetic.parameters import parameters_of

WHOLE = ("F64", "F32", "F16", "BF16")  # types in which an element is a parameter; packed ones hold several, and scales
TELL = "so the parameters cannot be counted: say how many with --parameters, such as 8.2B"


def read_checkpoint(path: str | Path, n_params: int | None = None) -> Model:
    """Describe the model of a ``config.json`` or of the folder that holds one.

    Args:
        path: the file or the folder.
        n_params: parameters of the model; None counts them in the safetensors files beside the config or, if there are
            none, from the config of a plain family.

    Raises:
        ValueError: in one line, if that is no config, its cache cannot be counted, or there is nothing to count.
    """
    path = Path(path)
    config = path / "config.json" if path.is_dir() else path
    KVShape.from_config(config)  # refuses what is no config, or cannot be counted
    if n_params is None and not any(config.parent.glob("*.safetensors*")):
        n_params = parameters_of(config)
    if n_params is None:
        n_params = count_parameters(config)
    name = path.resolve().parent.name if path.name == "config.json" else path.resolve().stem
    day = date.fromtimestamp(config.stat().st_mtime).isoformat()
    return Model(name, read_fields(config).values, n_params, source=str(config), date=day)


def count_parameters(config: Path) -> int:
    """Parameters of the safetensors files that lie beside a config.

    Raises:
        ValueError: in one line, if there are none, one is damaged, or they hold quantized weights.
    """
    tensors = [(file, *tensor) for file in _files(config) for tensor in _tensors(file)]
    packed = next((tensor for tensor in tensors if tensor[2] not in WHOLE), None)
    if packed is not None:
        file, name, kind, _ = packed
        raise ValueError(f"{file} holds quantized weights ({name} is {kind}), {TELL}")
    return sum(elements for *_, elements in tensors)


def _files(config: Path) -> list[Path]:
    """The files with the weights; a large model's are listed in an index."""
    index = config.parent / "model.safetensors.index.json"
    names = {"model.safetensors"}
    if index.is_file():
        try:
            names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{index} is no index of safetensors files") from None
    files = sorted(config.parent / name for name in names)
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise ValueError(f"{missing} is not there, {TELL}")
    return files


def _tensors(file: Path) -> list[tuple[str, str, int]]:
    """Name, type and number of elements of every tensor."""
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        text = opened.read(min(length, file.stat().st_size))
    try:
        named = [(name, tensor) for name, tensor in json.loads(text).items() if name != "__metadata__"]
        return [(name, tensor["dtype"], math.prod(tensor["shape"])) for name, tensor in named]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{file} is no safetensors file") from None

"""The fields of a model's configuration, from whichever of its three forms: published file, saved file, object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

NESTED = ("text_config", "llm_config", "thinker_config", "language_config")  # where a file keeps its language model's
MENTIONED, SHORT = 6, 24  # fields that a refusal names; characters of a value that it shows
OF_A_CACHE = re.compile(
    "^layer_types|layers_block_type|mixer_types|pattern|block_types|block_configs|window|num_key_value|num_kv|kv_lora"
    "|kv_channels|query_group|mamba|ssm|state_size|linear_(attn|head|num|key|value|conv)|lightning|conv_kernel|conv_L"
    "|index_(head|topk|kpool)|cross_attention_layers|kv_share|cla_share|kv_source|compress_rat|lru_width|attn_type"
)
BYTES_OF_DTYPE = {"float32": 4, "float16": 2, "bfloat16": 2}


class Fields:
    """The language model's part of a config: a mapping that says in one line what is wrong with a field.

    Args:
        values: name to value, as in a ``config.json``.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    @property
    def model_type(self) -> str | None:
        """The family's name."""
        return self.values.get("model_type")

    def completed(self, fills: Mapping[str, Any], names: Mapping[str, str]) -> Fields:
        """The same under the register's names, with a family's gaps filled in.

        Args:
            fills: what transformers fills in where a file leaves the field out.
            names: the register's name of a field to the family's own; a dot leads into a nested dict.
        """
        values = {**fills, **self.values}
        renamed = {name: _within(values, own.split(".")) for name, own in names.items()}
        return Fields({**fills, **{name: value for name, value in renamed.items() if value is not None}, **self.values})

    def get(self, name: str) -> Any:
        """The value, or None where the file has none."""
        return self.values.get(name)

    def count(self, name: str, *others: str, least: int = 1) -> int:
        """A whole number, under the first of several names that the file gives a value.

        Raises:
            ValueError: if there is none, or it is something else.
        """
        found = next((n for n in (name, *others) if self.get(n) is not None), None)
        if found is None:
            raise ValueError(f"{self} names no {' or '.join((name, *others))}")
        value = self.get(found)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{self} has {found} {value!r}; it must be a whole number of {least} or more")
        return value

    def listed(self, name: str, n_layers: int) -> list[Any] | None:
        """A list with one entry per layer, or None where the file has none.

        Raises:
            ValueError: if it is no list, or of another length; entries of next-token-prediction layers are cut off.
        """
        value = self.get(name)
        if not value:
            return None
        if not isinstance(value, list | tuple):
            raise ValueError(f"{self} has {name} {value!r}; it must be a list with one entry per layer")
        named = [self.get(n) for n in ("num_nextn_predict_layers", "mtp_num_hidden_layers")]
        predicting = next((n for n in named if isinstance(n, int) and n > 0), 0)
        if len(value) not in (n_layers, n_layers + predicting):
            raise ValueError(f"{self} lists {len(value)} {name}; num_hidden_layers is {n_layers}")
        return list(value[:n_layers])

    def nested(self, name: str) -> Fields:
        """The fields of a nested dict; empty where the file has none."""
        value = {} if self.get(name) is None else self.get(name)
        if not isinstance(value, dict):
            raise ValueError(f"{self} has {name} {value!r}; it must be an object of fields")
        return Fields({"model_type": self.model_type, **value})

    def indices(self, name: str) -> list[int] | None:
        """A list of layers by their number, or None where the file has none."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not all(isinstance(i, int) for i in value):
            raise ValueError(f"{self} has {name} {value!r}; it must be a list of layers")
        return list(value)

    def of_layer(self, layer: int) -> Fields:
        """The fields as they hold for one layer, where transformers saves them layer by layer."""
        changed = self.nested("per_layer_config").values
        own = next((changed[index] for index in changed if str(index).isdigit() and int(index) == layer), {})
        if not isinstance(own, dict):
            raise ValueError(f"{self} has per_layer_config {own!r} for layer {layer}; it must be an object of fields")
        return Fields({**self.values, **own}) if own else self

    def element_bytes(self, *names: str) -> int:
        """Bytes of an element in the dtype that the first of the named fields gives; float32 if none does."""
        dtype = next((self.get(name) for name in names if self.get(name)), "float32")
        size = BYTES_OF_DTYPE.get(str(dtype).removeprefix("torch."))
        if size is None:
            raise ValueError(f"{self} has the dtype {dtype!r}; known are {', '.join(BYTES_OF_DTYPE)}")
        return size

    @property
    def dtype_bytes(self) -> int:
        """Bytes of an element of the model; 2 where the file names no dtype."""
        return self.element_bytes("dtype", "torch_dtype") if self.get("dtype") or self.get("torch_dtype") else 2

    def refusal(self, why: str, names: Iterable[str] = ()) -> ValueError:
        """An error in one line that names the family, the reason, and the fields that made it unclear."""
        shown = [self._shown(name) for name in names if self.get(name) is not None][:MENTIONED]
        return ValueError(f"{self} cannot be counted: {why}" + (f" ({', '.join(shown)})" if shown else ""))

    def _shown(self, name: str) -> str:
        """A field with its value, or without where that would fill the line."""
        value = repr(self.get(name))
        return f"{name} {value}" if len(value) <= SHORT else name

    def unclear(self) -> list[str]:
        """Names of fields that look as if they decided what a layer keeps."""
        return sorted(name for name in self.values if OF_A_CACHE.search(name))

    def __str__(self) -> str:
        return f"the config (model_type {self.model_type!r})"


def _within(values: Mapping[str, Any], path: list[str]) -> Any:
    """The value at the end of a path through nested dicts, or None."""
    value: Any = values
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def read_fields(config: Any) -> Fields:
    """The language model's part of a config.

    Args:
        config: a transformers config object, the dict of a ``config.json``, or the path of that file or its folder.

    Raises:
        ValueError: in one line, if there is no such file or it holds no fields.
    """
    if isinstance(config, str | Path):
        config = _read_file(Path(config))
    values = config.to_dict() if hasattr(config, "to_dict") else config
    if not isinstance(values, dict):
        raise ValueError(f"config is a {type(values).__name__}; it may be a dict, a path or a transformers config")
    while nested := next(
        (values[name] for name in NESTED if isinstance(values.get(name), dict) and values[name]), None
    ):
        outer = {name: values.get(name) for name in ("model_type", "dtype", "torch_dtype", "architectures")}
        tied = {name: values.get(name) for name in ("tie_word_embeddings",)}  # the whole model's word counts
        values = _given(outer) | nested | _given(tied)
    return Fields(values)


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _read_file(path: Path) -> dict[str, Any]:
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"config is {str(path)!r}; no such file, or no config.json in that folder")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # a JSON error, or bytes that are no text
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} holds a JSON {type(values).__name__}; a config.json is an object of fields")
    return values

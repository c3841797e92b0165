"""The sizes that llama.cpp prints when it starts, read from its log, and predicted to the last digit printed."""

from __future__ import annotations

import re

from helpers.arithmetic.catalog import MiB
from helpers.arithmetic.engine_room import llama_cpp_cells
from helpers.arithmetic.footprint import KVShape
from helpers.arithmetic.layers import KVFormat, split_format
from helpers.engines.engine import Figures, KVRoom

GGML_TYPES = {"fp32": "F32", "fp16": "F16", "q8_0": "Q8_0", "q5_0": "Q5_0", "q4_0": "Q4_0"}

_NUMBER = r"([\d.]+)"
_KV_SIZE = re.compile(
    rf"llama_kv_cache: size = +{_NUMBER} MiB \( *(\d+) cells, .*?/ *(\d+) seqs\), "
    rf"K .*?: +{_NUMBER} MiB, V .*?: +{_NUMBER} MiB"
)
_COMPUTE = re.compile(rf"compute buffer size = +{_NUMBER} MiB")
_MODEL = re.compile(rf"model buffer size = +{_NUMBER} MiB")
_ROTATION = re.compile(r"llama_kv_cache: n_rot_[kv] = \d+")
_STAMP = re.compile(r"^[\d.]+ [A-Z] ")


def predict_room(
    kv_shape: KVShape, context: int, kv_format: KVFormat = "fp16", sequences: int = 1, unified: bool = False
) -> KVRoom:
    """What llama.cpp will print of its KV cache: ``llama_cpp_cells``, where all layers are full, as it prints them.

    ``context`` is the whole room, not a sequence's.

    Raises:
        ValueError: if a number is out of range, the format unknown, or a layer not full attention and nothing else:
            others have caches of their own kind there.
    """
    ggml_types(kv_format)
    if any(layer.kind != "full" or layer.index_dim or layer.state for layer in kv_shape.layers):
        raise ValueError(
            "kv_shape has layers that are not full attention and nothing else; llama.cpp keeps caches of another size "
            "for those"
        )
    [cache] = llama_cpp_cells(kv_shape, context, kv_format, sequences, unified=unified)
    sizes = (cache.size, cache.k_bytes, cache.v_bytes)
    return KVRoom(cache.cells, cache.streams, *(round(size / MiB, 2) for size in sizes))


def ggml_types(kv_format: KVFormat) -> tuple[str, str]:
    """llama.cpp's names of the formats of K and of V.

    Raises:
        ValueError: if llama.cpp, or this course with it, has no cache in such a format.
    """
    names = split_format(kv_format)
    for name in names:
        if name not in GGML_TYPES:
            raise ValueError(f"kv_format is {kv_format!r}; llama.cpp is run here with {', '.join(GGML_TYPES)}")
    return GGML_TYPES[names[0]], GGML_TYPES[names[1]]


def read_log(log: str) -> Figures:
    """The figures in a log. Of several lines on the cache the last counts: a trial fit prints one too.

    Raises:
        ValueError: if a line is missing, as in the log of another version.
    """
    lines = [_STAMP.sub("", line) for line in log.splitlines()]
    found = [i for i, line in enumerate(lines) if _KV_SIZE.search(line)]
    if not found:
        raise ValueError("llama.cpp's log says nothing of its KV cache; its version is not one that this course reads")
    before, last = found[-2] if len(found) > 1 else 0, found[-1]
    kv_mib, cells, caches, k_mib, v_mib = _KV_SIZE.search(lines[last]).groups()
    room = KVRoom(int(cells), int(caches), float(kv_mib), float(k_mib), float(v_mib))
    models = [line for line in lines[before:last] if _MODEL.search(line)]
    after = [line for line in lines[last:] if _COMPUTE.search(line) or _ROTATION.search(line)]
    words = tuple(line.strip() for line in (*models, lines[last], *after))
    return Figures(room, _total(_COMPUTE, after), _total(_MODEL, models), None, words)


def _total(pattern: re.Pattern[str], lines: list[str]) -> float | None:
    """The sum of the MiB that lines name, one line per device; None where none does."""
    found = [float(match[1]) for match in map(pattern.search, lines) if match]
    return round(sum(found), 2) if found else None


def first_complaint(log: str) -> str | None:
    """The first error in a log, which is the cause of those after it, without what repeats its place in the source."""
    errors = (re.match(r"[\d.]+ E (?:\w+ +)?[\w.]+: *(.+)", line) for line in log.splitlines())
    return next((match[1].strip() for match in errors if match), None)

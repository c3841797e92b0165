"""Heads that share: query heads above, the KV heads that they read below, and the bytes that a token then leaves."""

from __future__ import annotations

import re
from typing import Any

from helpers.arithmetic.catalog import find_model
from helpers.arithmetic.footprint import KVShape, format_bytes
from helpers.arithmetic.layers import LayerKV
from helpers.widgets.living.picture import LivingPicture, join_modules
from helpers.widgets.living.scene import Curve, Look, Rect, Scene, Shape, Text

SMOLLM2 = "SmolLM2-135M"  # the course's own model, which is in no catalog of what one would have to buy
SMOLLM2_CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "hidden_size": 576,
}
MODELS = (SMOLLM2, "Llama-2-7B", "Llama-3.1-8B", "Qwen2.5-7B", "Llama-3.1-70B")  # every layer alike, and full
LATENT_MODEL = "DeepSeek-V3"
LATENT = 0  # in the place of a number of KV heads
INK, SOFT, LINE, K, V, ROW = "#1b2733", "#52606d", "#c3ced8", "#0072b2", "#00795a", "#b84a00"


def config_of(model: str) -> dict[str, Any]:
    """The ``config.json`` of a model of the picture."""
    return SMOLLM2_CONFIG if model == SMOLLM2 else find_model(model).config


def designs(model: str) -> list[int]:
    """The numbers of KV heads that the model's query heads can share, the largest first, and then ``LATENT``."""
    n_heads = config_of(model)["num_attention_heads"]
    return [n for n in range(n_heads, 0, -1) if n_heads % n == 0] + [LATENT]


def kv_shape(model: str, kv_heads: int) -> KVShape:
    """The model with another number of KV heads, or with DeepSeek-V3's latent row in every layer."""
    published = KVShape.from_config(config_of(model))
    if kv_heads == LATENT:
        row = KVShape.from_config(find_model(LATENT_MODEL).config).layers[0]
        return KVShape(published.n_layers, 1, row.k_dim + row.v_dim, (row,) * published.n_layers)
    return KVShape(published.n_layers, kv_heads, published.head_dim)


def count(model: str, kv_heads: int) -> dict[str, Any]:
    """What is drawn of one design, all in 16 bits.

    Raises:
        ValueError: if the picture has no such model, or its query heads cannot share so many KV heads.
    """
    if model not in MODELS:
        raise ValueError(f"model is {model!r}; it may be {', '.join(MODELS)}")
    if kv_heads not in designs(model):
        raise ValueError(f"{model} can share {', '.join(map(str, designs(model)[:-1]))} KV heads, or a latent row (0)")
    n_heads, shape = designs(model)[0], kv_shape(model, kv_heads)
    layer: LayerKV = shape.layers[0]
    per_layer, own = (each.bytes_per_token() // each.n_layers for each in (shape, kv_shape(model, n_heads)))
    published = KVShape.from_config(config_of(model)).n_kv_heads
    frame = {"n_heads": n_heads, "kv_heads": kv_heads, "bytes": per_layer, "own": own, "published": published}
    frame["width"] = (layer.k_dim + layer.v_dim) / (2 * KVShape.from_config(config_of(model)).head_dim)
    return frame | {"name": _name(n_heads, kv_heads), "line": _line(frame, shape)}


def _name(n_heads: int, kv_heads: int) -> str:
    if kv_heads == LATENT:
        return "one latent row (MLA)"
    heads = f"{kv_heads} KV head{'s' * (kv_heads != 1)}"
    return heads + {n_heads: " (MHA)", 1: " (MQA)"}.get(kv_heads, " (GQA)")


def _line(frame: dict[str, Any], shape: KVShape) -> str:
    """What one sees, in words."""
    n_heads, kv_heads = frame["n_heads"], frame["kv_heads"]
    if kv_heads == LATENT:
        who = (
            f"One latent row of {shape.layers[0].k_dim} + {shape.layers[0].v_dim} numbers for all {n_heads} query heads"
        )
    elif kv_heads == n_heads:
        who = "Each query head reads a strip of its own"
    else:
        who = f"{n_heads // kv_heads} query heads read each strip"
    times = f"{frame['own'] / frame['bytes']:.3g}"
    less = "" if kv_heads == n_heads else f", {times} times less than with heads of their own"
    in_all = format_bytes(shape.bytes(8192))
    return f"{who}. A token leaves {frame['bytes']:,} bytes in each layer{less}; 8,192 tokens in all layers: {in_all}."


class SharedHeads(LivingPicture):
    """Query heads and the strips that they read, merging as KV heads get fewer."""

    title = "Heads that share"
    _esm = join_modules("parts.js", "sheet.js", "shared_heads.js")

    def __init__(self, model: str = "Llama-3.1-8B", kv_heads: int = 32) -> None:
        """Begin with a model and a number of KV heads, 0 for a latent row.

        Raises:
            ValueError: as ``count``.
        """
        count(model, kv_heads)
        frames = {name: [count(name, n) for n in designs(name)] for name in MODELS}
        super().__init__({"frames": frames}, {"model": model, "kv_heads": kv_heads})

    def frame(self, choice: dict[str, Any]) -> dict[str, Any]:
        """See ``count``."""
        return count(choice["model"], choice["kv_heads"])

    @classmethod
    def caption(cls, choice: dict[str, Any]) -> str:
        """What is drawn, and what it costs."""
        return (
            "Figure: one layer of a model, for one token, in fp16. Above, its query heads; below, what the token "
            "leaves in the cache: a strip per KV head, its upper half the key, its lower half the value. A line leads "
            "from each query head to the strip that it reads. Dashed are the strips that heads of their own would "
            "keep. MHA: each its own; GQA: groups share one; MQA: all share one; MLA: DeepSeek-V3's row, from which "
            "each head makes keys and values of its own."
        )

    def scene(self) -> Scene:
        """The design that is chosen, standing still."""
        frame = self.frame(self.choice)
        title = Text(20, 28, f"{self.choice['model']}: {frame['name']}", INK, 17, bold=True)
        shapes: list[Shape] = [title, *_heads(frame), *_gauge(frame)]
        sentences = re.split(r"(?<=[.;]) ", frame["line"])
        shapes += [Text(20, 350 + 22 * i, words, INK, 15) for i, words in enumerate(sentences)]
        return Scene(800, 412, tuple(shapes), f"{self.choice['model']}, {frame['name']}. {frame['line']}")


def strip_places(n_heads: int, kv_heads: int) -> list[float]:
    """Where the strip that each query head reads has its middle, in query heads from the left."""
    size = n_heads // (kv_heads or 1)
    return [i // size * size + (size - 1) / 2 for i in range(n_heads)]


def _heads(frame: dict[str, Any]) -> list[Shape]:
    n_heads, pitch = frame["n_heads"], 670 / frame["n_heads"]
    wide = max(3, round(pitch * 0.7))
    places = [round(110 + (place + 0.5) * pitch) for place in strip_places(n_heads, frame["kv_heads"])]
    own = [round(110 + (i + 0.5) * pitch) for i in range(n_heads)]
    shapes: list[Shape] = [Text(20, y, w, SOFT, 14) for y, w in ((66, "query heads"), (166, "key"), (226, "value"))]
    shapes += [Curve(((x, 70), (to, 130)), Look("", SOFT)) for x, to in zip(own, places, strict=True)]
    shapes += [Rect(x - wide // 2, 54, wide, 16, Look("#ffffff", INK, 2), 3) for x in own]
    shapes += [Rect(x - wide // 2, 130, wide, 120, Look("", LINE, 1, True)) for x in own]
    if frame["kv_heads"] == LATENT:
        broad = round(wide * frame["width"])
        return [*shapes, Rect(places[0] - broad // 2, 130, broad, 120, Look(ROW))]
    strips = sorted(set(places))
    shapes += [Rect(x - wide // 2, 130, wide, 60, Look(K)) for x in strips]
    return shapes + [Rect(x - wide // 2, 190, wide, 60, Look(V)) for x in strips]


def _gauge(frame: dict[str, Any]) -> list[Shape]:
    full = round(670 * frame["bytes"] / frame["own"])
    return [
        Text(20, 294, "bytes", SOFT, 14),
        Rect(110, 276, 670, 26, Look("", SOFT, 1, True)),
        Rect(110, 276, full, 26, Look(INK)),
        Text(110, 322, f"{frame['bytes']:,} of {frame['own']:,} bytes per token and layer", INK, 14, bold=True),
    ]

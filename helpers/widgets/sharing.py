"""Pictures of lesson 02: heads that look back, ways to share, models that grew up so, and what layers keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from helpers.arithmetic.footprint import KVShape
from helpers.measuring import layer_bytes
from helpers.plots import heads
from helpers.records.head_variants import HeadVariants
from helpers.widgets.page import show

if TYPE_CHECKING:
    from helpers.decoding.looking_back import Reading

MINIATURES = ("Gemma-3-27B", "gpt-oss-20b", "DeepSeek-V3", "Qwen3-Next-80B")
READ = 200  # tokens that the miniatures read
NUMBERS = {1: "One reader looks", 2: "Two readers look", 3: "Three readers look", 4: "Four readers look"}


def show_looking_back(reading: Reading) -> None:
    """Show the text as each query head of one group sees it from the newest word: the plainest group of the model."""
    layer, kv_head = reading.plainest()
    weights = reading.group(layer, kv_head).float()
    first = kv_head * len(weights)
    names = [f"query head {first + i}" for i in range(len(weights))]
    best = [reading.words[1 + row[1:].argmax()].strip() for row in weights]
    asks = ", ".join(f"{name} most at “{word}”" for name, word in zip(names, best, strict=True))
    show(
        heads.looking_back(
            reading.words,
            dict(zip(names, weights.tolist(), strict=True)),
            f"{NUMBERS.get(len(weights), f'{len(weights)} readers look')} back from the last word",
        ),
        f"Figure: a text, once for each of {len(weights)} query heads of layer {layer}. The framed word looks back; "
        f"the more attention a word gets, the darker it is. The first word aside, {asks}.",
    )


def show_ways_to_share(n_heads: int, shapes: Mapping[str, KVShape]) -> None:
    """Show query heads and the KV heads that they read, side by side for several designs of one model."""
    costs = {name: (shape.n_kv_heads, shape.bytes_per_token()) for name, shape in shapes.items()}
    show(
        heads.sharing(n_heads, costs),
        f"Figure: three drawings of one layer with {n_heads} query heads (circles). A line leads from each to the KV "
        "head (square) whose notes it reads. Below, what a token leaves in all layers, in fp16: "
        + ", ".join(f"{n_bytes:,} bytes" for _, n_bytes in costs.values())
        + ".",
    )


def show_grown_up(grown: HeadVariants) -> None:
    """Show the answers of the models that grew up with other numbers of KV heads."""
    models = {
        f"{kept} KV head{'s' * (kept > 1)}": [(each.share_right, each.interval) for each in grown.of(kept)]
        for kept in grown.kv_heads
    }
    n_exam = len(grown.variants[0].right)
    counts = [f"{name} {' and '.join(f'{share * n_exam:.0f}' for share, _ in each)}" for name, each in models.items()]
    show(
        heads.answers_by_sharing(models, "Even one KV head can be enough, if the model grew up with it"),
        f"Figure: the share of {n_exam} worksheets that were answered rightly, a dot for each of "
        f"{len(grown.variants)} small reasoners, two for each number of KV heads. {', '.join(counts)}. "
        f"Trained and examined on {grown.made_on}.",
    )


def measure_layers() -> dict[str, list[tuple[str, int, int]]]:
    """Of each miniature's layers the kind, the bytes that its cache holds, and those of the formula."""
    from helpers.models.miniatures import filled_cache, miniature  # here, since they need torch

    found = {}
    for name in MINIATURES:
        model = miniature(name)
        shape, held = KVShape.from_config(model.config), layer_bytes(filled_cache(model, READ))
        formula = [layer.rows(READ) * layer.token_bytes("fp32") for layer in shape.layers]
        found[name] = [(layer.kind, *both) for layer, *both in zip(shape.layers, held, formula, strict=True)]
    return found


def show_layers(found: Mapping[str, Sequence[tuple[str, int, int]]]) -> None:
    """Show what ``measure_layers`` found."""
    equal = sum(held == formula for layers in found.values() for _, held, formula in layers)
    show(
        heads.layers_kept(found, "A window caps a layer, a latent row narrows it, a recurrent one keeps no rows"),
        f"Figure: the bytes that each of 12 layers keeps after {READ} tokens in four small models, measured on their "
        f"tensors in fp32; the black dash is the formula, equal in {equal} layers of "
        f"{sum(map(len, found.values()))}. Gemma's every sixth layer is full, gpt-oss alternates, all of DeepSeek's "
        "are latent, and of Qwen3-Next's every fourth keeps rows.",
    )

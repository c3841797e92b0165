"""What the catalog says of a model."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Yarn:
    """How far a model's rotary positions can be stretched beyond its config, and what the config must then say.

    Attributes:
        tokens: The longest context that its makers name for it.
        parameters: The whole ``rope_parameters`` of a config that has it.
        source: Where both stand.
    """

    tokens: int
    parameters: dict[str, Any]
    source: str


@dataclass(frozen=True)
class Model:
    """A published model, with the part of its config.json that decides the KV cache and the parameter count.

    Attributes:
        name: The plain name that the course uses.
        config: Fields of the model's config.json on Hugging Face, spelled as there. A field that is missing here is
            missing there too, or decides none of these: the cache, the count, the longest context.
        n_params: Parameters of the transformers class built from `config`; tied embeddings count once.
        source: Where `config` comes from, and through which copy it was checked.
        date: When it was checked, YYYY-MM-DD.
        yarn: How to go beyond the positions of `config`; None where its makers name no way, or the config has it.
    """

    name: str
    config: dict[str, Any]
    n_params: int
    source: str
    date: str
    yarn: Yarn | None = None


def yarn(tokens: int, original: int, theta: int, source: str, factor: float = 4.0, **more: Any) -> Yarn:
    """YaRN with a ``factor`` over ``original`` positions; ``more`` are rotary fields that the config keeps."""
    stretched = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
    return Yarn(tokens, stretched | {"rope_theta": theta} | more, source)


# Makers' pages. Qwen3 was trained on 32,768 positions; its config's 40,960 leave room for an answer.
QWEN_3_YARN = yarn(131_072, 32_768, 1_000_000, "Qwen3's documentation, and vLLM's example of context extension")
HYBRID_ROTARY = {"mrope_interleaved": True, "mrope_section": [11, 11, 10], "partial_rotary_factor": 0.25}
QWEN_HYBRID_YARN = yarn(
    1_010_000, 262_144, 10_000_000, "the pages of Qwen3.5 and 3.6, processing long texts", **HYBRID_ROTARY
)

"""Families in which layers with rows of K and V alternate with, or stand beside, recurrent ones."""

from __future__ import annotations

from collections.abc import Callable

from helpers.arithmetic.families.attention import FULL, HYBRID, LINEAR, NOTHING, Rule, State, build, n_layers_of
from helpers.arithmetic.families.states import convolution, gated_delta, lightning, mamba_1, mamba_2
from helpers.arithmetic.fields import Fields
from helpers.arithmetic.layers import LayerKV

LETTERS = {"M": LINEAR, "*": FULL, "-": NOTHING, "E": "moe"}  # of Nemotron-H's hybrid_override_pattern


def alternating(state: State, fallback: Callable[[Fields, int], list[str] | None]) -> Rule:
    """The rule of a hybrid family: a file's ``layer_types`` or, without them, what the fallback reads."""

    def rule(fields: Fields) -> list[LayerKV]:
        n_layers = n_layers_of(fields)
        names = fields.listed("layer_types", n_layers) or fallback(fields, n_layers)
        if names is None:
            raise fields.refusal("nothing says which of its layers are recurrent")
        return build(fields, names, state)

    return rule


def _interval(fields: Fields, n_layers: int) -> list[str]:
    every = fields.count("full_attention_interval")
    return [LINEAR if (i + 1) % every else FULL for i in range(n_layers)]


def _attention_period(fields: Fields, n_layers: int) -> list[str]:
    period, offset = fields.count("attn_layer_period"), fields.count("attn_layer_offset", least=0)
    return [FULL if i % period == offset else LINEAR for i in range(n_layers)]


def _block_types(fields: Fields, n_layers: int) -> list[str] | None:
    return fields.listed("layers_block_type", n_layers)


def _attention_indices(fields: Fields, n_layers: int) -> list[str] | None:
    indices = fields.indices("attn_layer_indices")
    listed = fields.listed("layers_block_type", n_layers)
    return listed or [FULL if i in (indices or ()) else LINEAR for i in range(n_layers)]


def _full_indices(fields: Fields, n_layers: int) -> list[str]:
    indices = fields.indices("full_attn_idxs")
    return [FULL if indices is None or i in indices else "conv" for i in range(n_layers)]


def _numbered(fields: Fields, n_layers: int) -> list[str] | None:
    """MiniMax-01's and -M1's: 1 for attention, 0 for lightning attention."""
    types = fields.listed("attn_type_list", n_layers)
    return types and [FULL if kind else LINEAR for kind in types]


def _every_second(fields: Fields, n_layers: int) -> list[str]:
    return [LINEAR if i % 2 else FULL for i in range(n_layers)]


def _mixers(fields: Fields, n_layers: int) -> list[str] | None:
    """MiniCPM-SALA's."""
    known = {"minicpm4": FULL, "lightning": LINEAR, "lightning-attn": LINEAR, "lightning_attn": LINEAR}
    types = fields.listed("mixer_types", n_layers)
    return types and [known.get(kind, kind) for kind in types]


def _groups(fields: Fields, n_layers: int) -> list[str]:
    """Ring-linear's: the last of each group, and layers left over, are full."""
    every = fields.count("layer_group_size")
    return [FULL if (i + 1) % every == 0 or i >= n_layers // every * every else LINEAR for i in range(n_layers)]


def _nothing(fields: Fields, n_layers: int) -> None:
    return None


qwen3_next = alternating(gated_delta, _interval)
olmo_hybrid = alternating(gated_delta, _nothing)
jamba = alternating(mamba_1, _attention_period)
bamba = alternating(mamba_2, _attention_indices)
granite_hybrid = alternating(mamba_2, _block_types)
falcon_h1 = alternating(mamba_2, lambda fields, n_layers: [HYBRID] * n_layers)
lfm2 = alternating(convolution, _full_indices)
lfm3 = alternating(convolution, _nothing)
minimax = alternating(lightning, _every_second)
minimax_01 = alternating(lightning, _numbered)
minicpm_sala = alternating(lightning, _mixers)
bailing_linear = alternating(lightning, _groups)


def zamba(fields: Fields, state: State = mamba_1) -> list[LayerKV]:
    """Zamba: its attention reads the hidden state and the embedding side by side, so its heads are twice as wide."""
    twice = 2 * fields.count("hidden_size") // fields.count("num_attention_heads")
    return alternating(state, _block_types)(Fields({"head_dim": twice, **fields.values}))


def zamba_2(fields: Fields) -> list[LayerKV]:
    """Zamba 2: the same with Mamba 2."""
    return zamba(fields, mamba_2)


def nemotron_h(fields: Fields) -> list[LayerKV]:
    """Nemotron-H and Nemotron 3: a letter or a word per block; blocks of experts or a plain network keep nothing."""
    return build(fields, block_names(fields), mamba_2)


def block_names(fields: Fields) -> list[str]:
    """The blocks of Nemotron-H by the names of layer types."""
    names, pattern = fields.get("layers_block_type") or fields.get("layer_types"), fields.get("hybrid_override_pattern")
    if not names and isinstance(pattern, str | list):
        names = [LETTERS.get(letter, letter) for letter in pattern]
    if not isinstance(names, list | tuple) or not names:
        raise fields.refusal("it names neither layers_block_type nor hybrid_override_pattern")
    return list(names)

"""What is read of a model's weights to decode a token: not the experts that were not chosen, nor the whole embedding.

A mixture of experts has several networks in a layer, and each token goes through a few of them. Which layers have
experts, how many there are and how wide they are, families say by fields of their own: here is a register of them. A
family with experts that is not in it is refused by name. A test counts the parameters of transformers' own modules.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from helpers.arithmetic.catalog import Model
from helpers.arithmetic.families import known_fields
from helpers.arithmetic.families.hybrid import block_names
from helpers.arithmetic.fields import Fields

TOTAL = ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts")
CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "moe_top_k", "top_k_experts")
OF_EXPERTS = re.compile(r"(^|_)(num|n)_.*expert|^moe_(k|topk|top_k)$")  # names of such numbers, known here or not
WIDTH = ("moe_intermediate_size", "expert_ffn_hidden_size")
DENSE_WIDTH = ("intermediate_size",)
# Families with a class in transformers that ties the embedding to the output head where a file does not say.
_TIED = (
    "biogpt bloom cohere cohere2 cohere2_moe cohere_compass_text ctrl ernie4_5 ernie4_5_moe ernie4_5_vl_moe_text falcon"
    " gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text gemma4 gemma4_text gemma4_unified_text gpt2 gpt_bigcode"
    " gpt_neo gpt_neox_japanese granite_docling_text granite_swa hunyuan_vl_text jetmoe lfm2 lfm2_moe lfm3 minicpm3 mpt"
    " opt paddleocr_vl_text qwen2_5_omni_text qwen3_vl_moe_text smollm3 starcoder2 vaultgemma xglm youtu zamba zamba2"
)
TIED = frozenset(_TIED.split())


@dataclass(frozen=True)
class Experts:
    """The experts of a model.

    Attributes:
        layers: how many layers have them.
        total: experts of such a layer, those that every token goes through (shared ones) left out.
        chosen: how many of them a token goes through at most.
        size: parameters of one.
    """

    layers: int
    total: int
    chosen: int
    size: int

    def idle(self, tokens: int = 1) -> int:
        """Parameters that are not read when ``tokens`` tokens are decoded at once and no two choose the same expert."""
        return self.layers * max(0, self.total - tokens * self.chosen) * self.size


@dataclass(frozen=True)
class Mixture:
    """How a family's experts are counted: in which layers they are, how wide, and the parameters of one."""

    layers: Callable[[Fields], int]
    width: tuple[str, ...] = WIDTH
    size: Callable[[Fields, int], int] = lambda fields, width: 3 * fields.count("hidden_size") * width


def weights_read(model: Model, sequences: int = 1) -> int:
    """Parameters read to decode one token of each sequence, at most.

    All, but for the experts that no sequence chooses and for the table of embeddings, of which a token needs one row;
    where the table is the output head as well, it is read whole. Several sequences may choose the same experts or, as
    is assumed here, all different ones: with one sequence the figure is exact, with more it is the upper bound, and
    that of one sequence the lower.

    Raises:
        ValueError: in one line, if the config's experts or embeddings cannot be counted.
    """
    experts = read_experts(model.config)
    read = model.n_params - looked_up(model.config) - (experts.idle(sequences) if experts else 0)
    if read <= 0:
        fields = known_fields(model.config)
        raise fields.refusal(f"its experts and embeddings exceed {model.n_params:,} parameters", [*TOTAL, "vocab_size"])
    return read


def looked_up(config: Any) -> int:
    """Parameters of the tables of which a token needs one row each.

    Positions that are learned (GPT-2 and its like) are counted as read: a thousandth of the model.

    Raises:
        ValueError: in one line, if the family is not known, or the table is its own and has no ``vocab_size``.
    """
    fields = known_fields(config)
    table = 0 if is_tied(fields) else fields.count("vocab_size") * fields.count("hidden_size")
    if fields.get("hidden_size_per_layer_input"):  # Gemma 3n and 4: a small table for every layer, beside the large one
        rows = fields.count("vocab_size_per_layer_input")
        table += rows * fields.count("num_hidden_layers") * fields.count("hidden_size_per_layer_input")
    return table


def is_tied(fields: Fields) -> bool:
    """Whether the table of embeddings is the output head as well, as the file says or transformers fills in."""
    tied = fields.get("tie_word_embeddings")
    if tied is None:
        return fields.model_type in TIED
    if not isinstance(tied, bool):
        raise ValueError(f"{fields} has tie_word_embeddings {tied!r}; it must be true or false")
    return tied


def read_experts(config: Any) -> Experts | None:
    """The experts of a model, or None if it has none.

    Args:
        config: a transformers config object, the dict of a ``config.json``, or the path of that file or its folder.

    Raises:
        ValueError: in one line, if the family is not known, or it has experts that cannot be counted.
    """
    fields = known_fields(config)
    family = MIXTURES.get(fields.model_type or "")
    if family is None:
        _require_dense(fields)
        return None
    fields = Fields({**fields.values, **{n: _one(fields, n) for n in (*TOTAL, *CHOSEN, *WIDTH, *DENSE_WIDTH)}})
    total = _agreed(fields, TOTAL)
    if total is None and fields.model_type in SOMETIMES or total in (0, 1):
        return None
    if total is None:
        raise fields.refusal(f"its experts are not named, by none of {', '.join(TOTAL)}")
    if not (layers := family.layers(fields)):
        return None
    chosen, width = _agreed(fields, CHOSEN), fields.count(*family.width)
    if not isinstance(chosen, int) or not 0 < chosen <= total + (fields.get("zero_expert_num") or 0):
        raise fields.refusal("how many experts a token chooses is unclear", [*TOTAL, *CHOSEN])
    return Experts(layers, total, chosen, family.size(fields, width))


def _one(fields: Fields, name: str) -> Any:
    """A field, which some files write as a list with the same number for every layer."""
    value = fields.get(name)
    alike = isinstance(value, list) and value and all(other == value[0] for other in value)
    return value[0] if alike else value


def _agreed(fields: Fields, names: tuple[str, ...]) -> int | None:
    """The number that the file gives under one or more of these names, or None."""
    given = {name: fields.count(name, least=0) for name in names if fields.get(name) is not None}
    if len({*given.values()}) > 1:
        raise fields.refusal("it names two different numbers of experts", given)
    return next(iter(given.values()), None)


def _require_dense(fields: Fields) -> None:
    """Raise if a family that is not in the register names experts: nobody would count them."""
    nested = [value for value in fields.values.values() if isinstance(value, dict)]
    unclear = [
        name
        for values in (fields.values, *nested)
        for name, value in values.items()
        if OF_EXPERTS.search(str(name)) and (isinstance(value, list) or isinstance(value, int) and value > 1)
    ]
    if unclear and (fields.model_type != "doge" or fields.get("is_moe")):  # Doge's are named, and off by default
        raise fields.refusal(f"no rule is known for its experts, {', '.join(unclear)}")


# --- In which layers -------------------------------------------------------------------------------------------------
def _all(fields: Fields) -> int:
    return fields.count("num_hidden_layers")


def _after(first: int | None) -> Callable[[Fields], int]:
    """Layers that a list names; or all after the first ``first_k_dense_replace``.

    ``first`` is what transformers fills in, or None for a family of which it has no class: then the file must say it.
    """

    def layers(fields: Fields) -> int:
        n_layers, frequency = fields.count("num_hidden_layers"), fields.get("moe_layer_freq")
        if listed := fields.listed("mlp_layer_types", n_layers):
            return sum(kind != "dense" for kind in listed)
        if isinstance(frequency, list):
            return sum(map(bool, fields.listed("moe_layer_freq", n_layers) or ()))
        named = next((n for n in ("first_k_dense_replace", "num_dense_layers") if fields.get(n) is not None), None)
        if named is None and first is None:
            raise fields.refusal("nothing says which of its layers have experts", [*TOTAL, "num_hidden_layers"])
        start = fields.count(named, least=0) if named else first or 0
        every = 1 if frequency is None else fields.count("moe_layer_freq")
        return sum(i % every == 0 for i in range(start, n_layers))

    return layers


def _stepwise(fields: Fields) -> int:
    """Qwen's: every ``decoder_sparse_step``-th layer, but for those that ``mlp_only_layers`` lists."""
    step = 1 if fields.get("decoder_sparse_step") is None else fields.count("decoder_sparse_step")
    dense = fields.indices("mlp_only_layers") or ()
    return sum((i + 1) % step == 0 and i not in dense for i in range(fields.count("num_hidden_layers")))


def _two_dense_first(fields: Fields) -> int:
    """Flint's: as Qwen's, and without a list its first two layers have no experts."""
    return _stepwise(Fields({"mlp_only_layers": [0, 1], **fields.values}))


def _span(fields: Fields) -> int:
    """ERNIE's: from a first to a last layer, at an interval."""
    n_layers = fields.count("num_hidden_layers")
    fields = fields.completed({"moe_layer_start_index": 1, "moe_layer_end_index": -1, "moe_layer_interval": 1}, {})
    last = fields.count("moe_layer_end_index", least=-1)
    span = range(fields.count("moe_layer_start_index", least=0), min(n_layers, (last if last >= 0 else n_layers) + 1))
    return sum((i + 1) % fields.count("moe_layer_interval") == 0 for i in span)


def _period(fields: Fields) -> int:
    """Jamba's: one in each period."""
    fields = fields.completed({"expert_layer_period": 2, "expert_layer_offset": 1}, {})
    period, offset = fields.count("expert_layer_period"), fields.count("expert_layer_offset", least=0)
    return sum(i % period == offset for i in range(fields.count("num_hidden_layers")))


def _interleaved(fields: Fields) -> int:
    """Llama 4's: a list, or every n-th layer."""
    if listed := fields.indices("moe_layers"):
        return len(listed)
    every = 1 if fields.get("interleave_moe_layer_step") is None else fields.count("interleave_moe_layer_step")
    return fields.count("num_hidden_layers") // every


def _enumerated(fields: Fields) -> int:
    """Step's: numbers with commas between them; those of next-token-prediction layers are left out."""
    named, n_layers = fields.get("moe_layers_enum"), fields.count("num_hidden_layers")
    if named is None:
        return _after(3)(fields)
    numbers = named.split(",") if isinstance(named, str) else fields.indices("moe_layers_enum") or ()
    if not all(str(number).strip().isdecimal() for number in numbers):
        raise fields.refusal("its layers with experts are unclear", ["moe_layers_enum"])
    return sum(int(number) < n_layers for number in numbers)


def _blocks(fields: Fields) -> int:
    """Nemotron-H's: blocks of their own."""
    return block_names(fields).count("moe")


def _pairs(fields: Fields) -> int:
    """LongCat's: one in each layer, which transformers counts as two, for its two attentions."""
    return fields.count("num_layers") if fields.get("num_layers") else fields.count("num_hidden_layers") // 2


def _switched(fields: Fields) -> int:
    """Gemma 4's: in every layer, beside a plain network, where the file switches them on."""
    return _all(fields) if fields.get("enable_moe_block") else 0


# --- Parameters of one expert ----------------------------------------------------------------------------------------
def _with_biases(fields: Fields, width: int) -> int:
    """gpt-oss: each of the three matrices has a bias."""
    return 3 * fields.count("hidden_size") * width + 2 * width + fields.count("hidden_size")


def _two_matrices(fields: Fields, width: int) -> int:
    """Nemotron-H: no gate; from version 3 on the experts work on a narrower row."""
    return 2 * fields.count(*(("moe_latent_size",) if fields.get("moe_latent_size") else ("hidden_size",))) * width


def _on_rows_of_their_own(fields: Fields, width: int) -> int:
    """Muse Spark: the experts work on a row of another width."""
    return 3 * fields.completed({"moe_hidden_size": 4096}, {}).count("moe_hidden_size") * width


def _with_attention(fields: Fields, width: int) -> int:
    """JetMoe: each expert has a query and an output projection too."""
    rows = fields.count("num_key_value_heads") * fields.count("head_dim")
    return fields.count("hidden_size") * (3 * width + 2 * rows)


# --- The register ----------------------------------------------------------------------------------------------------
MIXTURES: dict[str, Mixture] = {}


def _add(model_types: str, layers: Callable[[Fields], int], **more: Any) -> None:
    """Register families that share a rule."""
    MIXTURES.update(dict.fromkeys(model_types.split(), Mixture(layers, **more)))


_add("bailing_moe bailing_moe_linear bailing_moe_v2 deepseek kimi_k2 mimo_v2", _after(None))
_add("deepseek_ocr2_text deepseek_v2 deepseek_v4 dots1 mistral4 solar_open mellum", _after(0))
_add("afmoe axk1 axk2 exaone_moe glm4_moe glm4_moe_lite glm4v_moe glm4v_moe_text hy_v3 hy_v4 kimi_linear", _after(1))
_add("laguna mimo_v2_flash", _after(1))
_add("bailing_hybrid lfm2_moe", _after(2))
_add("beam deepseek_v3 deepseek_v32 glm_moe_dsa", _after(3))
_add("cohere2_moe minimax_m3 minimax_m3_vl minimax_m3_vl_text", _after(0), width=DENSE_WIDTH)
_add("qwen2_moe qwen3_moe qwen3_next qwen3_omni_moe_text qwen3_vl_moe qwen3_vl_moe_text", _stepwise)
_add("qwen3_5_moe qwen3_5_moe_text kolibri1", _all)
_add("flint", _two_dense_first)
_add("aria_text flex_olmo granitemoe granitemoe_swa granitemoehybrid granitemoeshared", _all, width=DENSE_WIDTH)
_add("hunyuan hunyuan_v1_moe minimax minimax_m1 minimax_m2 minimax_text_01", _all, width=DENSE_WIDTH)
_add("mixtral olmoe phimoe", _all, width=DENSE_WIDTH)
_add("gpt_oss", _all, width=DENSE_WIDTH, size=_with_biases)
_add("jetmoe", _all, width=DENSE_WIDTH, size=_with_attention)
_add("jamba", _period, width=DENSE_WIDTH)
_add("llama4 llama4_text", _interleaved, width=DENSE_WIDTH)
_add("ernie4_5_moe", _span)
_add("step3_text step3p5 step3p7", _enumerated)
_add("nemotron_h", _blocks, size=_two_matrices)
_add("longcat_flash", _pairs)
_add("muse_spark_text", _after(0), size=_on_rows_of_their_own)
_add("gemma4 gemma4_text", _switched)
# In these a file without a number of experts is one of a dense model.
_SOMETIMES = "gemma4 gemma4_text granitemoehybrid hunyuan nemotron_h dots1"
SOMETIMES = frozenset(_SOMETIMES.split())

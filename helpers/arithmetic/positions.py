"""How long a context a plan's model can have: as its config is, and with its rotary positions stretched (YaRN)."""

from __future__ import annotations

import json

from helpers.arithmetic.catalog import Yarn
from helpers.arithmetic.fields import read_fields
from helpers.arithmetic.plan import Plan

POSITIONS = ("max_position_embeddings", "model_max_length")  # the second is Kimi-Linear's
STRETCHED = ("yarn", "linear", "dynamic")  # rotary positions that reach further than those the model was trained with


def positions_of(plan: Plan) -> int | None:
    """The longest context that the model's config allows, in tokens; None where it does not say."""
    fields = read_fields(plan.entry.config)
    if all(fields.get(name) is None for name in POSITIONS):
        return None
    positions = fields.count(*POSITIONS)
    rotary = fields.nested("rope_scaling" if fields.get("rope_scaling") else "rope_parameters")
    if (rotary.get("rope_type") or rotary.get("type")) in STRETCHED:
        trained = rotary.get("original_max_position_embeddings") or positions
        return max(positions, int(trained * (rotary.get("factor") or 1)))
    return positions


def yarn_of(plan: Plan) -> Yarn | None:
    """The stretching that the plan needs and its model can have; None where the config reaches far enough.

    Raises:
        ValueError: in one line, if nothing published reaches so far.
    """
    positions, yarn = positions_of(plan), plan.entry.yarn
    if positions is None or plan.context <= positions:
        return None
    if yarn is not None and plan.context <= yarn.tokens:
        return yarn
    known = "A longer context needs stretched rotary positions (YaRN); the model's own page says which."
    if yarn is not None:
        known = f"YaRN stretches them to {yarn.tokens:,} ({yarn.source}), and no further."
    raise ValueError(
        f"The model's config ends at {positions:,} positions, and this plan needs {plan.context:,}: no engine runs it "
        f"as it is. {known}"
    )


def said_of(plan: Plan, yarn: Yarn) -> str:
    """What the page says of a plan that needs YaRN."""
    place = "`rope_parameters` in its `text_config`" if "text_config" in plan.entry.config else "`rope_parameters`"
    return (
        f"The model's config ends at {positions_of(plan):,} positions, and this plan needs {plan.context:,}: that "
        f"takes YaRN, which stretches them to {yarn.tokens:,} at most ({yarn.source}). Short texts may come out worse "
        f"with it. An engine that has no option for it reads config.json, whose {place} must then be "
        f"`{json.dumps(yarn.parameters)}`; older files call them `rope_scaling`."
    )


def vllm_words(plan: Plan, yarn: Yarn) -> tuple[list[str], list[str]]:
    """Variables and options that give vLLM these positions."""
    if "text_config" not in plan.entry.config:
        return [], [f"--hf-overrides '{json.dumps({'rope_parameters': yarn.parameters})}'"]
    overrides = {"text_config": {"rope_parameters": yarn.parameters}}
    return ["VLLM_ALLOW_LONG_MAX_MODEL_LEN=1"], [f"--hf-overrides '{json.dumps(overrides)}'"]


def llama_cpp_words(yarn: Yarn) -> list[str]:
    """Options that give llama.cpp these positions; it reads the rest in the model's file."""
    factor, original = yarn.parameters["factor"], yarn.parameters["original_max_position_embeddings"]
    return ["--rope-scaling yarn", f"--rope-scale {factor:g}", f"--yarn-orig-ctx {original}"]

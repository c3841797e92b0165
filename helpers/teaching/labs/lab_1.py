"""Checks of lab 1: a toy and ten questions by hand, four functions with footprint, five published numbers.

Right answers come from ``helpers.arithmetic``. What a wrong one tells comes from ``lab_1_hand_sums``, or from a call
with one slip in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from helpers.arithmetic.catalog import GB, MODELS, GiB, find_card
from helpers.arithmetic.footprint import KVShape, decode_ceiling, max_tokens, weights_bytes
from helpers.measuring.comparisons import how_far
from helpers.teaching.attempts import Complaint, is_number, need, result_of
from helpers.teaching.checks import Number, check_stages, stage
from helpers.teaching.labs.lab_1_hand_sums import KINDS, OVERHEAD, QUESTIONS, mistakes, right_answer

Function = Callable[..., Any]
SMALL, MEDIUM, SLIDING = "Llama-3.1-8B", "Qwen3-32B", "gpt-oss-20b"


# --- Part 1: the toy -------------------------------------------------------------------------------------------------
# Bytes of one token: 2 layers, 2 query heads, 1 KV head, rows of 4 numbers of 2 bytes.
check_toy_token = Number(32, "bytes") | {
    "the toy has 2 query heads, but only its 1 KV head keeps rows.": 64,
    "a factor 2 is missing: there are 2 layers, keys and values are both kept, a number takes 2 bytes.": 16,
    "factors of 2 are missing: there are 2 layers, keys and values are both kept, a number takes 2 bytes.": 8,
    "16 is bits; a number takes 2 bytes.": 256,
}

# Tokens for one user in 1,000 bytes less 100 of overhead and 420 of weights, at 32 bytes each.
check_toy_context = Number(15, "tokens") | {
    "overhead and weights come first; the cache gets what they leave.": 1_000 // 32,
    "the overhead is missing.": 580 // 32,
    "the weights are missing.": 900 // 32,
    "those are bytes; each token takes 32 of them.": 480,
}

# Users with 3 tokens each in the same memory.
check_toy_users = Number(5, "users") | {
    "that is how many tokens fit; each user has 3.": 15,
    "overhead and weights come first, once for all users.": 1_000 // 96,
    "the weights are loaded once, for all users.": 1_000 // (420 + 96),
    "the overhead is missing.": 580 // 96,
}

# Tokens per second at 5,160 bytes per second, with 3 tokens in the cache.
check_toy_speed = Number(10, "tokens per second") | {
    "that is without the cache, which is read for every token too.": 5_160 / 420,
    "that is without the weights, which are read for every token too.": 5_160 / 96,
    "the overhead is not read for every token.": 5_160 / (420 + 96 + 100),
    "that is seconds per token; turn it round.": 0.1,
    "all 3 tokens in the cache are read for each new one.": 5_160 / (420 + 32),
}


# --- Parts 2 and 3: ten questions by hand ----------------------------------------------------------------------------
def check_question(number: int, answer: Any) -> None:
    """One of the ten questions.

    Args:
        number: which, from 1 to 10.
        answer: the reader's number, in the unit that the question names.
    """
    question = QUESTIONS[number]
    Number(right_answer(question), KINDS[question.kind][0], mistakes(question))(answer)


# --- Part 4: the same with footprint ---------------------------------------------------------------------------------
class Case(NamedTuple):
    """One call of the reader's function: its stage, the arguments, what it should give, and what slips would give."""

    stage: str
    arguments: tuple[Any, ...]
    right: float
    slips: dict[str, float]


def check_cache_bytes(function: Function) -> None:
    """``cache_bytes(model, tokens, users, kv_format)``: the bytes of all users' caches."""
    per_token = _shape(SLIDING).bytes_per_token()
    users = {
        "the number of users plays no part in yours.": _shape(MEDIUM).bytes(1_000),
        "the users are counted twice: bytes() multiplies by them already.": _shape(MEDIUM).bytes(1_000, 9),
        "the tokens play no part in yours.": _shape(MEDIUM).bytes(1, 3),
    }
    sliding = {
        "sliding layers do not grow for ever: ask bytes(tokens), not bytes_per_token.": 200 * 10_000 * per_token,
        "tokens and users have changed places: bytes(tokens, sequences).": _shape(SLIDING).bytes(200, 10_000),
    }
    in_fp16 = {"the format plays no part in yours.": _shape(SMALL).bytes(64, 2)}
    _check(
        function,
        Case("one token", (SMALL, 1, 1, "fp16"), _shape(SMALL).bytes(1), {}),
        Case("three users", (MEDIUM, 1_000, 3, "fp16"), _shape(MEDIUM).bytes(1_000, 3), users),
        Case("sliding layers", (SLIDING, 10_000, 200, "fp16"), _shape(SLIDING).bytes(10_000, 200), sliding),
        Case("another format", (SMALL, 64, 2, "q8_0"), _shape(SMALL).bytes(64, 2, "q8_0"), in_fp16),
    )


def check_total_bytes(function: Function) -> None:
    """``total_bytes(model, weight_format, tokens, users, kv_format)``: overhead, weights and all caches."""
    cases = (("one user", 1, "fp16"), ("five users", 5, "fp16"), ("in q8_0", 2, "q8_0"))
    _check(function, *(_total_case(*case) for case in cases))


def _total_case(stage: str, users: int, kv_format: str) -> Case:
    weights, cache = _weights(MEDIUM, "q4_k_m"), _shape(MEDIUM).bytes(4_096, kv_format=kv_format)
    right = OVERHEAD + weights + users * cache
    slips = {
        "the overhead is missing.": right - OVERHEAD,
        "the weights are missing.": right - weights,
        "the cache is missing.": OVERHEAD + weights,
        "the number of users plays no part in yours.": OVERHEAD + weights + cache,
        "the users are counted twice: MemoryBudget takes the cache of one, and their number.": right
        + (users**2 - users) * cache,
        "the weights are loaded once, for all users.": right + (users - 1) * weights,
        "the format of the cache plays no part in yours.": OVERHEAD + weights + users * _shape(MEDIUM).bytes(4_096),
        "the format of the weights plays no part in yours.": right - weights + _weights(MEDIUM, "bf16"),
    }
    return Case(stage, (MEDIUM, "q4_k_m", 4_096, users, kv_format), right, slips)


def check_longest(function: Function) -> None:
    """``longest(model, weight_format, card, users, kv_format)``: the tokens per user that fit."""
    cases = (("one user", 1, "fp16"), ("three users", 3, "fp16"), ("in q4_0", 2, "q4_0"))
    _check(function, *(_longest_case(*case) for case in cases))


def _longest_case(stage: str, users: int, kv_format: str) -> Case:
    shape, weights, card = _shape(SMALL), _weights(SMALL, "bf16"), find_card("L4")
    free = card.memory - OVERHEAD - weights
    in_gb = free - card.memory + card.memory_gb * GB
    slips = {
        "the overhead is missing.": max_tokens(free + OVERHEAD, shape, users, kv_format),
        "the weights are missing.": max_tokens(free + weights, shape, users, kv_format),
        "the 24 GB of a card are 24 GiB: its bytes are in `memory`.": max_tokens(in_gb, shape, users, kv_format),
        "nothing fits: `memory_gb` is 24, not bytes; those are in `memory`.": 0,
        "the number of users plays no part in yours.": max_tokens(free, shape, 1, kv_format),
        "the format plays no part in yours.": max_tokens(free, shape, users),
        "that is for all users together; how many has each?": users * max_tokens(free, shape, users, kv_format),
    }
    return Case(stage, (SMALL, "bf16", "L4", users, kv_format), max_tokens(free, shape, users, kv_format), slips)


def check_speed(function: Function) -> None:
    """``speed(model, weight_format, card, tokens)``: tokens per second at best."""
    card, weights, cache = find_card("RTX 3090"), _weights(SMALL, "bf16"), _shape(SMALL).bytes(20_000)
    right = decode_ceiling(card.bandwidth, weights, cache)
    empty = decode_ceiling(card.bandwidth, weights, 0)
    slips = {
        "the cache is missing; it is read for every token too.": empty,
        "the weights are missing; they are read for every token too.": decode_ceiling(card.bandwidth, 0, cache),
        "`bandwidth_gb_s` is in GB per second; `bandwidth` is in bytes per second.": right / GB,
        "the overhead is not read for every token.": decode_ceiling(card.bandwidth, weights + OVERHEAD, cache),
        "that is seconds per token; turn it round.": 1 / right,
        "that is with the card's memory; take its bandwidth.": decode_ceiling(card.memory, weights, cache),
    }
    _check(
        function,
        Case("20,000 tokens in the cache", (SMALL, "bf16", "RTX 3090", 20_000), right, slips),
        Case("an empty cache", (SMALL, "bf16", "RTX 3090", 0), empty, {}),
    )


def _shape(model: str) -> KVShape:
    return KVShape.from_config(MODELS[model].config)


def _weights(model: str, weight_format: str) -> float:
    return weights_bytes(MODELS[model].n_params, weight_format)


def _check(function: Function, *cases: Case) -> None:
    check_stages(*(stage(case.stage, _require_right, function, case) for case in cases))


def _require_right(function: Function, case: Case) -> None:
    found = _number(function, case.arguments)
    if math.isclose(found, case.right, rel_tol=1e-6):
        return
    in_gib = {"that is in GiB; give bytes.": case.right / GiB, "that is in GB; give bytes.": case.right / GB}
    for line, number in (case.slips | in_gib).items():
        need(not math.isclose(found, number, rel_tol=1e-6), line)
    said = ", ".join(map(repr, case.arguments))
    raise Complaint(f"for ({said}) it gives {found:,.10g}; right is {case.right:,.10g}.")


def _number(function: Function, arguments: tuple[Any, ...]) -> float:
    found = result_of(function, *arguments)
    need(is_number(found), f"it gives {found!r}; a number is asked for.")
    return found


# --- Part 5: published numbers ---------------------------------------------------------------------------------------
class Published(NamedTuple):
    """A number as it was published, and the formula that gives it.

    Attributes:
        arguments: the published case, as the reader's function is called with it.
        number, within: what was published, and half a unit of its last digit.
        unit: of the number.
        wrong, right: the formula with the mistake, and the true one.
        other: another case, on which the same mistake must give what ``wrong`` gives.
        clue: what to ask oneself, for a reader who has the true number.
        mistake: its name, told in the end.
    """

    arguments: tuple[float, ...]
    number: float
    within: float
    unit: str
    wrong: Function
    right: Function
    other: tuple[float, ...]
    clue: str
    mistake: str


PUBLISHED = {
    "pulseaugur.com": Published(
        (80, 64, 8, 128, 131_072),
        340,
        5,
        "GB",
        lambda n_layers, n_heads, n_kv_heads, head_dim, tokens: 2 * n_layers * n_heads * head_dim * 2 * tokens / GB,
        lambda n_layers, n_heads, n_kv_heads, head_dim, tokens: 2 * n_layers * n_kv_heads * head_dim * 2 * tokens / GB,
        (32, 32, 8, 128, 8_192),
        "which factor could be 8 times too large?",
        "query heads are counted instead of KV heads.",
    ),
    "Hugging Face's table": Published(
        (80, 8, 128, 128_000),
        39.06,
        0.006,
        "as the table prints it",
        lambda n_layers, n_kv_heads, head_dim, tokens: 2 * n_layers * n_kv_heads * head_dim * 2 * tokens / GiB,
        lambda n_layers, n_kv_heads, head_dim, tokens: 2 * n_layers * n_kv_heads * head_dim * 2 * tokens / GB,
        (32, 8, 128, 128_000),
        "it is 7.4% less than yours; which unit is 7.4% larger than a GB?",
        "the numbers are in GiB, and the table calls them GB.",
    ),
    "canitrun.dev": Published(
        (70,),
        35.0,
        0.05,
        "GB",
        lambda billions: billions * 10**9 * 4 / 8 / GB,
        lambda billions: billions * 10**9 * 4.82 / 8 / GB,
        (405,),
        "how many bits per weight would that be?",
        "4.0 bits per weight are counted; with its scales Q4_K_M takes 4.82.",
    ),
    "NVIDIA's Model-Optimizer": Published(
        (2_880, 64, 64),
        -30,
        0.5,
        "percent",
        lambda hidden_size, n_heads, head_dim: 100 * (hidden_size / n_heads / head_dim - 1),
        lambda hidden_size, n_heads, head_dim: 0.0,
        (5_120, 32, 128),
        "the tool never reads head_dim; what does it take in its place?",
        "head_dim is computed, as hidden size over query heads, where the file names it.",
    ),
    "NVIDIA's blog": Published(
        (4, 8, 16),
        50,
        0.5,
        "percent",
        lambda value_bits, scale_bits, group: 100 * (1 - value_bits / 8),
        lambda value_bits, scale_bits, group: 100 * (1 - (value_bits + scale_bits / group) / 8),
        (2, 8, 16),
        "what in NVFP4 takes room besides the numbers?",
        "the scales are left out: 8 bits for 16 numbers, half a bit for each.",
    ),
}


def check_published(who: str, function: Function) -> None:
    """A formula of the reader's that gives a published number, for the reason for which it is wrong.

    Args:
        who: a key of ``PUBLISHED``.
        function: called with the numbers that the notebook names, in that order.
    """
    case = PUBLISHED[who]
    if check_stages(
        stage("the published number", _require_published, function, case),
        stage("the same mistake on other numbers", _require_the_mistake, function, case),
    ):
        print(f"The mistake: {case.mistake}")


def _require_published(function: Function, case: Published) -> None:
    found = _number(function, case.arguments)
    if abs(found - case.number) <= case.within:
        return
    true, shown = case.right(*case.arguments), f"{found:,.4g} {case.unit}"
    need(
        not math.isclose(found, true, rel_tol=1e-3),
        f"{shown} is the true number. Published is {case.number:g}: {case.clue}",
    )
    if case.unit == "GB":
        in_bytes = case.wrong(*case.arguments) * GB
        need(not math.isclose(found, in_bytes, rel_tol=1e-2), "that is in bytes; divide by GB.")
        need(not math.isclose(found, in_bytes / GiB, rel_tol=1e-2), "that is in GiB; divide by GB.")
    is_share = case.unit == "percent" and math.isclose(100 * found, case.number, abs_tol=case.within)
    need(not is_share, "that is a share; times 100 it is in percent.")
    far = f" Yours is {how_far(found, case.number)}." if found * case.number > 0 and case.number > 0 else ""
    raise Complaint(f"it gives {shown}; published is {case.number:g}.{far}")


def _require_the_mistake(function: Function, case: Published) -> None:
    found, expected = _number(function, case.other), case.wrong(*case.other)
    if math.isclose(found, expected, rel_tol=1e-6):
        return
    constant = math.isclose(found, result_of(function, *case.arguments), rel_tol=1e-9)
    need(not constant, "it gives the same for all; write a formula of the numbers it is given, not its result.")
    said = ", ".join(f"{number:,}" for number in case.other)
    raise Complaint(
        f"for ({said}) it gives {found:,.4g}, the mistake gives {expected:,.4g}: yours fits one number by chance."
    )


# The KV heads with which the table's third number comes out.
check_heads_405b = Number(16, "KV heads") | {
    "that is the true number of KV heads, and gives 61.52.": 8,
    "that is the number of query heads, and gives 984.38.": 128,
    "that is how many times too large the number is; how many heads is that?": 2,
}


# --- Stretch ---------------------------------------------------------------------------------------------------------
def check_times(model: str, answer: Any) -> None:
    """How many times too large vllm-fit's formula was for a model.

    Args:
        model: a name in the catalog.
        answer: the reader's number.
    """
    fields, true = MODELS[model].config, _shape(model).bytes_per_token()
    layers, heads = fields["num_hidden_layers"], fields["num_attention_heads"]
    wrong = 2 * layers * heads * fields["hidden_size"] * 4 / 8
    slips = {
        "that is what the formula gives; how many times the truth is it?": wrong,
        "the other way round: the formula's number is the larger one.": true / wrong,
        "the formula divides by 8 as well.": 8 * wrong / true,
        "compare with the KV heads that the model has, not with its query heads.": heads / 4,
    }
    Number(wrong / true, "times", slips)(answer)

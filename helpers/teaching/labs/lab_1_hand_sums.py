"""The ten questions of lab 1, each as a hand calculation, with the slips that people make in one.

A hand calculation is a ``Sum``: all the numbers that it uses. A slip replaces some of them; what the sum then gives is
the wrong answer by which the slip is known. The right answers come from ``helpers.arithmetic.footprint`` instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

from helpers.arithmetic.catalog import GB, KV_LAYOUTS, MODELS, WEIGHT_BITS, GiB, find_card
from helpers.arithmetic.footprint import KVShape, MemoryBudget, decode_ceiling, max_tokens, weights_bytes

OVERHEAD = 0.75 * GiB  # the course's assumption; lesson 03 says why it is one


@dataclass(frozen=True)
class Question:
    """One question: a model, and as much of a load and of a card as it speaks of.

    Attributes:
        kind: what is asked for, a key of ``KINDS``.
        model, weight_format, kv_format, card: names in the catalog; no card where none is spoken of.
        tokens: context of each user.
        users: texts at the same time.
    """

    kind: str
    model: str
    tokens: int = 1
    users: int = 1
    weight_format: str = "bf16"
    kv_format: str = "fp16"
    card: str = ""


QUESTIONS = {
    1: Question("one token", "Llama-3.1-8B"),
    2: Question("cache", "Qwen3-32B", 32_768),
    3: Question("cache", "gpt-oss-20b", 131_072),
    4: Question("weights", "Llama-3.1-70B", weight_format="q4_k_m"),
    5: Question("total", "Llama-3.1-70B", 131_072, weight_format="q4_k_m", card="H100 SXM 80GB"),
    6: Question("context", "Llama-3.1-8B", card="RTX 4090"),
    7: Question("users", "Llama-3.1-8B", 8_192, card="A100 80GB"),
    8: Question("total", "Llama-3.1-70B", 131_072, 4, "q4_k_m", card="H200"),
    9: Question("total", "Qwen3-32B", 32_768, 1, "q4_k_m", "q8_0", "RTX 4090"),
    10: Question("speed", "Llama-3.1-70B", 131_072, weight_format="q4_k_m", card="M4 Max 128GB"),
}


# --- The right answers, by footprint ----------------------------------------------------------------------------------
def budget(question: Question) -> MemoryBudget:
    """The three terms of a question."""
    model = MODELS[question.model]
    cache = KVShape.from_config(model.config).bytes(question.tokens, kv_format=question.kv_format)
    return MemoryBudget(OVERHEAD, weights_bytes(model.n_params, question.weight_format), cache, question.users)


def right_answer(question: Question) -> float:
    """What a question asks for, in the unit of its kind."""
    terms, shape = budget(question), KVShape.from_config(MODELS[question.model].config)
    card = find_card(question.card) if question.card else None
    free = card.memory - terms.overhead - terms.weights if card else 0
    answers: dict[str, Callable[[], float]] = {
        "one token": lambda: terms.cache,
        "cache": lambda: terms.cache / GiB,
        "weights": lambda: terms.weights / GiB,
        "total": lambda: terms.total / GiB,
        "context": lambda: max_tokens(free, shape, question.users, question.kv_format),
        "users": lambda: int(free // terms.cache_per_sequence),
        "speed": lambda: decode_ceiling(card.bandwidth, terms.weights, terms.cache),
    }
    return answers[question.kind]()


# --- The same by hand ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Sum:
    """A hand calculation: bytes, but for counts and bits. Fields are what the reader looks up on the data sheet."""

    n_full: int
    n_sliding: int
    window: int
    n_kv_heads: int
    head_dim: int
    kv_bits: float
    tokens: int
    users: int
    weights: float
    overhead: float
    memory: float = 0
    bandwidth: float = 0
    pair: int = 2

    @property
    def row(self) -> float:
        """One token's keys and values in one layer."""
        return self.pair * self.n_kv_heads * self.head_dim * self.kv_bits / 8

    @property
    def cache(self) -> float:
        """One user's cache."""
        return self.row * (self.n_full * self.tokens + self.n_sliding * min(self.tokens, max(0, self.window - 1)))

    @property
    def free(self) -> float:
        """What is left for caches."""
        return self.memory - self.overhead - self.weights


KINDS: dict[str, tuple[str, Callable[[Sum], float]]] = {
    "one token": ("bytes", lambda s: s.cache * s.users),
    "cache": ("GiB", lambda s: s.cache * s.users / GiB),
    "weights": ("GiB", lambda s: s.weights / GiB),
    "total": ("GiB", lambda s: (s.overhead + s.weights + s.cache * s.users) / GiB),
    "context": ("tokens", lambda s: math.floor(s.free / (s.users * s.row * s.n_full))),
    "users": ("users", lambda s: math.floor(s.free / s.cache)),
    "speed": ("tokens per second", lambda s: s.bandwidth / (s.weights + s.cache or math.nan)),
}


def hand_sum(question: Question) -> Sum:
    """The numbers of a question, as the data sheet has them."""
    model, shape = MODELS[question.model], KVShape.from_config(MODELS[question.model].config)
    card = find_card(question.card) if question.card else None
    return Sum(
        n_full=shape.count("full"),
        n_sliding=shape.count("sliding"),
        window=model.config.get("sliding_window") or 0,
        n_kv_heads=shape.n_kv_heads,
        head_dim=shape.head_dim,
        kv_bits=KV_LAYOUTS[question.kv_format].bits,
        tokens=question.tokens,
        users=question.users,
        weights=weights_bytes(model.n_params, question.weight_format),
        overhead=OVERHEAD,
        memory=card.memory if card else 0,
        bandwidth=card.bandwidth if card else 0,
    )


# --- Slips -----------------------------------------------------------------------------------------------------------
Changes = dict[str, float]  # fields of a ``Sum``, and what a slip writes there instead


def mistakes(question: Question) -> dict[str, float]:
    """What a wrong answer tells, mapped to that answer: single slips, slips of unit, then any two at once."""
    right, value = hand_sum(question), KINDS[question.kind][1]
    wrong = {line: value(replace(right, **changes)) for line, changes in _all_slips(question).items()}
    active = {line: _all_slips(question)[line] for line, number in wrong.items() if _differs(number, value(right))}
    found = _joined({line: wrong[line] for line in active} | _unit_slips(question, right))
    for (one, first), (other, second) in combinations(active.items(), 2):
        number = value(replace(right, **(first | second)))
        found.setdefault(f"perhaps two things at once. First, {one} Second, {other}", number)
    return {line: number for line, number in found.items() if _differs(number, value(right))}


def _all_slips(question: Question) -> dict[str, Changes]:
    """The slips that a question's kind leaves room for: the line for the reader, and the change of the sum."""
    if question.kind == "weights":
        return _weight_slips(question)
    cache = _cache_slips(question)
    if question.kind in ("one token", "cache"):
        return cache
    missing: dict[str, Changes] = (
        {} if question.kind in ("context", "users") else {"the cache is missing.": {"tokens": 0}}
    )
    return cache | missing | _weight_slips(question) | _budget_slips(question)


def _cache_slips(question: Question) -> dict[str, Changes]:
    config, right = MODELS[question.model].config, hand_sum(question)
    n_heads, by_division = config["num_attention_heads"], config["hidden_size"] // config["num_attention_heads"]
    bits, name = right.kv_bits, question.kv_format
    both = "a factor 2 is missing: keys and values are both kept" + (
        ", and a number in 16 bits takes 2 bytes." if bits == 16 else "."
    )
    return {
        f"{n_heads} is the number of query heads; only the {right.n_kv_heads} KV heads keep rows.": {
            "n_kv_heads": n_heads
        },
        both: {"pair": 1},
        f"{bits:g} is bits; 8 of them are a byte.": {"kv_bits": 8 * bits},
        f"hidden size over query heads is {by_division}; the file names head_dim {right.head_dim}.": {
            "head_dim": by_division
        },
        "the sliding layers do not keep all tokens.": {"n_full": right.n_full + right.n_sliding, "n_sliding": 0},
        f"{name} takes {bits:g} bits per number, not {int(bits)}: its scales need room too.": {"kv_bits": int(bits)},
        "that is with the cache in 16 bits.": {"kv_bits": 16},
        "that is for one user; the cache is there once for each.": {"users": 1},
    }


def _weight_slips(question: Question) -> dict[str, Changes]:
    bits, n_params = WEIGHT_BITS[question.weight_format], MODELS[question.model].n_params
    four = f"{question.weight_format} takes {bits} bits per weight, not 4.0: its scales need room too."
    eight = f"{bits:g} is bits per weight; 8 of them are a byte."
    return ({four: {"weights": n_params * 4 / 8}} if 4 < bits < 5 else {}) | {eight: {"weights": n_params * bits}}


def _budget_slips(question: Question) -> dict[str, Changes]:
    right, users, card = hand_sum(question), question.users, find_card(question.card)
    return {
        "the weights are missing.": {"weights": 0},
        "the overhead is missing.": {"overhead": 0},
        "the weights are loaded once, for all users.": {"weights": users * right.weights},
        "weights and overhead are there once, for all users.": {
            "weights": users * right.weights,
            "overhead": users * right.overhead,
        },
        "the weights went in as GB and the rest as GiB; keep to one of them.": {"weights": right.weights * GiB / GB},
        f"the {card.memory_gb} GB of a card are {card.memory_gb} GiB.": {"memory": card.memory_gb * GB},
        "a vendor's GB/s are powers of 1000.": {"bandwidth": card.bandwidth_gb_s * GiB},
    }


def _unit_slips(question: Question, right: Sum) -> dict[str, float]:
    unit, value = KINDS[question.kind][0], KINDS[question.kind][1](right)
    if unit == "GiB":
        return {
            "that is in GB; a GiB is 1,024 x 1,024 x 1,024 bytes, 7.4% more.": value * GiB / GB,
            "that is in bytes; the question is for GiB.": value * GiB,
            "that is in MiB; the question is for GiB.": value * 1024,
        }
    if unit == "users":
        return {"only whole users count.": right.free / right.cache}
    if unit == "tokens per second":
        return {
            "that is seconds per token; turn it round.": 1 / value,
            "the overhead is not read for every token.": right.bandwidth
            / (right.weights + right.cache + right.overhead),
            "a GB/s is 1,000,000,000 bytes per second.": value / GB,
        }
    return {"that is in KiB.": value / 1024} if unit == "bytes" else {}


def _joined(lines: dict[str, float]) -> dict[str, float]:
    """Slips that give the same number, in one line: "either ... Or ..."."""
    by_value: dict[float, list[str]] = {}
    for line, number in lines.items():
        by_value.setdefault(number, []).append(line)
    return {f"either {' Or '.join(same)}" if len(same) > 1 else same[0]: number for number, same in by_value.items()}


def _differs(one: float, other: float) -> bool:
    return math.isfinite(one) and not math.isclose(one, other, rel_tol=1e-3)

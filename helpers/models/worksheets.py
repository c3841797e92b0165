"""The worksheet: a task whose every memory need is known exactly.

A worksheet gives a few constants, then formulas that each use two earlier names, then asks for one name::

    b = 9 ; V = 6 ; ... D = + b V ; ... ? D

The chain of thought works the formulas one by one, looking up both operands and restating their values, and then
answers. All arithmetic is modulo 10, and every word is one token::

    D : + b 9 V 6 = D 5 ; ... answer D 5

Constants can be read again in the prompt. A formula's value exists nowhere but in the thought: whoever evicts it has
lost it. That is what makes the task a fair judge of eviction policies.
"""

from __future__ import annotations

import hashlib
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WEIGHTS = Path(__file__).parent / "reasoner"
NAMES = tuple(string.ascii_letters)
OPERATORS = {"+": lambda a, b: (a + b) % 10, "-": lambda a, b: (a - b) % 10, "*": lambda a, b: (a * b) % 10}
N_CONSTANTS = 4  # the same for every worksheet, so that worksheets of n lines all have one length
MAX_LINES = len(NAMES) - N_CONSTANTS
HELD_OUT_SHARE = 16  # one worksheet in this many is held out of training, chosen by the hash of its prompt


@dataclass(frozen=True)
class Worksheet:
    """One worksheet with its gold solution. ``f"{prompt} {thought} {answer}"`` is the whole text, one word per token.

    Attributes:
        prompt: constants, formulas and the question, as text to tokenize.
        thought: the chain of thought up to, and not including, the answer digit.
        answer: the answer, one digit.
        needed: for each value in the thought that is looked up later: index of its token in the thought, and the
            indices of the thought tokens that restate it. The answer's own index is ``len(thought.split())``.
    """

    prompt: str
    thought: str
    answer: str
    needed: dict[int, tuple[int, ...]]


def make_worksheets(count: int, n_lines: int, seed: int, held_out: bool = True) -> list[Worksheet]:
    """Make ``count`` different worksheets of ``n_lines`` formulas each; the same seed gives the same worksheets.

    Args:
        count: how many worksheets, 0 or more.
        n_lines: formulas per worksheet, 1 to 48 (52 names less 4 constants).
        seed: any integer.
        held_out: True for worksheets that training has never seen, False for training's own.

    Raises:
        ValueError: if ``count`` or ``n_lines`` is out of range.
    """
    if count < 0:
        raise ValueError(f"count is {count}; it must be 0 or more")
    if not 1 <= n_lines <= MAX_LINES:
        raise ValueError(f"n_lines is {n_lines}; it may be 1 to {MAX_LINES}")
    stream = _stream(random.Random(f"{seed}/{n_lines}"), n_lines, held_out)
    return [next(stream) for _ in range(count)]


def grade(worksheet: Worksheet, completion: str) -> bool:
    """True when the last ``answer NAME DIGIT`` in the completion names the question's name and its right value."""
    before, marker, after = completion.rpartition("answer")
    asked = worksheet.prompt.split()[-1]
    return bool(marker) and after.split()[:2] == [asked, worksheet.answer]


def is_held_out(prompt: str) -> bool:
    """True for the one prompt in 16 that training must never see, decided by its SHA-256."""
    return hashlib.sha256(prompt.encode()).digest()[0] % HELD_OUT_SHARE == 0


def _stream(rng: random.Random, n_lines: int, held_out: bool) -> Iterator[Worksheet]:
    seen: set[str] = set()
    while True:
        worksheet = _make(rng, n_lines)
        if is_held_out(worksheet.prompt) == held_out and worksheet.prompt not in seen:
            seen.add(worksheet.prompt)
            yield worksheet


def _make(rng: random.Random, n_lines: int) -> Worksheet:
    names = rng.sample(NAMES, N_CONSTANTS + n_lines)
    values = {name: rng.randrange(10) for name in names[:N_CONSTANTS]}
    prompt = [f"{name} = {values[name]} ;" for name in values]
    thought: list[str] = []
    last_mention = {name: i for i, name in enumerate(values)}  # the smaller, the longer unmentioned
    popular = rng.sample(names[: N_CONSTANTS + 4], min(3, n_lines))
    for i in range(N_CONSTANTS, len(names)):
        name, operator = names[i], rng.choice("+-*")
        a = _pick(rng, names[:i], popular, last_mention)
        b = _pick(rng, [n for n in names[:i] if n != a], popular, last_mention)
        values[name] = OPERATORS[operator](values[a], values[b])
        prompt.append(f"{name} = {operator} {a} {b} ;")
        thought += [name, ":", operator, a, str(values[a]), b, str(values[b]), "=", name, str(values[name]), ";"]
        last_mention |= {a: len(thought), b: len(thought), name: len(thought) + 1}
    asked = _pick(rng, names[N_CONSTANTS:], [], last_mention)
    prompt.append(f"? {asked}")
    thought += ["answer", asked]
    return Worksheet(" ".join(prompt), " ".join(thought), str(values[asked]), _needed(thought))


def _pick(rng: random.Random, candidates: list[str], popular: list[str], last_mention: dict[str, int]) -> str:
    """An operand: popular, recent, any at all, or the one not mentioned for longest, so needs are near and far."""
    kind = rng.choice(("popular", "recent", "any", "forgotten"))
    liked = [name for name in popular if name in candidates]
    if kind == "popular" and liked:
        return rng.choice(liked)
    if kind == "recent":
        return rng.choice(candidates[-4:])
    if kind == "forgotten":
        return min(candidates, key=last_mention.__getitem__)
    return rng.choice(candidates)


def _needed(thought: list[str]) -> dict[int, tuple[int, ...]]:
    """Which value tokens of the thought later tokens restate. Every mention of a name is a copy of its value."""
    mentions: dict[str, list[int]] = {}
    for i, word in enumerate(thought):
        if word in NAMES and (i + 1 == len(thought) or thought[i + 1].isdigit()):
            mentions.setdefault(word, []).append(i + 1)
    needs = {}
    for indices in mentions.values():
        needs |= {at: tuple(indices[k + 1 :]) for k, at in enumerate(indices) if indices[k + 1 :]}
    return dict(sorted(needs.items()))

"""Worksheets in words: what the reasoner solves in signs, told in English for SmolLM2, the same needs in it.

::

    After nine comes zero again. Anna has nine. Ben has six. ... Walter takes Anna plus Ben. ... What does Walter have?
    Walter takes Anna plus Ben: Anna has nine, Ben has six, so Walter has five. ... In the end Walter has five

Each name and each number is one token of SmolLM2, with the space before it, so that worksheets of n lines all have one
length here too, and a value's place is known.
"""

from __future__ import annotations

from helpers.models.worksheets import NAMES, Worksheet

_PEOPLE = """
Adam Alan Alex Alice Amy Andrew Anna Arthur Barbara Ben Brian Carl Charles Daniel David Diana Edward Elizabeth Emily
Emma Eric Eva Frank Fred George Grace Hannah Harry Helen Henry Jack James Jason Joseph Julia Karen Kevin Laura Lily
Louis Lucy Maria Martin Oliver Peter Rachel Richard Simon Sophia Thomas Victor Walter
"""
PEOPLE = _PEOPLE.split()
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
OPERATIONS = {"+": "plus", "-": "minus", "*": "times"}
WORDS = dict(zip(NAMES, PEOPLE, strict=True)) | dict(zip("0123456789", NUMBERS, strict=True)) | OPERATIONS
# As SmolLM2's chat template writes a question, without the system's words.
BEFORE, AFTER = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
END = ".<|im_end|>"
LINE_SIGNS, LINE_TOKENS = 11, 19  # of a line of the thought: signs, and tokens of SmolLM2
PLACES = {4: 8, 6: 12, 9: 17}  # of a line's three values, in signs and in tokens
LAST_TOKENS = 5  # of "In the end NAME has"


def in_words(sheet: Worksheet) -> Worksheet:
    """The same worksheet for SmolLM2: its prompt a chat's, ``needed`` in tokens of SmolLM2.

    As in signs, ``f"{prompt} {thought} {answer}"`` is the whole text; ``END`` follows it. A thought of n lines has
    ``19 n + 5`` tokens.
    """
    *given, asked = sheet.prompt.split(" ; ")
    lines = sheet.thought.split(" ; ")[:-1]
    name = WORDS[asked.split()[-1]]
    prompt = " ".join(["After nine comes zero again.", *map(_given, given), f"What does {name} have?"])
    thought = " ".join([*map(_worked, lines), f"In the end {name} has"])
    needed = {
        token_at(at, len(lines)): tuple(token_at(i, len(lines)) for i in then) for at, then in sheet.needed.items()
    }
    return Worksheet(BEFORE + prompt + AFTER, thought, WORDS[sheet.answer], needed)


def _given(line: str) -> str:
    """``b = 9`` or ``D = + b V``, as a sentence."""
    name, _, *rest = (WORDS.get(word, word) for word in line.split())
    if len(rest) == 1:
        return f"{name} has {rest[0]}."
    sign, a, b = rest
    return f"{name} takes {a} {sign} {b}."


def _worked(line: str) -> str:
    """``D : + b 9 V 6 = D 5``, as a sentence."""
    name, _, sign, a, a_value, b, b_value, _, _, value = (WORDS.get(word, word) for word in line.split())
    return f"{name} takes {a} {sign} {b}: {a} has {a_value}, {b} has {b_value}, so {name} has {value}."


def token_at(sign: int, n_lines: int) -> int:
    """Where a value's token stands in the thought in words, of its place in the thought in signs."""
    line, place = divmod(sign, LINE_SIGNS)
    return line * LINE_TOKENS + (LAST_TOKENS if line == n_lines else PLACES[place])

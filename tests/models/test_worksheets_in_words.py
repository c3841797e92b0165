"""Worksheets in words: the same sums and needs as in signs, a token each where it counts."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from helpers.models import smollm2
from helpers.models.worksheets import NAMES, make_worksheets
from helpers.models.worksheets_in_words import AFTER, BEFORE, END, NUMBERS, OPERATIONS, PEOPLE, in_words
from tests.models.test_smollm2 import needs_smollm2

WORDS = {word: str(i) for i, word in enumerate(NUMBERS)} | {word: sign for sign, word in OPERATIONS.items()}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(smollm2.convert())


def solved(prompt):
    """The thought of a prompt in words, worked out here: every sum, in order, round from nine to zero."""
    question = prompt.removeprefix(BEFORE).removesuffix(AFTER)
    sentences, asked = question.removeprefix("After nine comes zero again. ").split(" What does ")
    values, thought = {}, []
    for sentence in re.findall(r"[^.]+\.", sentences):
        name, verb, *rest = sentence.strip(" .").split()
        if verb == "has":
            values[name] = NUMBERS.index(rest[0])
            continue
        a, sign, b = rest
        x, y = values[a], values[b]
        values[name] = {"plus": x + y, "minus": x - y, "times": x * y}[sign] % 10
        said = [f"{each} has {NUMBERS[values[each]]}" for each in (a, b, name)]
        thought.append(f"{name} takes {a} {sign} {b}: {said[0]}, {said[1]}, so {said[2]}.")
    name = asked.removesuffix(" have?")
    return " ".join([*thought, f"In the end {name} has"]), NUMBERS[values[name]]


@given(st.integers(1, 48), st.integers(0, 10**6))
def test_thought_and_answer_follow_from_the_prompt(n_lines, seed):
    sheet = in_words(make_worksheets(1, n_lines, seed)[0])
    assert (sheet.thought, sheet.answer) == solved(sheet.prompt)


def test_names_numbers_and_signs_are_different_words():
    assert len(PEOPLE) == len(set(PEOPLE)) == len(NAMES)
    assert not {*PEOPLE} & {*WORDS}


@needs_smollm2
@pytest.mark.parametrize("n_lines", [1, 5, 24, 48])
def test_a_value_stands_where_needed_says(n_lines, tokenizer):
    for signs in make_worksheets(5, n_lines, seed=3):
        sheet = in_words(signs)
        prompt, whole = (
            tokenizer(text).input_ids for text in (sheet.prompt, f"{sheet.prompt} {sheet.thought} {sheet.answer}{END}")
        )
        thought = whole[len(prompt) :]
        assert whole[: len(prompt)] == prompt and len(thought) == 19 * n_lines + 5 + 1 + 2
        assert tokenizer.decode(thought[-2:]) == END and tokenizer.decode(thought[-3]) == f" {sheet.answer}"
        for at, restated in sheet.needed.items():
            assert tokenizer.decode(thought[at]).strip() in NUMBERS
            assert {thought[place] for place in restated} == {thought[at]} and min(restated) > at
        assert [*map(len, sheet.needed.values())] == [*map(len, signs.needed.values())]


@needs_smollm2
def test_the_question_is_as_the_chat_template_writes_it(tokenizer):
    sheet = in_words(make_worksheets(1, 2, seed=0)[0])
    question = sheet.prompt.removeprefix(BEFORE).removesuffix(AFTER)
    chat = [{"role": "user", "content": question}]
    whole = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert whole.endswith(sheet.prompt)

"""The texts to measure on: long enough, and none of them twice the same."""

import re

import pytest

from helpers.records.measured import FOLDER
from helpers.records.texts import TEXTS, random_tokens, read_text

LEAST_CHARACTERS = {"english": 45_000, "code": 15_000, "lists": 7_000, "course": 15_000}


def test_every_file_is_a_text_and_every_text_a_file():
    assert sorted(TEXTS) == sorted(path.stem for path in (FOLDER / "texts").iterdir())


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_long_and_tidy(name):
    text = read_text(name)
    assert len(text) >= LEAST_CHARACTERS[name]
    assert text == text.strip() + "\n" and not set("\r\t") & set(text)


@pytest.mark.parametrize("name", ["english", "lists", "course"])
def test_no_two_passages_are_alike(name):
    passages = [passage for passage in read_text(name).split("\n") if len(passage) > 60]
    assert len(set(passages)) == len(passages)


def test_english_does_not_repeat_itself():
    """Of eight words in a row, next to none come twice; in filler they would."""
    words = re.findall(r"[a-z']+", read_text("english").lower())
    runs = [tuple(words[i : i + 8]) for i in range(len(words) - 7)]
    assert len(set(runs)) > 0.995 * len(runs)


def test_a_name_that_is_none_is_said_in_one_line():
    with pytest.raises(ValueError, match=r"name is 'latin'; it may be english, code, lists, course"):
        read_text("latin")


def test_random_tokens_are_the_same_again_and_cover_the_vocabulary():
    tokens = random_tokens(4000, 100)
    assert tokens == random_tokens(4000, 100) != random_tokens(4000, 100, seed=1)
    assert set(tokens) == set(range(100))

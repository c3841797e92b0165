"""Windows of the texts that a real model is measured on."""

from types import SimpleNamespace

import pytest

from helpers.experiments.windows import windows
from helpers.models import load_reasoner
from helpers.records.texts import random_tokens, read_text


@pytest.fixture(scope="module")
def by_letters():
    """A model to which every character is a token, on the reasoner's device."""

    def tokenize(text, truncation, max_length):
        assert truncation
        return SimpleNamespace(input_ids=[ord(c) for c in text[:max_length]])

    return SimpleNamespace(model=load_reasoner().model, tokenizer=tokenize)


def test_windows_follow_each_other_from_the_beginning(by_letters):
    found = windows(by_letters, "code", 3, 50)
    assert found.shape == (3, 50)
    assert "".join(map(chr, found.flatten().tolist())) == read_text("code")[:150]


def test_random_windows_are_of_the_model_s_own_tokens(by_letters):
    found, vocabulary = windows(by_letters, "random", 2, 40), by_letters.model.config.vocab_size
    assert found.flatten().tolist() == random_tokens(80, vocabulary)
    assert found.max() < vocabulary


def test_a_text_that_is_too_short_is_said(by_letters):
    with pytest.raises(ValueError, match=r"lists has [\d,]+ tokens; 200 windows of 100 need 20,000"):
        windows(by_letters, "lists", 200, 100)

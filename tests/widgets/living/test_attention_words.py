"""Attention over four words: JavaScript and Python agree, and both with torch; the order changes nothing."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.widgets.living.attention_words import KEYS, START, VALUES, WORDS, AttentionWords, attend, verdict
from tests.widgets.living.node import answers_of

PART = st.floats(-2, 2)


@given(st.tuples(PART, PART))
def test_it_is_torch_s_attention(query):
    q, k, v = (torch.tensor(each, dtype=torch.float64)[None, None] for each in ([query], KEYS, VALUES))
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v)[0, 0, 0]
    np.testing.assert_allclose(attend(query)["answer"], wanted, atol=1e-12)


def test_javascript_counts_as_python_does():
    rng = np.random.default_rng(0)
    calls = [[rng.uniform(-2, 2, shape).tolist() for shape in (2, (4, 2), (4, 2))] for _ in range(200)]
    for call, found in zip(calls, answers_of("attention_words.js", "attendWords", calls), strict=True):
        for name, numbers in attend(*(tuple(each) for each in call)).items():
            np.testing.assert_allclose(found[name], numbers, atol=1e-12)


def test_javascript_says_what_python_says():
    rng = np.random.default_rng(1)
    shares = [attend(tuple(rng.uniform(-1.4, 1.4, 2)))["shares"] for _ in range(100)]
    said = answers_of("attention_words.js", "verdict", [[WORDS, each] for each in shares])
    assert [each["line"] for each in said] == [verdict(each) for each in shares]


def test_the_order_of_the_words_changes_nothing():
    picture = AttentionWords()
    found = [picture.frame(START | {"order": list(order)}) for order in itertools.permutations(range(4))]
    for each in found:
        np.testing.assert_allclose(each["answer"], found[0]["answer"], atol=1e-12)
        assert dict(zip(each["words"], each["shares"], strict=True))["on"] == pytest.approx(found[0]["shares"][3])


def test_it_begins_unsolved_and_every_word_can_win():
    assert verdict(attend((0.5, -1.7))["shares"]).startswith("“on” wins")
    turns = np.linspace(0, 2 * np.pi, 360)
    winners = {int(np.argmax(attend((np.cos(turn), np.sin(turn)))["shares"])) for turn in turns}
    assert winners == {0, 1, 2, 3}


@pytest.mark.parametrize("query", [(1,), (2.5, 0)])
def test_a_query_outside_the_plane_is_refused(query):
    with pytest.raises(ValueError, match="it must be two numbers between -2 and 2"):
        AttentionWords(query)


def test_an_order_that_is_none_is_refused():
    with pytest.raises(ValueError, match="each of 0, 1, 2 and 3 once"):
        AttentionWords().frame(START | {"order": [0, 0, 1, 2]})


@settings(deadline=None)  # the first call loads the fonts
@given(st.tuples(st.floats(-1.4, 1.4), st.floats(-1.4, 1.4)))
def test_it_stands_still_within_its_sheet(query):
    scene = AttentionWords(query).scene()
    assert len(scene.svg()) < 60_000
    assert verdict(attend(query)["shares"]) in scene.title


def test_no_query_at_all_shares_equally():
    assert attend((0, 0))["shares"] == [0.25] * 4
    assert AttentionWords((0, 0)).scene()

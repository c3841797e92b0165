"""What a text read once leaves: the weights are attention's, the group is the KV head's, the plainest one is found."""

import pytest
import torch
from transformers import DynamicCache

from helpers.decoding.looking_back import Reading, look_back
from helpers.models import load_reasoner, make_worksheets

SHEET = make_worksheets(1, n_lines=3, seed=5)[0]


@pytest.fixture(scope="module")
def reading():
    return look_back(load_reasoner(), SHEET.prompt)


def test_every_layer_s_weights_are_shares_of_what_each_word_sees(reading):
    n_words = len(reading.words)
    assert len(reading.weights) == len(reading.queries) == 4 and reading.ids.shape == (1, n_words)
    for weights in reading.weights:
        assert weights.shape == (8, n_words, n_words)
        assert torch.allclose(weights.sum(-1), torch.ones(8, n_words), atol=1e-5)
        assert not weights.triu(1).any()


def test_the_newest_word_s_weights_follow_from_its_queries_and_the_cache(reading):
    for layer, queries in enumerate(reading.queries):
        groups = queries.unflatten(0, (4, -1))
        expected = (groups @ reading.cache.layers[layer].keys[0].mT * reading.scaling).softmax(-1)
        for kv_head in range(4):
            assert torch.allclose(reading.group(layer, kv_head), expected[kv_head], atol=1e-5)


def written(rows):
    """A reading of one layer whose query heads, two to a KV head, look back from the last word as given."""
    cache, n_words = DynamicCache(), len(rows[0])
    cache.update(torch.zeros(1, len(rows) // 2, n_words, 2), torch.zeros(1, len(rows) // 2, n_words, 2), 0)
    weights = torch.zeros(len(rows), n_words, n_words)
    weights[:, -1] = torch.tensor(rows)
    return Reading(torch.zeros(1, n_words), ("The", " dog", " saw", "."), cache, (), (weights,), 1.0)


@pytest.mark.parametrize(
    ("rows", "plainest"),
    [
        ([[0, 0.6, 0.4, 0], [0, 0.7, 0.3, 0], [0.5, 0.3, 0.2, 0], [0.5, 0.2, 0.3, 0]], 1),  # different words
        ([[0, 0.9, 0.1, 0], [0, 0, 0.1, 0.9], [0.5, 0.3, 0.2, 0], [0.5, 0.2, 0.3, 0]], 1),  # a full stop is no word
        ([[0, 0.6, 0.4, 0], [0, 0.4, 0.6, 0], [0.5, 0.3, 0.2, 0], [0.5, 0.2, 0.3, 0]], 0),  # more plainly
        ([[0.6, 0.3, 0.1, 0], [0.5, 0.4, 0.1, 0], [0.9, 0.1, 0, 0], [0.9, 0.1, 0, 0]], 0),  # none: the plainest
    ],
)
def test_the_plainest_group_prefers_different_words(rows, plainest):
    assert written(rows).plainest() == (0, plainest)


def test_a_text_of_one_token_is_refused():
    with pytest.raises(ValueError, match="two tokens or more"):
        look_back(load_reasoner(), "")

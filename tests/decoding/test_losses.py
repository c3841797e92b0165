"""The loss of each token of a text, against one pass over all of it; and which tokens were the likeliest."""

import pytest
import torch
from torch.nn.functional import log_softmax
from transformers import DynamicCache

from helpers.cache import PagedCache
from helpers.decoding.losses import foretold, token_losses
from helpers.eviction import Compressor, StreamingLLM
from helpers.models import load_reasoner, make_worksheets
from helpers.models.loading import gold_ids


@pytest.fixture(scope="module")
def text():
    course = load_reasoner()
    return course.model, gold_ids(course, make_worksheets(3, 12, seed=5))


def in_one_pass(model, token_ids):
    with torch.inference_mode():
        chances = log_softmax(model(token_ids).logits, dim=-1)
    return -chances[:, :-1].gather(-1, token_ids[:, 1:, None])[..., 0], chances.argmax(-1)


@pytest.mark.parametrize("prompt_length", [1, 7])
@pytest.mark.parametrize("paged", [False, True])
def test_without_eviction_they_are_those_of_one_pass(text, prompt_length, paged):
    model, token_ids = text
    cache = PagedCache.for_model(model, 60, 16, "fp32", 3) if paged else DynamicCache(config=model.config)
    losses, trace = token_losses(model, token_ids, prompt_length, cache)
    expected, likeliest = in_one_pass(model, token_ids)
    assert losses.shape == (3, token_ids.shape[1] - prompt_length)
    assert torch.allclose(losses, expected[:, prompt_length - 1 :], atol=1e-3)
    right = likeliest[:, prompt_length - 1 : -1] == token_ids[:, prompt_length:]
    assert (foretold(trace, token_ids) == right).float().mean() > 0.99


def test_under_a_compressor_a_token_is_foretold_by_the_rows_that_are_left(text):
    """A window of all rows but the first four and the last: what one pass sees through a mask of the same shape."""
    model, token_ids = text
    token_ids, budget, interval = token_ids[:, :90], 24, 8
    cache = PagedCache.for_model(model, 60, 16, "fp32", 3)
    compressor = Compressor(StreamingLLM(), budget, interval, "shared", True, protect_prompt=False, protect_recent=4)
    losses, trace = token_losses(model, token_ids, 1, cache, compressor)
    allowed = torch.ones(90, 90, dtype=torch.bool).tril()
    for end in sorted(compression.tokens_seen for compression in trace.compressions.values()):
        allowed[end:, 4 : end - budget + 4] = False
    mask = torch.zeros(1, 1, 90, 90).masked_fill(~allowed, -torch.inf)
    with torch.inference_mode():
        chances = log_softmax(model(token_ids, attention_mask=mask).logits, dim=-1)
    expected = -chances[:, :-1].gather(-1, token_ids[:, 1:, None])[..., 0]
    assert len(trace.compressions) == 8
    assert torch.allclose(losses, expected, atol=1e-3)

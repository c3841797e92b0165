"""Copying heads: attention counted as by hand, rows kept or dropped by force, and what is left."""

import pytest
import torch

from helpers.cache import PagedCache
from helpers.decoding import replay
from helpers.eviction import H2O, Compressor, Random
from helpers.eviction.recorder import Recorder
from helpers.experiments import smollm2_recall as recall
from helpers.experiments import smollm2_tasks as tasks
from helpers.experiments.smollm2_recall import Favouring
from helpers.experiments.smollm2_tasks import Task

FIRST, LENGTH, BUDGET = 20, 80, 40


@pytest.fixture(scope="module")
def text():
    return tasks.english().token_ids[:2, :LENGTH]


def read(text, policy, selection="per_layer_per_head"):
    recorder = Recorder(policy)
    pool = PagedCache.for_model(tasks.smollm2().model, 12, 16, "fp32", 2)
    replay(tasks.smollm2().model, text, 1, pool, Compressor(recorder, BUDGET, 16, selection, True, False, 4))
    return recorder


@pytest.mark.parametrize("policy", [H2O, Random])
@pytest.mark.parametrize("keep", [True, False])
def test_in_the_named_heads_the_first_tokens_are_kept_or_dropped_and_in_no_other(text, policy, keep):
    heads = [(3, 0), (3, 2), (29, 1)]
    forced, free = (read(text, made).left for made in (Favouring(policy(), heads, FIRST, keep), policy()))
    last = max(forced)
    for layer, tokens in forced[last].items():
        for head in range(3):
            early = (tokens[:, head] < FIRST).sum(-1)
            if (layer, head) in heads:
                assert (early == (FIRST if keep else 0)).all()
    if policy is Random:  # whose choice depends on nothing that was forced
        same = [torch.equal(forced[last][i][:, h], free[last][i][:, h]) for i in range(30) for h in range(3)]
        assert sum(same) >= 30 * 3 - len(heads)


def test_an_overruled_policy_s_own_books_are_not_touched(text):
    policy = H2O()
    read(text, Favouring(policy, [(0, 0)], FIRST, True))
    assert policy.drawn[0].max() <= LENGTH  # a row draws at most 1 from each query


def test_copying_is_the_weight_on_what_followed_the_same_word(monkeypatch):
    monkeypatch.setattr(recall, "PASSAGE", 12)
    monkeypatch.setattr(recall, "BETWEEN", 20)
    monkeypatch.setattr(recall, "CUE", 2)
    text = tasks.english().token_ids[:3, :32]
    token_ids = torch.cat([text, text[:, :12]], dim=1)
    found = recall.copying(Task(token_ids, token_ids > 0))
    model = tasks.smollm2().model
    try:
        model.set_attn_implementation("eager")
        with torch.inference_mode():
            grids = model(token_ids, output_attentions=True).attentions
    finally:
        model.set_attn_implementation("sdpa")
    for layer in (0, 15, 29):
        by_hand = [grids[layer][:, :, here, here - 31] for here in range(34, 43)]
        assert torch.allclose(found[layer], torch.stack(by_hand).mean((0, 1)), atol=1e-4)


def test_the_heads_for_comparison_are_others_and_as_many():
    chosen = [(0, 1), (5, 2), (29, 0)]
    drawn = [recall.others(chosen, seed) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    for heads in drawn:
        assert len(set(heads)) == 3 and not set(heads) & set(chosen)


def test_what_is_left_of_a_passage_and_of_attention_is_counted_as_by_hand(text, monkeypatch):
    monkeypatch.setattr(recall, "PASSAGE", FIRST)
    monkeypatch.setattr(recall, "BETWEEN", LENGTH - FIRST)
    recorder = read(text, Random())
    left = recorder.left[max(recorder.left)]
    assert recall.passage_left(recorder)[7, 1] == pytest.approx(
        sum(sum(token < FIRST for token in row) for row in left[7][:, 1].tolist()) / 2 / FIRST
    )
    monkeypatch.setattr(recall, "LAST", 8)
    weights = recall.last_weights(Task(text, text > 0))
    assert weights.shape == (30, 2, 9, 8, LENGTH)
    before = max(position for position in recorder.left if position < LENGTH - 8)
    kept = torch.zeros_like(weights)
    kept[..., before + 1 :] = 1
    for layer, tokens in recorder.left[before].items():
        for head in range(9):
            for i in range(2):
                kept[layer, i, head][:, tokens[i, head // 3]] = 1
    assert recall.mass_kept(recorder, weights) == pytest.approx((weights * kept).sum(-1).mean().item(), abs=1e-5)

"""A fact told early: where it stands, what is said of it, and which heads still have its rows."""

from types import SimpleNamespace

import pytest
import torch

from helpers.experiments import told_early
from helpers.experiments.smollm2_tasks import FACTS, facts, smollm2


@pytest.mark.parametrize("text", [0, 3, 11])
def test_a_fact_is_found_where_it_is_told(text):
    told, token_ids = FACTS[text][0], facts().token_ids[text]
    first, end = told_early.place_of(token_ids, told)
    assert smollm2().tokenizer.decode(token_ids[first:end]) == told


def test_what_is_said_ends_with_the_first_token_that_is_wrong():
    task, wrong = facts(), smollm2().tokenizer(" bed").input_ids[0]
    likeliest = task.token_ids[:, 1:].clone()
    assert [told_early.said(task, likeliest, i) for i in (0, 3)] == ["Biscuit", "flowerpot"]
    first = int(task.counted[3].nonzero()[0])
    likeliest[3, first - 1] = wrong  # of every token but the first
    assert told_early.said(task, likeliest, 3) == "bed"
    likeliest[0, int(task.counted[0].nonzero()[1]) - 1] = wrong
    assert told_early.said(task, likeliest, 0) == "B bed"


def test_without_eviction_all_heads_have_all_rows_up_to_the_question():
    task, all_heads = facts(), smollm2().shape.n_layers * smollm2().shape.n_kv_heads
    left = told_early.heads_left(task, None, 3)
    assert left.tolist() == [all_heads] * int(task.counted[3].nonzero()[0])


def test_heads_are_counted_after_the_last_compression_before_the_answer():
    task, all_heads = facts(), smollm2().shape.n_layers * smollm2().shape.n_kv_heads
    kept = torch.tensor([[[0, 5], [0, 7], [0, 5]]]).expand(len(FACTS), -1, -1)  # [texts, n_kv_heads, rows]
    later = torch.zeros_like(kept)
    left = told_early.heads_left(task, SimpleNamespace(left={9: {0: kept, 1: kept}, 639: {0: later, 1: later}}), 0)
    assert left[:10].tolist() == [6, 0, 0, 0, 0, 4, 0, 2, 0, 0]
    assert set(left[10:].tolist()) == {all_heads}

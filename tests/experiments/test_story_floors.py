"""Floors that a story gives back: a window's can be told beforehand, and heads that choose alone give none."""

import pytest

from helpers.experiments import smollm2_tasks as tasks
from helpers.experiments import story_floors
from helpers.records import load_story_floors


@pytest.fixture(scope="module")
def text():
    return tasks.english().token_ids[:1, : story_floors.FLOORS * story_floors.BLOCK_SIZE]


@pytest.mark.parametrize("selection", ["shared", "per_layer_per_head"])
def test_a_window_leaves_the_first_floor_and_the_last(text, selection):
    """4 first tokens and the 15 latest of 192: the floors of tokens 0 to 15 and 176 to 191."""
    assert story_floors.floors_freed(text, "StreamingLLM", selection) == 10


def test_heads_that_choose_for_themselves_close_no_floor(text):
    assert story_floors.floors_freed(text, "Random", "per_layer_per_head") == 0


def test_the_record_agrees_with_what_can_be_told_beforehand():
    freed = load_story_floors().freed
    stories = len(load_story_floors().facts["prompts"])
    assert {tuple(freed["StreamingLLM", mode]) for _, mode in freed} == {(10,) * stories}
    assert freed["TriAttention", "per_layer_per_head"] == [0] * stories

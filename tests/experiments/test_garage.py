"""The recording of the garage: ranks keep what the compressor keeps, links are a grid's strongest weights."""

import json

import numpy as np
import pytest
import torch

from helpers.arithmetic import KVShape
from helpers.cache import PagedCache
from helpers.eviction import Compressor, Policy
from helpers.eviction.parking import Parking
from helpers.eviction.selection import SELECTIONS
from helpers.experiments import garage, story_floors
from helpers.experiments import smollm2_tasks as tasks
from helpers.records import load_garage


@pytest.fixture(scope="module")
def story():
    """The recorded conversation, read back from its text."""
    tokens = tasks.smollm2().tokenizer("".join(load_garage().tokens), return_tensors="pt", add_special_tokens=False)
    assert tokens.input_ids.shape == (1, 192)
    return tokens.input_ids


class Left(Policy):
    """Chance scores, and what was left after the eviction, ``[n_layers, n_kv_heads, rows]``."""

    least_recent = 5

    def begin(self, shape, prompt_length, token_index):
        self.left = {}

    def score(self, layer, keys, position):
        rng = np.random.default_rng(layer)
        return torch.from_numpy(rng.integers(0, 40, (1, 9, keys.shape[2]))).float()  # some alike

    def kept(self, layer, keep):
        self.left[layer] = keep[0]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_rank_below_the_count_is_what_the_compressor_keeps(selection, story):
    policy = Left()
    order = garage.ranks_at_the_end(story, policy)[selection]
    assert np.array_equal(np.sort(order, axis=-1), np.broadcast_to(np.arange(192), order.shape))
    for count in (story_floors.KEPT, 100, 191):
        with_this_budget(story, policy, count, selection)
        kept = np.broadcast_to(order < count, (30, 3, 192))
        for layer, left in policy.left.items():
            for head, places in enumerate(left.tolist()):
                assert np.flatnonzero(kept[layer, head]).tolist() == places


def with_this_budget(story, policy, count, selection):
    """Let the compressor itself act at the end of the story, over an empty model's worth of rows."""
    cache = PagedCache(KVShape(30, 3, 64), 12)
    compressor = Compressor(policy, count, 192 - count, selection, False, False, policy.least_recent)
    compressor.begin(cache, 1)
    rows = torch.zeros(1, 3, 192, 64)
    for layer in range(30):
        cache.write(rows, rows, layer)
    assert compressor.after_pass(cache).rows_after == count


def test_protected_rows_come_first_the_latest_of_all():
    of_candidates = np.array([[[1, 0, 2]]])
    assert garage.with_protected(of_candidates, 2).tolist() == [[[3, 2, 4, 1, 0]]]
    assert garage.with_protected(of_candidates, 0).tolist() == of_candidates.tolist()


def test_links_are_the_strongest_weights_and_never_the_token_itself():
    weights = torch.zeros(1, 5, 5)
    weights[0, 4] = torch.tensor([0.2, 0.004, 0.3, 0.046, 0.45])
    links = garage.strongest(weights)
    assert links.shape == (1, 5, garage.LINKS, 2) and links.dtype == np.uint8
    assert links[0, 4].tolist() == [[2, 30], [0, 20], [3, 5]]
    assert not links[0, :4, :, 1].any()


# --- The record against a fresh run -----------------------------------------------------------------------------------
def test_links_of_a_fresh_run_are_the_recorded_ones(story):
    """To a per cent; which of two rows alike is named may differ between processors."""
    for layer, links in garage.attention(story).items():
        recorded = load_garage().links[layer]
        assert np.abs(links[..., 1].astype(int) - recorded[..., 1]).max() <= 1
        strong = recorded[..., 1] >= 5
        assert (links[..., 0] == recorded[..., 0])[strong].mean() > 0.98


@pytest.mark.parametrize("policy", ["H2O", "SnapKV", "KeyNorm"])  # TriAttention takes minutes to calibrate
def test_ranks_of_a_fresh_run_keep_the_recorded_rows(policy, story):
    """Nearly all: scores that are nearly alike may change places between processors."""
    fresh = garage.ranks_at_the_end(story, garage.prepared(policy))
    for mode, order in fresh.items():
        recorded = load_garage().ranks[policy][mode]
        both = (order < 19) & (recorded < 19)
        assert both.sum() > 0.98 * (recorded < 19).sum()


def test_frames_are_saved_once_and_are_the_pools():
    rng = np.random.default_rng(0)
    shapes = {"shared": (1, 1), "union": (1, 1), "per_head": (1, 3), "per_layer_per_head": (30, 3)}
    ranks = {mode: rng.permuted(np.tile(np.arange(64), (*some, 1)), axis=-1) for mode, some in shapes.items()}
    parking = Parking(64, 20, {"A": ranks, "B": ranks}, KVShape(30, 3, 64))
    saved = garage.frames(parking)
    assert len({json.dumps(frame) for frame in saved["frames"]}) == len(saved["frames"])
    assert len(saved["cells"]) == 2 * 4 * 2
    for cell in saved["cells"]:
        for stop, i in zip(saved["stops"], cell["frames"], strict=True):
            choice = {name: cell[name] for name in ("policy", "mode", "compact")} | {"share": stop["share"]}
            whole = parking.after(choice)
            said = stop | saved["frames"][i]
            assert said == {name: value for name, value in whole.items() if name in said} | {"share": stop["share"]}
            assert set(whole) - set(said) == {"layer", "rows"}

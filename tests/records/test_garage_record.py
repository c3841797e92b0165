"""The recorded garage: whole, small, in step with the pool, and with the floors that were counted on a whole model."""

import itertools

import numpy as np
import pytest

from helpers.eviction.parking import Parking
from helpers.eviction.selection import SELECTIONS
from helpers.records import load_garage, load_story_floors
from helpers.records.garage import packed, unpacked
from helpers.records.measured import FOLDER

GARAGE = load_garage()
CHOICES = list(itertools.product(GARAGE.ranks, SELECTIONS, (False, True)))


def test_it_is_small_enough_for_a_page():
    assert (FOLDER / "garage.json").stat().st_size <= 300_000


def test_the_conversation_fills_twelve_floors_and_reads_well():
    assert len(GARAGE.tokens) == 12 * GARAGE.block_size
    text = "".join(GARAGE.tokens)
    assert GARAGE.facts["prompt"] in text and "\ufffd" not in text
    assert GARAGE.tokens[GARAGE.prompt_length - 1] == "\n" and text.count("<|im_start|>assistant\n") == 1
    assert "".join(GARAGE.tokens[: GARAGE.prompt_length]).endswith("<|im_start|>assistant\n")


def test_a_block_is_taken_when_the_first_token_goes_in():
    prompt, size = GARAGE.prompt_length, GARAGE.block_size
    assert GARAGE.events == [(max(prompt, size * block + 1), "take", block) for block in range(12)]


def test_every_rank_is_there_once_in_every_head():
    for by_mode in GARAGE.ranks.values():
        for mode, ranks in by_mode.items():
            assert ranks.shape == (*GARAGE.facts["ranks_shape"][mode], 192)
            assert np.array_equal(np.sort(ranks, axis=-1), np.broadcast_to(np.arange(192, dtype=np.uint8), ranks.shape))


def test_links_lead_back_and_are_shares_of_one_whole():
    for links in GARAGE.links.values():
        assert links.shape == (GARAGE.n_heads, 192, 3, 2)
        tokens, shares = links[..., 0].astype(int), links[..., 1].astype(int)
        assert (tokens < np.arange(192)[:, None])[shares > 0].all()
        assert (np.diff(shares, axis=-1) <= 0).all() and shares.sum(-1).max() <= 101  # each is rounded


@pytest.mark.parametrize("policy", GARAGE.ranks)
@pytest.mark.parametrize("mode", SELECTIONS)
def test_floors_at_nine_in_ten_are_those_counted_on_the_model_itself(policy, mode):
    counted = load_story_floors()
    story = counted.facts["prompts"].index(GARAGE.facts["prompt"])
    frame = GARAGE.frames[policy, mode, False][GARAGE.shares.index(0.9)]
    assert frame["keep"] == counted.facts["rows_kept"]
    assert frame["floors_closed"] == counted.freed[policy, mode][story]


@pytest.mark.parametrize("policy", GARAGE.ranks)
def test_frames_are_what_the_pool_says_and_ranks_expand_to_its_rows(policy):
    parking, sizes = Parking.of(GARAGE), (GARAGE.n_layers, GARAGE.n_kv_heads, 192)
    for i, (name, mode, compact) in enumerate(each for each in CHOICES if each[0] == policy):
        layer = (7 * i + 3) % GARAGE.n_layers
        ranks = np.broadcast_to(GARAGE.ranks[policy][mode], sizes)[layer]
        for share, recorded in zip(GARAGE.shares, GARAGE.frames[name, mode, compact], strict=True):
            choice = {"policy": policy, "mode": mode, "compact": compact, "share": share, "layer": layer}
            frame = parking.after(choice)
            assert frame == recorded | {"layer": layer, "rows": expanded(ranks, recorded, compact)}


def expanded(ranks, frame, compact):
    """The rows of a layer, as a picture without Python makes them of its ranks ``[n_kv_heads, tokens]``."""
    size, moved, rows = GARAGE.block_size, compact and frame["keep"] < 192, {}
    kept = ranks < frame["keep"]
    for place, block in enumerate(frame["tables"][0]):
        if moved:  # the j-th row left lies in slot j
            slots = range(place * size, (place + 1) * size)
            rows[str(block)] = [
                [int(left[j]) if j < len(left) else -2 for j in slots] for left in map(np.flatnonzero, kept)
            ]
        else:  # block b was taken for tokens 16 b and the 15 behind it
            tokens = np.arange(block * size, (block + 1) * size)
            rows[str(block)] = np.where(kept[:, tokens], tokens, -1).tolist()
    return rows


def test_packing_keeps_whole_numbers_of_a_byte():
    numbers = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    assert np.array_equal(unpacked(packed(numbers), 4, 8, -1), numbers)

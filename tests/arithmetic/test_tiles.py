"""Tiles with a running maximum and sum end where the whole softmax ends, for any logits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.arithmetic.tiles import causal_weights, grid_bytes, run_tiles, tile_bytes

LOGITS = st.lists(st.lists(st.floats(-50, 50), min_size=6, max_size=6), min_size=6, max_size=6)


@given(LOGITS, st.sampled_from([1, 2, 3, 6]))
def test_the_last_step_has_the_whole_row_s_maximum_and_sum(logits, size):
    last = run_tiles(logits, size)[-1]
    for i, row in enumerate(logits):
        seen = row[: i + 1]
        assert last.maximum[i] == max(seen)
        assert last.total[i] == pytest.approx(math.fsum(math.exp(logit - max(seen)) for logit in seen))


@given(LOGITS, st.sampled_from([1, 2, 3]))
def test_a_tile_s_weights_become_the_grid_s_by_the_last_maximum_and_sum(logits, size):
    steps, grid = run_tiles(logits, size), causal_weights(logits)
    last = steps[-1]
    assert len(steps) == (6 // size) * (6 // size + 1) // 2
    for step in steps:
        for i, weights in enumerate(step.weights, step.row):
            scale = math.exp(step.maximum[i] - last.maximum[i]) / last.total[i]
            assert [weight * scale for weight in weights] == pytest.approx(
                grid[i][step.column : step.column + size], abs=1e-12
            )


def test_tiles_must_fill_the_grid():
    with pytest.raises(ValueError, match="size is 4; it may be a divisor of 6"):
        run_tiles([[0.0] * 6] * 6, 4)


def test_bytes_of_a_grid_and_of_tiles():
    assert grid_bytes(32, 16_384) == 32 * 16_384**2 * 4 == 32 * 2**30
    assert tile_bytes(32, 16_384, 128) == 32 * (128 * 128 * 4 + 16_384 * 8)

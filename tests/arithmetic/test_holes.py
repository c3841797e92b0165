"""Masks by age and by place over a row of slots."""

from hypothesis import given
from hypothesis import strategies as st

from helpers.arithmetic.holes import FILL, SLIDE, broken_habits, mask_by_age, mask_by_place, take_in

ROWS = st.lists(st.one_of(st.none(), st.integers(0, 40)), min_size=4, max_size=16).filter(
    lambda row: len({t for t in row if t is not None}) == len([t for t in row if t is not None]) >= 3
)


@given(ROWS, st.integers(1, 3), st.sampled_from([None, 2, 5]))
def test_masks_are_what_their_definitions_say_cell_by_cell(row, n_new, window):
    newest = sorted(token for token in row if token is not None)[-n_new:]
    by_age, by_place = mask_by_age(row, n_new, window), mask_by_place(row, n_new, window)
    for token, age, place in zip(newest, by_age, by_place, strict=True):
        own = row.index(token)
        for slot, (other, sees_by_age, sees_by_place) in enumerate(zip(row, age, place, strict=True)):
            between = sum(t is not None for t in row[slot:own])  # how many places it stands before the token
            assert sees_by_age == (other is not None and 0 <= token - other < (window or 10_000))
            assert sees_by_place == (other is not None and slot <= own and between < (window or 10_000))


@given(ROWS, st.integers(1, 4), st.sampled_from([FILL, SLIDE]))
def test_without_a_window_masks_agree_where_new_tokens_come_last(row, n_new, way):
    newest = max(token for token in row if token is not None)
    slots, _ = take_in(row, range(newest + 1, newest + 1 + n_new), way)
    assert mask_by_age(slots, n_new) == mask_by_place(slots, n_new)
    assert "mask of a step with several tokens" not in broken_habits(slots, n_new, 4)


def test_a_token_in_a_hole_in_front_sees_too_little():
    slots = [0, 4, 2, 3]
    assert mask_by_age(slots, 1) == [[True] * 4]
    assert mask_by_place(slots, 1) == [[True, True, False, False]]

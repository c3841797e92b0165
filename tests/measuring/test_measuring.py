"""What a run is measured by: bytes of everything reachable, intervals of shares, paired differences."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.arithmetic import KVShape
from helpers.cache import PagedCache
from helpers.measuring import Trace, paired_difference, share_interval
from helpers.measuring.comparisons import mean_interval, student_t
from helpers.measuring.costs import reachable_bytes
from helpers.measuring.trace import Compression


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_the_ends_of_an_interval_are_the_shares_that_lie_1_96_standard_errors_away(right):
    """Wilson's definition: p is an end where (share - p)^2 = z^2 p (1 - p) / n."""
    share, count = sum(right) / len(right), len(right)
    low, high = share_interval(right)
    assert -1e-9 <= low <= share + 1e-9 and share - 1e-9 <= high <= 1 + 1e-9
    for end in (low, high):
        assert (share - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / count, abs=1e-6)


def test_an_interval_at_the_edge_is_not_of_width_zero():
    assert share_interval([True] * 96)[0] == pytest.approx(0.9615, abs=1e-4)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=30, max_size=60))
def test_a_paired_difference_has_the_standard_error_of_its_differences(pairs):
    ones, others = zip(*pairs, strict=True)
    mean, half = paired_difference(ones, others)
    differences = torch.tensor(ones).double() - torch.tensor(others).double()
    assert mean == pytest.approx(differences.mean().item())
    assert half == pytest.approx(2.02 * differences.std().item() / math.sqrt(len(pairs)), rel=0.02)


@pytest.mark.parametrize(("freedom", "t"), [(3, 3.182), (4, 2.776), (7, 2.365), (9, 2.262), (29, 2.045), (10**6, 1.96)])
def test_student_s_t_is_that_of_the_tables(freedom, t):
    assert student_t(freedom) == pytest.approx(t, rel=0.01 if freedom < 7 else 0.001)


def test_the_interval_of_a_mean_is_by_student_s_t():
    values = [3.0, 4.0, 6.0, 7.0, 7.0, 8.0, 10.0, 11.0]
    mean, half = mean_interval(values)
    assert (mean, half) == (7, pytest.approx(2.365 * torch.tensor(values).std().item() / math.sqrt(8), rel=1e-3))
    with pytest.raises(ValueError, match="values has 3 of them; an interval of their mean needs 4 or more"):
        mean_interval(values[:3])


def test_worksheets_hard_for_both_fall_out_of_a_paired_difference():
    hard = [i % 2 == 0 for i in range(100)]
    assert paired_difference(hard, hard) == (0, 0)


def test_reachable_bytes_counts_each_storage_once_and_follows_every_container():
    tensor = torch.zeros(10)

    class Thing:
        def __init__(self):
            self.view, self.same, self.itself = tensor[2:4], [tensor, (tensor,)], self
            self.more = {"a": {"b": torch.zeros(3, dtype=torch.int8)}}

    assert reachable_bytes(Thing()) == 40 + 3
    assert reachable_bytes(5) == 0


@pytest.mark.parametrize("in_one_piece", [True, False])
def test_a_paged_cache_takes_its_pool_its_index_and_its_buffers_and_nothing_else(in_one_piece):
    cache = PagedCache(KVShape(2, 3, 8), num_blocks=4, kv_format="fp32")
    if not in_one_piece:
        cache.pool.free_queue.reverse()
    for layer in range(2):
        cache.update(torch.randn(1, 3, 20, 8), torch.randn(1, 3, 20, 8), layer)
    pool, index = 2 * 2 * 64 * 3 * 8 * 4, 2 * 64 * 3 * 4
    buffers = sum(store.buffer_bytes for store in cache.stores)
    heads = 2 * 3 * 8  # where the rows of each begin, for K and for V
    assert reachable_bytes(cache) == pool + index + buffers + heads + cache.slots.nbytes + cache._new.slots.nbytes
    # What is read where it lies is gathered nowhere.
    assert buffers == 0 if in_one_piece else buffers >= 2 * 20 * 3 * 8 * 4


def test_bytes_freed_by_a_compression_count_once():
    """Held 100, compression frees 40, the next pass takes 5: freed are 40 and not 35."""
    compression = Compression(9, 20, 12, 4, 40, 0.1, 0.1)
    trace = Trace(1, [[]], bytes_held=[100, 65, 70], compressions={0: compression})
    assert (trace.bytes_freed, trace.blocks_freed, compression.tokens_evicted) == (40, 4, 8)

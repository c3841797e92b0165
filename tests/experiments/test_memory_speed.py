"""The bench measures what it says: its naive score is the definition, its bytes are the caches' own; goals are met."""

import pytest
import torch

from helpers.eviction import score
from helpers.experiments import memory_speed
from helpers.records import load_memory_speed


def test_the_naive_score_and_the_quick_one_are_one_score():
    statistics = memory_speed.random_statistics()
    keys = torch.randn(memory_speed.N_KV_HEADS, 40, memory_speed.HEAD_DIM)
    ours = score(keys, *statistics, 30_000, memory_speed.OFFSETS)
    naive = memory_speed.score_as_defined(keys, *statistics, 30_000, memory_speed.OFFSETS)
    assert (ours - naive).abs().max() < 1e-4 * naive.abs().max()


@pytest.mark.filterwarnings("ignore")
def test_the_decode_rows_name_both_caches_and_all_their_bytes():
    goals = {40: {"DynamicCache": 0.01, "StaticCache": 1000.0}}
    rows = list(memory_speed.decoding("x", memory_speed.small_model(), goals))
    assert [(row.what, row.goal, row.reached) for row in rows] == [
        ("x decodes at 40 tokens: PagedCache and DynamicCache", "0.01 times or more", True),
        ("x decodes at 40 tokens: PagedCache and StaticCache", "1000.00 times or more", False),
        ("x, bytes at 40 tokens, all buffers", "", None),
    ]
    dynamic = (40 + memory_speed.REPEATS) * 4 * 2 * memory_speed.N_KV_HEADS * memory_speed.HEAD_DIM * 4
    assert f"DynamicCache {dynamic / 2**20:.1f} MiB" in rows[2].figure


def test_the_saved_run_reached_every_goal():
    saved = load_memory_speed()
    goals = [row for row in saved.rows if row.goal]
    assert len(goals) == 9
    assert [row.what for row in goals if not row.reached] == []
    assert saved.facts["machine"]["torch"] and saved.facts["machine"]["threads"] >= 1

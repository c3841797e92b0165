"""The bench measures what it says: its naive score is the definition, its bytes are the caches' own; goals are met."""

import json

import pytest
import torch

from helpers import bench
from helpers.eviction.triattention import score


def test_the_naive_score_and_the_quick_one_are_one_score():
    statistics = bench._statistics()
    keys = torch.randn(bench.N_KV_HEADS, 40, bench.HEAD_DIM)
    ours = score(keys, *statistics, 30_000, bench.OFFSETS)
    naive = bench.score_as_defined(keys, *statistics, 30_000, bench.OFFSETS)
    assert (ours - naive).abs().max() < 1e-4 * naive.abs().max()


@pytest.mark.filterwarnings("ignore")
def test_the_decode_rows_name_both_caches_and_all_their_bytes(monkeypatch):
    monkeypatch.setattr(bench, "LENGTHS", (40,))
    rows = list(bench.decoding(bench.small_model()))
    assert [row.what for row in rows] == [
        "decode at 40 tokens: PagedCache and DynamicCache",
        "decode at 40 tokens: PagedCache and StaticCache",
        "bytes at 40 tokens, all buffers",
    ]
    dynamic = (40 + bench.REPEATS) * 4 * 2 * bench.N_KV_HEADS * bench.HEAD_DIM * 4
    assert f"DynamicCache {dynamic / 2**20:.1f} MiB" in rows[2].figure


def test_the_saved_run_reached_every_goal():
    saved = json.loads(bench.DATA.read_text())
    goals = [row for row in saved["rows"] if row["goal"]]
    assert len(goals) == 5
    assert [row["what"] for row in goals if not row["reached"]] == []
    assert saved["machine"]["torch"] and saved["machine"]["threads"] >= 1

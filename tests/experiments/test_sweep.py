"""The sweep: what a cell counts, held against free running, and the saved figures against what must follow."""

from dataclasses import replace
from math import ceil

import pytest
import torch

from helpers.cache import PagedCache
from helpers.decoding import generate
from helpers.eviction import POLICIES, SHOWN, Compressor
from helpers.experiments import sweep
from helpers.experiments.sweep import Cell
from helpers.measuring import share_interval
from helpers.records.measured import read

SHEETS = 4


@pytest.fixture(scope="module")
def saved():
    return read("sweep")


@pytest.fixture
def small(monkeypatch):
    """Four worksheets in a batch, and nothing kept for other tests."""
    monkeypatch.setattr(sweep, "BATCH", SHEETS)
    sweep.prepare.cache_clear()
    yield sweep.prepare(1)
    sweep.prepare.cache_clear()


@pytest.mark.parametrize(
    "cell",
    [
        Cell("TriAttention", 0.5, "shared"),
        Cell("Oracle", 0.5, "per_head"),
        Cell("StreamingLLM", 0.5, "shared", compact=False),
        Cell("SnapKV, not smoothed", 0.5, "per_head"),
    ],
    ids=lambda cell: cell.policy,
)
def test_a_worksheet_counts_as_right_exactly_when_free_running_writes_the_gold_text(cell, small):
    result, model = sweep.run_cell(cell, 1), sweep.reasoner().model
    thought = small.token_ids[:, small.prompt_length :]
    cache = PagedCache.for_model(model, 60 * SHEETS, kv_format="fp32", batch_size=SHEETS)
    compressor = Compressor(
        POLICIES[cell.policy](sweep.subject(small.sheets)),
        round(0.5 * thought.shape[1]),
        32,
        cell.selection,
        cell.compact,
    )
    prompts = small.token_ids[:, : small.prompt_length]
    trace = generate(model, prompts, cache, compressor, max_new_tokens=thought.shape[1])
    assert [tokens == gold.tolist() for tokens, gold in zip(trace.tokens, thought, strict=True)] == result["right"]


def test_lookups_are_the_values_that_the_worksheet_restates(small):
    result = sweep.run_cell(Cell("Oracle", 0.5, "shared"), 1)
    for sheet, count in zip(small.sheets, result["lookups"], strict=True):
        words = [*sheet.thought.split(), sheet.answer]
        names = [name for name, value in zip(words, words[1:], strict=False) if value.isdigit()]
        assert count == len(names) - len(set(names))  # every mention of a value but its first
    assert all(0 <= right <= all_ for right, all_ in zip(result["lookups_right"], result["lookups"], strict=True))


def test_a_cell_leaves_the_prefilled_cache_as_it_was(small):
    before = small.prefilled.stats()
    keys = small.prefilled.read_keys(0).clone()
    sweep.run_cell(Cell("H2O", 0.25, "per_layer_per_head"), 1)
    assert small.prefilled.stats() == before
    assert torch.equal(small.prefilled.read_keys(0), keys)
    small.prefilled.pool.check_integrity(small.prefilled.tables)


def test_policies_that_say_so_and_no_others_give_one_result_in_every_mode(small):
    results = {
        name: [sweep.run_cell(Cell(name, 0.25, selection), 1)["lookups_right"] for selection in sweep.SELECTIONS]
        for name in SHOWN
    }
    alike = {name for name, of_modes in results.items() if all(each == of_modes[0] for each in of_modes)}
    assert alike == {name for name in SHOWN if sweep.suited(sweep.subject(small.sheets))[name].heads_alike}


def test_a_policy_that_needs_worksheets_is_left_out_where_there_are_none():
    with_worksheets = sweep.subject([])
    without = replace(with_worksheets, worksheets=None)
    assert list(sweep.suited(with_worksheets)) == list(POLICIES)
    assert POLICIES.keys() - sweep.suited(without).keys() == {"Oracle"}


def test_every_cell_is_there_once_and_over_all_worksheets(saved):
    cells = [Cell(c["policy"], c["share"], c["selection"], c["compact"]) for c in saved["cells"]]
    policies = sweep.suited(sweep.subject([]))
    run, alike = {cell for cell, _ in sweep.cells(policies)}, {name for name in policies if policies[name].heads_alike}
    assert len(set(cells)) == len(cells)
    assert {c for c in cells if c.policy not in alike} == {c for c in run if c.policy not in alike}
    assert {(c.policy, c.share) for c in cells} == {(c.policy, c.share) for c in run}
    for cell in saved["cells"]:
        count = saved["worksheets"]["count"] if cell["compact"] else sweep.BATCH
        assert len(cell["right"]) == len(cell["lookups"]) == len(cell["lookups_right"]) == count
        assert cell["compressions"] >= 3
    assert 0 < saved["minutes"] <= 30 and saved["machine"]["torch"]


def test_with_compaction_the_blocks_freed_follow_from_the_rows(saved):
    size, prompt, thought = saved["block_size"], saved["prompt_tokens"], saved["thought_tokens"]
    for cell in (c for c in saved["cells"] if c["compact"]):
        budget = round(cell["share"] * thought)
        full, kept = ceil((prompt + budget + saved["interval"]) / size), ceil((prompt + budget) / size)
        assert cell["blocks_freed"] == pytest.approx(cell["compressions"] * (full - kept))


def test_without_compaction_scattered_survivors_of_half_the_thought_give_next_to_nothing_back(saved):
    for cell in saved["cells"]:
        if not cell["compact"] and cell["policy"] in ("Random", "KeyNorm", "TriAttention") and cell["share"] == 0.5:
            assert cell["blocks_freed"] < 0.1


def test_knowing_the_future_is_not_beaten_and_keys_alone_are_not_enough(saved):
    def share(policy, selection):
        of = [c for c in saved["cells"] if (c["policy"], c["selection"], c["share"]) == (policy, selection, 0.5)]
        return share_interval([digit == "1" for digit in of[0]["right"]])

    for selection in sweep.SELECTIONS:
        assert share("Oracle", selection)[0] > 0.85
        assert share("KeyNorm", selection)[1] < 0.3

"""SmolLM2's tasks and cells: what is counted, that a cell is what it says, and that a run can be broken off."""

import itertools
import json
import re

import pytest
import torch
from torch.nn.functional import cross_entropy

from helpers.eviction import ABLATIONS, POLICIES
from helpers.eviction.selection import SELECTIONS
from helpers.experiments import smollm2_sweep as sweep
from helpers.experiments import smollm2_tasks as tasks
from helpers.experiments.smollm2_sweep import EVERY_HEAD, NO_EVICTION, Cell
from helpers.experiments.smollm2_tasks import Task


@pytest.fixture(scope="module")
def small():
    """Two short texts, of which the later half counts."""
    token_ids = tasks.english().token_ids[:2, :96]
    return Task(token_ids, (torch.arange(96) >= 48).expand(2, -1))


def test_each_text_has_one_length_and_what_counts_comes_late_enough():
    for name, make in tasks.TASKS.items():
        task = make()
        assert task.counted.shape == task.token_ids.shape
        first = task.counted.float().argmax(1)
        assert (task.counted.sum(1) > 0).all()
        assert (first >= sweep.SHARES[name][0] * task.token_ids.shape[1] + sweep.INTERVAL).all()


def test_the_texts_of_a_task_share_no_window():
    for make in (tasks.english, tasks.recall):
        windows = [{tuple(text[i : i + 24].tolist()) for i in range(len(text) - 23)} for text in make().token_ids]
        assert not any(one & other for one, other in itertools.combinations(windows, 2))


def test_in_recall_the_passage_comes_again_and_only_then_counts():
    task = tasks.recall()
    again = tasks.PASSAGE + tasks.BETWEEN
    assert torch.equal(task.token_ids[:, :160], task.token_ids[:, again:])
    assert task.counted.nonzero()[:, 1].unique().tolist() == list(range(again + tasks.CUE, again + tasks.PASSAGE))


def test_a_fact_is_told_asked_for_and_answered_by_what_counts():
    task, decode = tasks.facts(), tasks.smollm2().tokenizer.decode
    for text, counted, (told, question, beginning, answer) in zip(
        task.token_ids, task.counted, tasks.FACTS, strict=True
    ):
        written = decode(text)
        assert written.index(told) < written.index(question) < written.rindex(beginning)
        assert written.endswith(beginning + answer) and decode(text[counted]) == answer
        assert len(re.findall(rf"{answer}\b", written)) == 2  # where it is told, and at the end


def test_every_policy_meets_every_budget_and_each_cell_is_named_once():
    cells = list(sweep.cells())
    assert len(cells) == len(set(cells))
    for task, shares in sweep.SHARES.items():
        for share in shares:
            run = {
                cell.policy for cell in cells if (cell.task, cell.share, cell.selection) == (task, share, EVERY_HEAD)
            }
            assert run >= POLICIES.keys() - ABLATIONS.keys() - {"Oracle"}
        of_ours = {cell.selection for cell in cells if (cell.task, cell.policy) == (task, "TriAttention")}
        assert of_ours == set(SELECTIONS)


def test_without_eviction_the_loss_is_the_model_s_own(small):
    with torch.inference_mode():
        logits = tasks.smollm2().model(small.token_ids).logits[:, :-1]
    losses = cross_entropy(logits.mT, small.token_ids[:, 1:], reduction="none")[:, 47:].mean(1)
    found = sweep.measure(small, Cell("english", NO_EVICTION, 1.0, EVERY_HEAD))
    assert found["losses"] == pytest.approx(losses.tolist(), abs=2e-3)
    assert (found["compressions"], found["blocks_freed"], found["weights_bytes"]) == (0, 0, 0)


@pytest.mark.parametrize("policy", ["TriAttention", "H2O"])
def test_sliding_survivors_together_changes_the_blocks_and_no_loss(small, policy, monkeypatch):
    monkeypatch.setattr(sweep, "INTERVAL", 16)
    monkeypatch.setattr(sweep, "calibration_text", lambda: tasks.calibration_text()[:, :256])
    left, moved = (
        sweep.measure(small, Cell("english", policy, 0.25, EVERY_HEAD, compact)) for compact in (False, True)
    )
    assert left["losses"] == pytest.approx(moved["losses"], abs=2e-3)
    assert left["compressions"] == moved["compressions"] == 4  # at 40, 56, 72 and 88 tokens, to 24 rows
    assert left["blocks_freed"] < moved["blocks_freed"] == 4  # from 40 rows, three blocks, to two, each time
    assert (left["weights_bytes"] > 0) == (policy == "H2O")


def test_a_run_that_was_broken_off_goes_on_where_it_was(tmp_path, monkeypatch):
    wanted = [Cell("english", "Random", share, EVERY_HEAD) for share in (0.5, 0.25, 0.125)]
    monkeypatch.setattr(sweep, "cells", lambda: iter(wanted))
    monkeypatch.setattr(sweep, "run", _as_asked)
    kept = tmp_path / "kept"
    kept.write_text(json.dumps(vars(wanted[1]) | {"losses": "had before"}) + "\n")
    found = sweep.sweep(kept, 1)
    assert [each["losses"] for each in found] == ["run 0.5", "had before", "run 0.125"]
    assert len(kept.read_text().splitlines()) == 3


def _as_asked(cell):
    return vars(cell) | {"losses": f"run {cell.share}"}

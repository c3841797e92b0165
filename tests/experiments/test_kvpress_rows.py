"""KVPress and the course keep the same rows where their rules agree; where not, one difference undone makes them agree.

Played from what KVPress said once; ``make test-kvpress`` asks it anew. Rows may differ by near ties, which another
processor, or another version's order of sums, decides otherwise: a few in 9,000, and none by a rule.
"""

import pytest
import torch
from torch.nn.functional import avg_pool1d, pad

from helpers.eviction import KeyNorm, Policy, SnapKV, StreamingLLM
from helpers.experiments.kvpress_rows import (
    KEPT,
    LENGTH,
    PREFILL,
    QUESTIONS,
    TARGET,
    WINDOW,
    calibrated,
    ratio_for,
    run_policy,
    run_policy_decoding,
)
from helpers.measuring.press_run import PressRun
from helpers.records import load_kvpress_rows
from helpers.teaching.labs.lab_8_presses import NEXT_TO_NONE, compare, open_presses

HEADS, BYTES_PER_TOKEN = 90, 46_080


@pytest.fixture(scope="module")
def presses():
    """The record, or with COURSE_KVPRESS=live KVPress itself."""
    presses = open_presses()
    yield presses
    if presses.engine is not None:
        presses.engine.stop()


class Unrounded(KeyNorm):
    """KeyNorm by the length as it is, where the course keeps 12 bits."""

    def score(self, layer, keys, position):
        return -keys.norm(dim=-1)


class GroupMean(SnapKV):
    """SnapKV with the mean over a group of query heads, where the course takes the largest z-score."""

    def score(self, layer, keys, position):
        return super().score(layer, keys, position).unflatten(1, (keys.shape[1], -1)).mean(2)


class CutFirst(SnapKV):
    """The same, and the window's rows cut off before neighbours are averaged, where the course cuts after."""

    def score(self, layer, keys, position):
        plain = SnapKV(self.window, kernel_size=1)
        plain.queries = self.queries
        weights = plain.score(layer, keys, position)[..., : -self.window]
        smooth = avg_pool1d(weights, self.kernel_size, stride=1, padding=self.kernel_size // 2)
        return pad(smooth.unflatten(1, (keys.shape[1], -1)).mean(2), (0, self.window))


# --- The same rule, the same rows ------------------------------------------------------------------------------------
def test_streaming_llm_keeps_the_same_rows_in_every_head(presses):
    ours, theirs = run_policy(StreamingLLM()), presses.run("StreamingLLM")
    assert ours.rows == theirs.rows
    assert ours.rows[0][0] == (0, 1, 2, 3, *range(PREFILL - KEPT + 4, PREFILL))
    assert ours.loss == pytest.approx(theirs.loss, abs=0.002)


def test_key_norm_differs_by_its_rounding_and_by_nothing_else(presses):
    theirs = presses.run("KNorm")
    rounded, exact = run_policy(KeyNorm()), run_policy(Unrounded())
    assert compare(exact, theirs).differ <= NEXT_TO_NONE < compare(rounded, theirs).differ <= 30
    assert exact.loss == pytest.approx(theirs.loss, abs=0.002)
    assert max(KEPT - same for same in rounded.in_common(theirs).values()) <= 2


def test_snapkv_differs_by_the_mean_over_a_group_and_at_the_edge_of_the_window(presses):
    theirs = presses.run("SnapKV")
    assert 0.91 < compare(run_policy(SnapKV()), theirs).share < 0.95
    mean, edge = run_policy(GroupMean()), run_policy(CutFirst())
    assert compare(mean, theirs).differ <= 10
    assert compare(edge, theirs).differ <= NEXT_TO_NONE
    assert edge.loss == pytest.approx(theirs.loss, abs=0.002)
    assert all(set(range(PREFILL - WINDOW, PREFILL)) <= set(tokens) for _, tokens in theirs.heads())


def test_triattention_as_a_press_keeps_what_the_policy_keeps(presses):
    ours, theirs = run_policy(calibrated()), presses.run("TriAttention")
    assert compare(ours, theirs).differ <= NEXT_TO_NONE
    assert ours.loss == pytest.approx(theirs.loss, abs=0.002)


# --- While decoding --------------------------------------------------------------------------------------------------
def test_triattention_does_so_after_five_compressions_too(presses):
    ours, theirs = run_policy_decoding(calibrated()), presses.run("TriAttention, decoding")
    assert ours.compressions == theirs.compressions == 5
    assert compare(ours, theirs).differ <= 2 * NEXT_TO_NONE
    assert ours.loss == pytest.approx(theirs.loss, abs=0.002)


def test_key_norm_differs_there_by_a_few_rows(presses):
    """In the first layer a word's key has one length wherever it stands, but for rounding; later layers follow it."""
    exact, theirs = run_policy_decoding(Unrounded()), presses.run("KNorm, decoding")
    assert compare(exact, theirs).differ <= 30
    assert exact.loss == pytest.approx(theirs.loss, abs=0.005)


def test_streaming_llm_loses_its_sinks_there_unless_places_are_sorted(presses):
    ours = run_policy_decoding(StreamingLLM())
    shuffled, mended = presses.run("StreamingLLM, decoding"), presses.run("StreamingLLM in order, decoding")
    assert mended.rows == ours.rows and mended.in_order and not shuffled.in_order
    assert ours.rows[0][0][:4] == (0, 1, 2, 3)
    assert not any({0, 1, 2, 3} <= set(tokens) for _, tokens in shuffled.heads())
    assert shuffled.loss > mended.loss + 0.2


# --- Rows, bytes, loss -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", QUESTIONS)
def test_what_every_run_adds_up_to(presses, name):
    run = presses.run(name)
    assert len(list(run.heads())) == HEADS and all(loss > 0 for loss in run.losses)
    tokens = LENGTH if "decoding" in name else PREFILL
    kept = {"nothing": PREFILL, "ThinK": PREFILL}.get(name, TARGET if "decoding" in name else KEPT)
    assert run.rows_kept == HEADS * kept
    assert run.bytes_before == tokens * BYTES_PER_TOKEN
    assert run.bytes_after == run.rows_in_tensors * BYTES_PER_TOKEN


def test_a_ratio_is_not_memory(presses):
    adaptive, think = presses.run("AdaKV"), presses.run("ThinK")
    assert adaptive.share_of_bytes == think.share_of_bytes == 1
    assert think.zeroed_channels == 32
    assert len({len(tokens) for _, tokens in adaptive.heads()}) > 10
    assert presses.run("SnapKV").share_of_bytes == KEPT / PREFILL


def test_blocks_are_held_whole():
    run = run_policy(StreamingLLM())
    assert run.bytes_after == 112 * BYTES_PER_TOKEN > KEPT * BYTES_PER_TOKEN


# --- A ratio, a run --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tokens", [1, 2, 7, 100, 400, 513, 4096])
def test_the_ratio_leaves_exactly_so_many_rows(tokens):
    assert all(int(tokens * (1 - ratio_for(kept, tokens))) == kept for kept in range(1, tokens))
    assert int(600 * (1 - 0.9)) == 59


def test_a_run_comes_back_from_a_record_as_it_went():
    run = PressRun((((0, 2, 70),), ((1, 3, 4),)), 3, 0.5, False, 1, 100, 60, (1.0, 2.0))
    assert PressRun.from_json(run.to_json()) == run
    assert (run.loss, run.rows_kept, run.share_of_bytes) == (1.5, 6, 0.6)
    other = PressRun((((2, 5, 70),), ((1, 3, 4),)), 3, 0.5, False, 1, 100, 60, (1.0, 2.0))
    assert run.in_common(other) == {(0, 0): 2, (1, 0): 3} and compare(run, other).differ == 1


def test_the_record_was_made_of_these_questions():
    record = load_kvpress_rows()
    assert list(record.runs) == list(QUESTIONS)
    assert record.facts["versions"]["kvpress"] == "0.5.5"


def test_a_policy_that_keeps_another_number_of_rows_is_not_compared():
    class Nothing(Policy):
        def score(self, layer, keys, position):
            return torch.zeros(keys.shape[:-1])

    with pytest.raises(ValueError, match="one side keeps 9,000 rows and the other 36,000"):
        compare(run_policy(Nothing()), load_kvpress_rows().runs["nothing"])

"""Four readers under every lever, small: the closed form finds what the blocks hold, and sharing changes no loss."""

import pytest
import torch

from helpers.arithmetic import KVShape
from helpers.eviction import Compressor, Random, StreamingLLM
from helpers.experiments import stacked_savings
from helpers.experiments.stacked_savings import Levers, all_levers, predict_bytes, run_readers
from helpers.experiments.stand_ins import TINY_CONFIG, random_model, random_policy
from helpers.records import load_smollm2_sweep, load_stacked_savings
from helpers.records import stacked_savings as names
from helpers.records.smollm2_sweep import NO_EVICTION

DOCUMENT, OWN = 50, 90


@pytest.fixture(scope="module")
def model():
    return random_model(TINY_CONFIG | {"head_dim": 32})


@pytest.fixture(scope="module")
def texts():
    torch.manual_seed(1)
    ids = torch.randint(64, (4, DOCUMENT + OWN))
    ids[:, :DOCUMENT] = ids[:1, :DOCUMENT]
    return ids


COMPRESSORS = {
    "none": None,
    "half, compacted": Compressor(Random(), 40, 16, "shared"),
    "half, scattered": Compressor(Random(), 40, 16, "per_layer_per_head", compact=False),
    "the latest": Compressor(StreamingLLM(), 32, 24, "per_head"),
    "the document too": Compressor(Random(), 40, 16, "per_layer_per_head", protect_prompt=False),
}


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kv_format", ["fp16", ("q8_0", "q4_0")])
@pytest.mark.parametrize("own", [90, 77])
def test_the_closed_form_predicts_what_readers_hold(model, texts, name, shared, kv_format, own):
    some = [Levers(True, kv_format, shared, COMPRESSORS[name])]
    some += [] if shared or COMPRESSORS[name] else [Levers(grouped=False, kv_format=kv_format)]
    for levers in some:
        predicted = predict_bytes(KVShape.from_config(model.config), 2, DOCUMENT, own, 4, levers)
        assert run_readers(model, texts[:, : DOCUMENT + own], DOCUMENT, levers, 60).bytes_held == predicted


def test_rows_per_query_head_are_measured_alone():
    for other in ({"shared": True}, {"compressor": Compressor(Random(), 40)}):
        with pytest.raises(ValueError, match="grouped is False"):
            Levers(grouped=False, **other)


def test_sharing_changes_no_loss_and_each_reader_is_told_of(model, texts):
    done = []
    runs = [
        run_readers(model, texts, DOCUMENT, Levers(shared=shared), 60, lambda: done.append(1))
        for shared in (False, True)
    ]
    assert runs[0].losses == runs[1].losses and len(runs[0].losses) == 4 and len(done) == 8


def test_each_lever_is_added_to_those_before_it(model):
    levers = all_levers(random_policy(model))
    assert list(levers) == [
        names.APART,
        names.GROUPED,
        names.Q8_0,
        names.SHARED,
        names.EVICTED,
        names.COMPACTED,
        names.EVERYWHERE,
    ]
    shape = KVShape(30, 3, 64)
    sizes = [predict_bytes(shape, 3, 320, 192, 4, some) for some in levers.values()]
    assert sizes[:6] == sorted(sizes[:6], reverse=True)


# --- The record ------------------------------------------------------------------------------------------------------
def test_the_record_holds_what_the_closed_form_says(model):
    found, shape = load_stacked_savings(), KVShape(30, 3, 64)
    for name, levers in all_levers(random_policy(model)).items():
        assert found.lines[name].bytes_held == predict_bytes(shape, 3, 320, 192, 4, levers)


def test_sharing_and_heads_cost_nothing_and_compaction_no_more_than_eviction():
    found = load_stacked_savings()
    assert found.lines[names.APART].losses == found.lines[names.GROUPED].losses
    assert found.lines[names.Q8_0].losses == found.lines[names.SHARED].losses
    evicted, compacted = (found.lines[name].loss for name in (names.EVICTED, names.COMPACTED))
    assert compacted == pytest.approx(evicted, abs=0.002)
    assert len(found.lines[names.APART].losses) == 4 * stacked_savings.DOCUMENTS


def test_formats_are_tested_on_the_texts_of_the_sweep():
    found, sweep = load_stacked_savings(), load_smollm2_sweep()
    assert set(found.formats) == {(task, form) for task in ("english", "facts") for form in ("q8_0", "q4_0")}
    for (task, form), tested in found.formats.items():
        more, _ = tested.more_than(sweep.find(task, NO_EVICTION))
        assert len(tested.right) == len(sweep.find(task, NO_EVICTION).right)
        assert abs(more) < (0.01 if form == "q8_0" else 0.5)

"""The throughput table, on a size that takes seconds: what is counted, how much fits, when the device is waited for."""

import dataclasses
import json
import runpy
import sys
import warnings

import pytest
import torch

from helpers.arithmetic import KVShape, find_model
from helpers.cache import paged_kernels
from helpers.experiments import throughput, timed_decode
from helpers.experiments.bytes_per_sequence import sequence_bytes, slot_bytes, weight_bytes_read
from helpers.experiments.report import new_report
from helpers.experiments.stand_ins import append_random, random_model
from helpers.experiments.throughput import BLOCK_SIZE, FULL, HALF, PROFILED, STATIC, TINY, TRI, WARM, Case, Plan
from helpers.machine import device
from helpers.measuring import weight_bytes
from helpers.measuring.costs import reachable_bytes
from helpers.records.throughput import read_throughput

BANDWIDTH = 1e9
TOKEN = 2 * 2 * 2 * 16 * 4  # bytes of one token's rows: K and V, 2 layers, 2 KV heads, head_dim 16, float32


@pytest.fixture(scope="module")
def model():
    return random_model(TINY.config)


@pytest.fixture(scope="module")
def lines(model):
    return list(throughput.table(model, TINY, BANDWIDTH))


def pick(lines, name, budget=None, which="equal"):
    return throughput._find(lines, name, budget, which)


# --- The table -------------------------------------------------------------------------------------------------------
def test_every_candidate_is_there_at_equal_batch_and_those_that_matter_at_the_largest(lines):
    assert [(line["name"], line["budget"], line["equal"], line["largest"]) for line in lines] == [
        (FULL, None, True, True),
        (HALF, None, True, False),
        (STATIC, None, True, False),
        (TRI, 32, True, False),
        (TRI, 64, True, False),
        (TRI, 32, False, True),
        (TRI, 64, False, True),
    ]
    assert len({line["batch"] for line in lines if line["equal"]}) == 1
    assert pick(lines, TRI, 32, "largest")["batch"] > pick(lines, TRI, 64, "largest")["batch"] > lines[0]["batch"]


def test_rows_blocks_and_bytes_are_those_of_the_length(lines):
    batch, steps = lines[0]["batch"], TINY.steps
    for name, tokens in ((FULL, 256), (HALF, 128), (STATIC, 256)):
        line = pick(lines, name)
        assert line["rows"] == tokens - PROFILED - steps + (steps + 1) / 2
        assert line["blocks_held"] == (0 if name == STATIC else batch * tokens // BLOCK_SIZE)
        assert line["bytes_held"] == batch * tokens * TOKEN
    for line in lines[3:]:
        assert line["rows"] == line["budget"] + (TINY.interval + 1) / 2  # the saw-tooth, before each fall
        assert line["blocks_held"] == line["batch"] * (line["budget"] + TINY.interval) // BLOCK_SIZE
        assert line["bytes_held"] == line["blocks_held"] * BLOCK_SIZE * TOKEN == line["bytes_reserved"]


def test_a_step_reads_the_weights_but_the_input_embedding_and_each_row_once(lines, model):
    for line in lines:
        rows = line["batch"] * line["rows"] * TOKEN
        assert line["read_bytes"] == weight_bytes(model) - 64 * 32 * 4 + rows
        assert line["gather_bytes"] == (0 if line["name"] == STATIC else 2 * rows)
        assert line["bandwidth"] == pytest.approx(line["read_bytes"] / line["step_seconds"])
        assert line["floor_share"] == pytest.approx(line["read_bytes"] / BANDWIDTH / line["step_seconds"])
        assert line["tokens_per_second"] == pytest.approx(line["batch"] / line["step_seconds"])
        assert line["busiest"]["seconds"] > 0


def test_each_tooth_is_one_compaction_and_its_time_is_in_the_step_s(lines):
    for line in lines:
        compactions = TINY.cycles if line["budget"] else 0
        assert (line["steps"], line["compactions"]) == (TINY.steps, compactions)
        assert (line["compaction_share"] > 0) == (line["compaction_seconds"] > 0) == bool(compactions)
        assert line["compaction_share"] < 1


def test_another_batch_measures_full_attention_twice(model):
    plan = dataclasses.replace(TINY, batch=1, budgets=(32,), cycles=1)
    lines = list(throughput.table(model, plan, BANDWIDTH))
    assert [line["name"] for line in lines] == [FULL, FULL, HALF, STATIC, TRI, TRI]
    assert [(line["batch"] == 1, line["equal"]) for line in lines] == [
        (False, False),
        *[(True, True)] * 4,
        (False, False),
    ]


def test_tied_embeddings_are_read_as_the_head():
    model = random_model(TINY.config | {"tie_word_embeddings": True})
    assert weight_bytes_read(model) == weight_bytes(model)


# --- How much fits ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", [Case(FULL, 256), Case(TRI, 80, 64)], ids=lambda case: case.name)
def test_a_sequence_takes_what_was_predicted(model, case):
    """All tensors of the cache, its buffers included, are within the prediction, and most of it."""
    batch = 6
    cache, compressor = throughput._new_cache(model, TINY, case, batch)
    append_random(cache, model, case.rows - 1, batch)
    throughput.decode(model, cache, batch, 1, compressor)
    real = reachable_bytes([cache.stores, cache.token_of_slot, cache.slots])
    predicted = batch * sequence_bytes(model, case.rows, BLOCK_SIZE, bool(case.budget))
    assert 0.5 * predicted < real <= predicted


def test_slot_bytes_of_a_published_shape():
    shape = KVShape.from_config(find_model("Qwen3-8B").config)
    plain = 147_456 + 4 * 36 * 8 + 2 * 8 + 4_096 * 9 // 8
    assert slot_bytes(shape, 2, scored=False) == plain
    assert slot_bytes(shape, 2, scored=True) == plain + 36 * 8 * 16


def test_the_largest_batch_fits_and_leaves_a_little(model, monkeypatch):
    case = Case(FULL, 256)
    one = sequence_bytes(model, case.rows, BLOCK_SIZE, bool(case.budget))
    monkeypatch.setattr(throughput, "free_bytes", lambda device, limit: 10 * one)
    assert throughput.largest_batch(model, TINY, case) == 9


def test_where_memory_runs_out_after_all_a_sixteenth_less_is_tried(model, monkeypatch):
    tried = []

    def measure(model, plan, case, batch, bandwidth, way):
        tried.append(batch)
        if batch > 28:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nAnd more.")
        return {"batch": batch}

    monkeypatch.setattr(throughput, "measure", measure)
    monkeypatch.setattr(throughput, "largest_batch", lambda *_: 32)
    assert throughput.measure_largest(model, TINY, Case(FULL, 256), BANDWIDTH) == {"batch": 28}
    assert tried == [32, 30, 28]
    line = throughput.attempt(model, TINY, Case(STATIC, 256), 40, BANDWIDTH)
    assert line == {
        "name": STATIC,
        "budget": None,
        "batch": 40,
        "error": "CUDA out of memory. Tried to allocate 2 GiB.",
    }


def test_not_even_one_sequence_fits(model):
    with pytest.raises(
        MemoryError, match="full attention with 256 rows takes .* per sequence; 4.0 KiB are free"
    ) as error:
        throughput.measure_largest(model, dataclasses.replace(TINY, memory=4096), Case(FULL, 256), BANDWIDTH)
    assert "\n" not in str(error.value)


# --- Time ------------------------------------------------------------------------------------------------------------
def test_the_device_is_waited_for_at_the_ends_and_at_compactions_alone(model, monkeypatch):
    waits = []
    monkeypatch.setattr(timed_decode, "synchronize", waits.append)
    monkeypatch.setattr(device, "synchronize", waits.append)
    cache, compressor = throughput._new_cache(model, TINY, Case(TRI, 48, 32), 2)
    append_random(cache, model, 32, 2)
    timing = throughput.decode(model, cache, 2, 40, compressor)
    assert len(timing.compactions) == 2
    assert len(waits) == 2 + 2 * 2
    assert (cache.tokens_seen, cache.alive()) == (72, 40)


def test_decoded_tokens_are_the_model_s_own(model, monkeypatch):
    """What is timed is decoding: each step reads the token that the step before has predicted."""
    read, predict_next = [], timed_decode.predict_next
    monkeypatch.setattr(
        timed_decode, "predict_next", lambda m, ids, cache: (read.append(ids), predict_next(m, ids, cache))[1]
    )
    cache, _ = throughput._new_cache(model, TINY, Case(FULL, 32), 1)
    throughput.decode(model, cache, 1, 6)
    tokens = torch.cat(read, dim=1)
    with torch.inference_mode():
        said = model(tokens).logits.argmax(-1)
    assert tokens[0, 1:].tolist() == said[0, :-1].tolist()


@pytest.mark.parametrize("case", [Case(FULL, 128), Case(TRI, 80, 64)], ids=lambda case: case.name)
def test_read_in_place_the_same_rows_are_counted_and_none_is_gathered(model, case, monkeypatch):
    monkeypatch.setitem(paged_kernels.READERS, "flex", paged_kernels.gather)
    way, plan = timed_decode.Way("flex"), dataclasses.replace(TINY, tokens=128)
    torch.manual_seed(0)
    gathered = throughput.measure(model, plan, case, 3, BANDWIDTH)
    torch.manual_seed(0)
    read = throughput.measure(model, plan, case, 3, BANDWIDTH, way)
    same = ("rows", "blocks_held", "bytes_held", "read_bytes", "compactions")
    assert {name: gathered[name] for name in same} == {name: read[name] for name in same}
    assert (gathered["gather_bytes"] > 0, read["gather_bytes"]) == (True, 0)
    assert throughput.bytes_each(model, case, way) < throughput.bytes_each(model, case, timed_decode.GATHERING)


def test_the_way_is_the_first_reader_that_works_and_the_report_says_why_not_the_others(model, monkeypatch):
    assert timed_decode.find_way(model) == timed_decode.GATHERING  # on a CPU nobody asks for another
    assert timed_decode.find_way(model, "gather") == timed_decode.GATHERING
    refused = timed_decode.find_way(model, "flash")
    assert (refused.name, list(refused.refused)) == ("gather", ["flash"])
    assert "installed" in refused.refused["flash"]
    monkeypatch.setattr(timed_decode, "is_cuda", lambda device: True)
    monkeypatch.setattr(timed_decode, "why_not", lambda name, device: {"flash": "not there", "flex": None}[name])
    for trouble in (None, "it cannot be captured"):
        monkeypatch.setattr(timed_decode, "why_not_recorded", lambda model, name, trouble=trouble: trouble)
        way = timed_decode.find_way(model)
        expected = {"flash": "not there"} | ({"recording": trouble} if trouble else {})
        assert (way.name, way.recorded, way.refused) == ("flex", trouble is None, expected)


def test_a_recording_that_fails_is_a_line_not_a_crash(model, monkeypatch):
    def refuse(self, tokens):
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nAnd more.")

    monkeypatch.setattr(timed_decode.DecodeStep, "__call__", refuse)
    said = timed_decode.why_not_recorded(model, "flex")
    assert said == "CUDA error: operation not permitted when stream is capturing"


# --- Goals -----------------------------------------------------------------------------------------------------------
def line_of(name, budget, which, **figures):
    plain = {
        "tokens_per_second": 100.0,
        "batch": 10,
        "floor_seconds": 0.02,
        "bytes_held": 1024,
        "compaction_share": 0.0,
    }
    return (
        {"name": name, "budget": budget, "equal": False, "largest": False, "floor_share": 0.5, which: True}
        | plain
        | figures
    )


def test_goals_are_read_off_the_right_lines():
    full = line_of(FULL, None, "equal", largest=True)
    tri = line_of(
        TRI, 3072, "equal", tokens_per_second=250.0, bytes_held=100, floor_seconds=0.005, compaction_share=0.03
    )
    most = line_of(TRI, 3072, "largest", tokens_per_second=500.0, batch=100, floor_share=0.6)
    rows = throughput.goals([full, line_of(HALF, None, "equal"), tri, line_of(TRI, 1024, "largest"), most])
    assert [(row.figure, row.reached) for row in rows] == [
        ("2.50 times, at the floor 4.00", True),
        ("5.00 times, at the floor 10.00", False),
        ("10.24 times fewer", True),
        ("3.0%", False),
        ("60%", True),
    ]


@pytest.mark.parametrize("spoil", [{"budget": 1024}, {"error": "out of memory"}])
def test_no_goal_is_judged_where_a_line_is_missing(spoil):
    lines = [
        line_of(FULL, None, "equal", largest=True),
        line_of(TRI, 3072, "equal"),
        line_of(TRI, 3072, "largest") | spoil,
    ]
    assert throughput.goals(lines) == []


# --- Read back -------------------------------------------------------------------------------------------------------
def test_the_table_is_read_back(lines):
    report = new_report("a command") | {"plan": dataclasses.asdict(TINY)}
    failed = {"name": TRI, "budget": 32, "batch": 99, "equal": False, "largest": True, "error": "out of memory"}
    table = read_throughput(report | {"lines": [*lines, failed]})
    assert (table.shape, table.tokens) == ("tiny", 256)
    assert len(table.equal) + len(table.largest) == 1 + len(lines)  # full attention is in both
    for which in ("equal", "largest"):
        full, tri = pick(lines, FULL, None, which), pick(lines, TRI, 64, which)
        speed, smaller = table.ratios(which, 64)
        assert speed == tri["tokens_per_second"] / full["tokens_per_second"]
        assert smaller == full["bytes_held"] / tri["bytes_held"]
    assert str(table.equal[0]).startswith("full attention  ")
    assert "TriAttention, budget 64" in str(table.equal[-1])
    with pytest.raises(ValueError, match="no TriAttention with budget 3072 at equal batch"):
        table.ratios("equal", 3072)


# --- The command -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"tokens": 2 * (WARM + 32 + PROFILED) + 1}, "tokens is 89; it must be a whole number of 90 or more"),
        ({"budgets": (4,)}, "budget is 4; it may be 8 to 240"),
        ({"budgets": (241,)}, "budget is 241; it may be 8 to 240"),
        ({"batch": 0}, "batch is 0"),
        ({"cycles": 0}, "cycles is 0"),
        ({"interval": 0}, "interval is 0"),
    ],
)
def test_sizes_out_of_range_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **sizes)


def command(monkeypatch, *words):
    """What ``python -m helpers.experiments.throughput`` does, in this process."""
    monkeypatch.setattr(sys, "argv", ["-", "--device", "cpu", *words])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the module is there already, runpy remarks
        runpy.run_module("helpers.experiments.throughput", run_name="__main__")


def test_the_command_saves_what_it_prints(tmp_path, monkeypatch, capsys):
    command(monkeypatch, "--tiny", "--out", str(tmp_path / "x.json"))
    out = capsys.readouterr().out
    saved = json.loads((tmp_path / "x.json").read_text())
    assert saved["command"] == "python -m helpers.experiments.throughput --device cpu --tiny"
    assert saved["machine"]["device"] == "cpu"
    assert saved["copy_bandwidth"] > 0
    assert [f"{line['tokens_per_second']:,.1f} tokens/s" in out for line in saved["lines"]] == [True] * 7
    assert saved["goals"] == []


@pytest.mark.parametrize(
    ("words", "said"), [(["--shape", "Qwen9"], "no model 'Qwen9'"), (["--tokens", "9"], "tokens is 9")]
)
def test_the_command_says_in_one_line_what_is_wrong(words, said, monkeypatch):
    with pytest.raises(SystemExit, match=said) as end:
        command(monkeypatch, *words)
    assert "\n" not in end.value.code


def test_weights_that_do_not_fit_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr("helpers.models.loading.free_memory", lambda device: 2**30)
    monkeypatch.setattr(throughput, "random_model", None)
    with pytest.raises(MemoryError, match="30.5 GiB for weights"):
        throughput.run(Plan("Qwen3-8B", find_model("Qwen3-8B").config), "cpu", "")

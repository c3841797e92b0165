"""What formats cost a real model: by the course's own cache, by llama.cpp's way of turning, by the record."""

import io
import math
import statistics

import pytest
import torch

from helpers.cache import KV_FORMATS, PagedCache
from helpers.cache.attention import attend_with_grid
from helpers.experiments import kv_format_loss as experiment
from helpers.experiments.fidelity import listen, round_trip
from helpers.experiments.kv_format_loss import EXACT, STORINGS, TURNED, Storing, compare, hadamard, predict
from helpers.models import load_reasoner
from helpers.plots.formats import Cost, loss_by_format
from helpers.records import load_kv_format_loss


@pytest.fixture(scope="module")
def reasoner():
    return load_reasoner()


@pytest.fixture(scope="module")
def token_ids(reasoner):
    draw = torch.Generator().manual_seed(5)
    return torch.randint(0, reasoner.model.config.vocab_size, (48,), generator=draw)


def test_every_format_is_tried_on_either_side():
    assert {(s.side, s.kv_format) for s in STORINGS if not s.turned} == {
        (side, name) for side in ("k", "v") for name in KV_FORMATS if name != EXACT
    }
    assert {(s.side, s.kv_format) for s in STORINGS if s.turned} == {
        (side, name) for side in ("k", "v") for name in TURNED
    }
    assert len(set(STORINGS)) == len(STORINGS)


@pytest.mark.parametrize("storing", [s for s in STORINGS if not s.turned], ids=lambda s: f"{s.side}-{s.kv_format}")
@torch.inference_mode()
def test_a_lossy_cache_gives_what_a_paged_cache_gives(reasoner, token_ids, storing):
    pair = (storing.kv_format, EXACT) if storing.side == "k" else (EXACT, storing.kv_format)
    cache = PagedCache.for_model(reasoner.model, 3, 16, pair)
    expected = reasoner.model(token_ids[None], past_key_values=cache).logits[0, :-1]
    torch.testing.assert_close(predict(reasoner, token_ids, storing), expected)


@pytest.mark.parametrize("side", ["k", "v"])
def test_rows_turned_back_are_queries_turned_and_outputs_turned_back(reasoner, token_ids, side):
    """llama.cpp's way, written out: all of it turned, only the output turned back."""
    heard, turn, storing = listen(reasoner.model, token_ids[None])[1], hadamard(32), Storing(side, "q4_0", turned=True)
    keys, values, queries = (rows @ turn for rows in (heard.keys, heard.values, heard.queries))
    if side == "k":
        keys = round_trip(keys, "q4_0")
    else:
        values = round_trip(values, "q4_0")
    theirs = attend_with_grid(queries, keys, values, None, heard.scaling)[0] @ turn
    ours_k, ours_v = (
        storing.keep(rows) if side == name else rows for name, rows in (("k", heard.keys), ("v", heard.values))
    )
    ours, _ = attend_with_grid(heard.queries, ours_k, ours_v, None, heard.scaling)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 64])
def test_a_hadamard_matrix_is_its_own_inverse_and_spreads_one_number_evenly(size):
    matrix = hadamard(size)
    torch.testing.assert_close(matrix @ matrix, torch.eye(size))
    assert (matrix.abs() - size**-0.5).abs().max() < 1e-7


@pytest.mark.parametrize("size", [0, 12, 96])
def test_no_other_size_has_one(size):
    with pytest.raises(ValueError, match=f"size is {size}; it must be a power of 2"):
        hadamard(size)


def test_a_row_with_one_large_number_is_kept_better_when_it_is_turned():
    rows = torch.randn(200, 64, generator=torch.Generator().manual_seed(6))
    rows[:, 7] = 60
    errors = [(Storing("k", "q4_0", turned).keep(rows) - rows).pow(2).mean().item() for turned in (False, True)]
    assert errors[1] < errors[0] / 3


def test_what_is_compared_is_compared_by_its_definition():
    draw = torch.Generator().manual_seed(7)
    logits, exact = (torch.randn(150, 11, generator=draw, dtype=torch.double) for _ in range(2))
    gold = torch.randint(0, 11, (150,), generator=draw)
    found = compare(logits, exact.log_softmax(-1), gold)
    p, q = exact.softmax(-1).tolist(), logits.softmax(-1).tolist()
    places = range(150)
    lost = [math.log(p[i][gold[i]] / q[i][gold[i]]) for i in places]
    kl = [sum(a * math.log(a / b) for a, b in zip(p[i], q[i], strict=True)) for i in places]
    equal = [p[i].index(max(p[i])) == q[i].index(max(q[i])) for i in places]
    assert found["lost"] == pytest.approx(statistics.fmean(lost))
    assert found["kl"] == pytest.approx(statistics.fmean(kl))
    assert found["equal"] == pytest.approx(statistics.fmean(equal))


def test_a_window_is_measured_and_what_is_exact_costs_nothing(reasoner, token_ids, monkeypatch):
    monkeypatch.setattr(experiment, "STORINGS", (Storing("v", EXACT), Storing("k", "nvfp4", turned=True)))
    steps = []
    loss, (nothing, some) = experiment.measure_window(reasoner, token_ids, lambda: steps.append(1))
    assert nothing == {"lost": 0, "kl": 0, "equal": 1} and some["kl"] > 0
    assert len(steps) == 2 and loss > 0


# --- The record ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def record():
    return load_kv_format_loss()


def test_the_record_has_every_run_over_4000_tokens(record):
    assert list(record.costs) == [(s.side, s.kv_format, s.turned) for s in STORINGS]
    assert record.facts["windows"] * record.facts["tokens"] >= 4000
    assert {len(cost.kl) for cost in record.costs.values()} == {record.facts["windows"]} == {len(record.exact_loss)}


def test_fewer_bits_cost_more_and_two_bytes_next_to_nothing(record):
    for side in ("k", "v"):
        kl = {name: record.costs[side, name, False].interval("kl")[0] for name in KV_FORMATS if name != EXACT}
        assert kl["fp16"] < kl["q8_0"] < kl["q5_0"] < kl["q4_0"]
        assert kl["fp16"] < kl["bf16"] < kl["fp8_e4m3"]
        assert kl["fp16"] < 1e-4


def test_keys_need_their_bits_more_than_values(record):
    for name in ("q5_0", "q4_0", "nvfp4"):
        keys, values = (record.costs[side, name, False].interval("kl")[0] for side in ("k", "v"))
        assert keys > values


def test_turning_rows_helps_llama_cpp_s_formats_and_hardly_nvfp4(record):
    """Told apart from nothing by its interval."""
    for side in ("k", "v"):
        for name in ("q8_0", "q5_0", "q4_0"):
            gain, half = record.gain(side, name, "kl")
            assert gain - half > 0.2 * record.costs[side, name, False].interval("kl")[0]
        gain, _ = record.gain(side, "nvfp4", "kl")
        assert abs(gain) < 0.3 * record.costs[side, "nvfp4", False].interval("kl")[0]


# --- The picture -----------------------------------------------------------------------------------------------------
def test_every_run_has_a_mark_with_its_interval():
    costs = [Cost("k", False, 0, 0.2, 0.1), Cost("k", True, 0, 0.1, 0.3), Cost("v", False, 1, 0.01, 0.002)]
    figure = loss_by_format(["q4_0", "fp16"], costs, "keys cost more")
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    [ax] = figure.axes
    assert ax.get_title(loc="left") == "keys cost more"
    marks = {container.get_label(): container for container in ax.containers}
    assert list(marks) == ["keys", "keys, turned first", "values"]
    for label, column, mean in (("keys", 0, 0.2), ("keys, turned first", 0, 0.1), ("values", 1, 0.01)):
        assert marks[label].lines[0].get_ydata().tolist() == [mean]
        assert [round(x) for x in marks[label].lines[0].get_xdata()] == [column]
    bars = marks["keys, turned first"].lines[2][0].get_segments()[0]
    assert bars[:, 1].tolist() == pytest.approx([-0.2, 0.4])

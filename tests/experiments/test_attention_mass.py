"""Where attention goes: counted weight by weight on the reasoner, then what the record says."""

import io
import math
import statistics
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from helpers.cache.attention import attend_with_grid
from helpers.experiments import attention_mass as experiment
from helpers.experiments.fidelity import listen
from helpers.models import load_reasoner
from helpers.plots.attention import LOOKS, attention_mass
from helpers.records import load_attention_mass, load_query_concentration
from helpers.records.attention_mass import PLACES

TOKENS, FIRST_QUERY = 60, 30


@pytest.fixture(scope="module")
def reasoner():
    return load_reasoner()


@pytest.fixture(scope="module")
def token_ids():
    return torch.randint(3, 15, (TOKENS,), generator=torch.Generator().manual_seed(4))  # few kinds, so they come again


def kind_of(token_ids, query, row):
    """What a row is to a query, asked in order."""
    if row < 4:
        return "first"
    if query - row < 16:
        return "near"
    if token_ids[row] == token_ids[query]:
        return "same"
    return "after_same" if token_ids[row - 1] == token_ids[query] else "rest"


def test_every_row_seen_is_of_one_kind(token_ids):
    places = experiment.places_of(token_ids)
    for query in range(TOKENS):
        for row in range(TOKENS):
            kinds = [name for name, place in zip(PLACES, places[:, query, row], strict=True) if place]
            assert kinds == ([kind_of(token_ids, query, row)] if row <= query else [])


def test_weights_are_added_up_as_by_hand(reasoner, token_ids):
    found, shares = experiment.measure_window(reasoner, token_ids, FIRST_QUERY)
    assert found.shape == (4, 8, 6)
    queries = range(FIRST_QUERY, TOKENS)
    for layer, heard in enumerate(listen(reasoner.model, token_ids[None])):
        _, weights = attend_with_grid(heard.queries, heard.keys, heard.values, None, heard.scaling)
        for head in (0, 5):
            rows = [weights[0, head, query, : query + 1].tolist() for query in queries]
            tenth = [sum(sorted(row, reverse=True)[: math.ceil(len(row) / 10)]) for row in rows]
            assert found[layer, head, 0].item() == pytest.approx(statistics.fmean(tenth), abs=1e-5)
            for i, name in enumerate(PLACES, 1):
                shares_of = [
                    sum(w for j, w in enumerate(row) if kind_of(token_ids, q, j) == name)
                    for q, row in zip(queries, rows, strict=True)
                ]
                assert found[layer, head, i].item() == pytest.approx(statistics.fmean(shares_of), abs=1e-5)
    counts = [[kind_of(token_ids, q, j) for j in range(q + 1)] for q in queries]
    for i, name in enumerate(PLACES):
        assert shares[i].item() == pytest.approx(statistics.fmean(c.count(name) / len(c) for c in counts))


def test_even_attention_gives_its_strongest_tenth_a_tenth():
    """Rounded up: of 41 rows the tenth is 5."""
    weights = torch.ones(2, 3, 43).tril(40)
    weights /= weights.sum(-1, keepdim=True)
    expected = statistics.fmean([5 / 41, 5 / 42, 5 / 43])
    assert experiment.tenth_of(weights, 40).tolist() == pytest.approx([expected] * 2)


def test_the_model_reads_as_ever(reasoner, token_ids):
    before = reasoner.model.config._attn_implementation
    experiment.measure_window(SimpleNamespace(model=reasoner.model), token_ids, FIRST_QUERY)
    assert reasoner.model.config._attn_implementation == before
    reasoner.model(token_ids[None], past_key_values=DynamicCache(config=reasoner.model.config))


# --- The record ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def record():
    return load_attention_mass()


def test_the_kinds_of_rows_share_all_attention(record):
    assert sum(record.rows.values()) == pytest.approx(1, abs=1e-3)
    assert {(len(layers), len(layers[0])) for layers in record.heads.values()} == {(30, 9)}
    for window in range(record.facts["windows"]):
        assert sum(record.windows[name][window] for name in PLACES) == pytest.approx(1, abs=1e-3)
    for name, (mean, half) in ((name, record.interval(name)) for name in record.heads):
        of_heads = statistics.fmean(value for layer in record.heads[name] for value in layer)
        assert mean == pytest.approx(of_heads, abs=1e-3) and half < 0.1


def test_most_attention_is_in_few_rows(record):
    """A tenth of the rows holds nearly all; the first 4 and the last 16, which no policy would drop, more than half."""
    tenth, half = record.interval("tenth")
    assert tenth - half > 0.8
    assert record.interval("first")[0] + record.interval("near")[0] > 0.5
    assert record.rows["first"] + record.rows["near"] < 0.05
    # Two kinds of row that are as rare as they are sought: they get more than their share.
    assert record.interval("same")[0] > record.rows["same"]


def test_heads_that_look_behind_an_earlier_copy_are_those_that_the_series_predicts_worst(record):
    """So the premise of TriAttention fails in induction heads first, and holds best in heads of neighbours."""
    single = np.ravel(load_query_concentration().heads["single"])
    after, near = (np.ravel(record.heads[name]) for name in ("after_same", "near"))
    assert rank_correlation(after, single) < -0.6 and rank_correlation(near, single) > 0.6
    induction = after > 0.1
    assert 1 <= induction.sum() <= 4 and (single[induction] <= np.sort(single)[9]).all()


def rank_correlation(one, other):
    return np.corrcoef(*(np.argsort(np.argsort(values)) for values in (one, other)))[0, 1]


# --- The picture -----------------------------------------------------------------------------------------------------
def test_every_head_has_a_dot_and_every_layer_a_bar_of_all_kinds():
    tenth, rows = [[0.5, 0.9], [0.7, 0.8]], dict(zip(PLACES, (0.1, 0.2, 0.3, 0.1, 0.3), strict=True))
    places = {name: [[share, share], [share, share]] for name, share in rows.items()}
    assert tuple(LOOKS) == PLACES
    figure = attention_mass(tenth, places, rows)
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    upper, lower = figure.axes
    dots, means = upper.lines[:2]
    assert dots.get_ydata().tolist() == [0.5, 0.9, 0.7, 0.8] and means.get_ydata().tolist() == [0.7, 0.75]
    tops = np.cumsum(list(rows.values()))
    for bars, top in zip(lower.containers, tops, strict=True):
        assert [bar.get_y() + bar.get_height() for bar in bars] == pytest.approx([top, top])

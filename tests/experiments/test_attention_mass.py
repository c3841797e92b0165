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
from helpers.plots.attention import KINDS, strongest_rows, where_it_goes
from helpers.records import load_attention_mass, load_query_concentration
from helpers.records.attention_mass import NAMES, PLACES

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
    assert found.shape == (4, 8, len(NAMES))
    queries = range(FIRST_QUERY, TOKENS)
    for layer, heard in enumerate(listen(reasoner.model, token_ids[None])):
        _, weights = attend_with_grid(heard.queries, heard.keys, heard.values, None, heard.scaling)
        for head in (0, 5):
            rows = [weights[0, head, query, : query + 1].tolist() for query in queries]
            tenth = [sum(sorted(row, reverse=True)[: math.ceil(len(row) / 10)]) for row in rows]
            assert found[layer, head, 0].item() == pytest.approx(statistics.fmean(tenth), abs=1e-5)
            five = [sum(sorted(row, reverse=True)[:5]) for row in rows]
            assert found[layer, head, 1].item() == pytest.approx(statistics.fmean(five), abs=1e-5)
            for i, name in enumerate(PLACES, 2):
                shares_of = [
                    sum(w for j, w in enumerate(row) if kind_of(token_ids, q, j) == name)
                    for q, row in zip(queries, rows, strict=True)
                ]
                assert found[layer, head, i].item() == pytest.approx(statistics.fmean(shares_of), abs=1e-5)
    counts = [[kind_of(token_ids, q, j) for j in range(q + 1)] for q in queries]
    for i, name in enumerate(PLACES):
        assert shares[i].item() == pytest.approx(statistics.fmean(c.count(name) / len(c) for c in counts))


@pytest.mark.parametrize(("first_query", "tenth"), [(40, 5), (20, 3)])
def test_even_attention_gives_its_strongest_rows_their_share(first_query, tenth):
    """Rounded up: of 41 rows the tenth is 5, of 21 it is 3."""
    rows = first_query + 3
    weights = torch.ones(2, 3, rows).tril(first_query)
    weights /= weights.sum(-1, keepdim=True)
    expected = [statistics.fmean(n / (rows - i) for i in range(3)) for n in (tenth, 5)]
    for head in experiment.strongest(weights, first_query).tolist():
        assert head == pytest.approx(expected)


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
    assert tenth - half > 0.8 and tenth > record.interval("five")[0] > 0.5
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


# --- The pictures ----------------------------------------------------------------------------------------------------
def axes_of(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    [ax] = figure.axes
    return ax


def test_every_head_has_a_dot_and_every_layer_its_mean():
    ax = axes_of(strongest_rows([[0.5, 0.9], [0.7, 0.8]], "A title"))
    dots, means = ax.lines[:2]
    assert dots.get_ydata().tolist() == [0.5, 0.9, 0.7, 0.8] and means.get_ydata().tolist() == [0.7, 0.75]
    assert ax.get_title("left") == "A title"


def test_every_kind_of_row_has_its_share_of_both():
    rows = dict(zip(PLACES, (0.1, 0.2, 0.3, 0.1, 0.3), strict=True))
    attention = {kind: (share / 2, 0.01) for kind, share in rows.items()}
    assert tuple(KINDS) == PLACES
    ax = axes_of(where_it_goes(rows, attention, "A title"))
    assert sorted(bar.get_width() for bar in ax.patches) == pytest.approx(
        sorted([*rows.values(), *(share / 2 for share in rows.values())])
    )
    assert "5% of the attention" in [text.get_text() for text in ax.texts]

"""The saved scores are TriAttention's of the saved numbers, by the function and by its definition written out."""

import cmath
import statistics

import pytest
import torch

from helpers.eviction import score
from helpers.experiments import compass as experiment
from helpers.records import load_compass

RECORD = load_compass()
OFFSETS = [2**i for i in range(17)]


@pytest.mark.parametrize("head", RECORD.heads, ids=lambda head: head.name)
def test_scores_are_those_of_the_policy(head):
    keys = torch.tensor([head.keys], dtype=torch.float64)
    q_mean = torch.view_as_complex(torch.tensor(head.q_mean, dtype=torch.float64))[None]
    statistics_ = q_mean, torch.tensor([head.q_abs_mean]).double(), torch.tensor(head.omega).double(), head.position
    for distance, saved in zip(RECORD.distances, head.scores, strict=True):
        assert score(keys, *statistics_, [distance])[0].tolist() == pytest.approx(saved, abs=0.002)
    assert score(keys, *statistics_, OFFSETS)[0].tolist() == pytest.approx(head.mean_score, abs=0.002)


@pytest.mark.parametrize("head", RECORD.heads, ids=lambda head: head.name)
def test_scores_are_what_the_definition_says(head):
    n, token, stop = len(head.omega), 7, 5
    series = norm = 0.0
    for band, omega in enumerate(head.omega):
        key = complex(head.keys[token][band], head.keys[token][band + n])
        mean = complex(*head.q_mean[band])
        future = mean * cmath.exp(1j * omega * (head.position + RECORD.distances[stop]))
        series += (key.conjugate() * future).real
        norm += (head.q_abs_mean[band] - abs(mean)) * abs(key)
    assert (series + norm, norm) == pytest.approx((head.scores[stop][token], head.norm[token]), abs=0.002)


def test_one_head_asks_one_thing_and_the_other_many():
    tight, loose = RECORD.heads
    assert min(tight.R) > 0.99 and max(loose.R) < 0.6
    for head in RECORD.heads:
        for R, band, dots in zip(head.R, head.bands, head.dots, strict=True):
            assert abs(complex(*head.q_mean[band])) / head.q_abs_mean[band] == pytest.approx(R, abs=0.001)
            found = [complex(*dot) for dot in dots]
            of_dots = abs(sum(found) / len(found)) / statistics.fmean(map(abs, found))
            assert (of_dots > 0.9) == (R > 0.9)
        assert (head.omega[head.bands[0]] > experiment.QUICK) and (head.omega[head.bands[1]] <= experiment.QUICK)


def test_the_reasoner_s_part_comes_out_again():
    saved = RECORD.heads[1]
    found = experiment.head_of("the reasoner", experiment.of_reasoner(), saved.layer, saved.head)
    assert (found["tokens"], found["bands"]) == (saved.tokens, saved.bands)
    assert torch.tensor(found["keys"]).sub(torch.tensor(saved.keys)).abs().max() < 0.01
    assert torch.tensor(found["scores"]).sub(torch.tensor(saved.scores)).abs().max() < 0.1

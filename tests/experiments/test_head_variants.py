"""Reasoners with other numbers of KV heads: one small training, what is noted on the way, and the data read back."""

import json
import runpy
import sys
import warnings

import pytest
import torch

from helpers.arithmetic import KVShape
from helpers.experiments import head_variants
from helpers.experiments.head_variants import EXAM, KV_HEADS, MARKS, concentration, grow, text_ids
from helpers.experiments.train_reasoner import make_model
from helpers.models.tokenizer import make_tokenizer
from helpers.records import load_head_variants
from helpers.records.head_variants import read_head_variants
from helpers.records.measured import read

SIZES = {"tokens": 9_000, "n_lines": 4, "device": "cpu"}


@pytest.fixture
def short_exam(monkeypatch):
    monkeypatch.setattr(head_variants, "EXAM", EXAM | {"count": 30})
    monkeypatch.setattr(head_variants, "TEXT", head_variants.TEXT | {"count": 4})
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("n_kv_heads", [8, 1])
def test_a_variant_differs_in_its_kv_heads_alone(n_kv_heads, short_exam):
    line, again = grow(n_kv_heads, 0, **SIZES), grow(n_kv_heads, 0, **SIZES)
    assert {**line, "minutes": 0} == {**again, "minutes": 0}
    vocabulary = len(make_tokenizer())
    model, usual = make_model(vocabulary, n_kv_heads), make_model(vocabulary)
    assert line["parameters"] == sum(p.numel() for p in model.parameters())
    # Two matrices of 128 x 32 per KV head and layer; everything else is the reasoner's.
    difference = line["parameters"] - sum(p.numel() for p in usual.parameters())
    assert difference == 4 * 2 * 128 * 32 * (n_kv_heads - 4)
    assert line["bytes_per_token_fp16"] == KVShape(4, n_kv_heads, 32).bytes_per_token("fp16")
    assert (len(line["right"]), set(line["right"]) <= {"0", "1"}) == (30, True)
    assert line["tokens"] >= SIZES["tokens"]


def test_r_is_noted_before_and_at_every_mark(short_exam):
    noted = grow(4, 1, **SIZES)["concentration"]
    assert noted[0]["tokens"] == 0
    assert all(each["tokens"] >= mark * SIZES["tokens"] for each, mark in zip(noted, MARKS, strict=False))
    assert noted[-1]["tokens"] >= SIZES["tokens"]
    assert [(len(each["R"]), len(each["R"][0])) for each in noted] == [(4, 8)] * len(noted)
    torch.manual_seed(1)
    assert noted[0]["R"] == concentration(make_model(len(make_tokenizer())), text_ids(make_tokenizer(), 4))


def test_another_start_is_another_training(short_exam):
    assert grow(4, 0, **SIZES)["concentration"] != grow(4, 1, **SIZES)["concentration"]


def test_what_is_saved_is_not_trained_again(tmp_path, monkeypatch):
    """Two of the four are there; the command trains the other two, saves after each, and keeps the order."""
    out, trained = tmp_path / "variants.json", []
    out.write_text(json.dumps({"variants": [{"n_kv_heads": n, "seed": 0} for n in KV_HEADS[:2]]}))

    class Pool:
        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def submit(self, function, n_kv_heads, seed, **sizes):
            trained.append((n_kv_heads, seed, sizes))
            return type("Job", (), {"result": lambda self: {"n_kv_heads": n_kv_heads, "seed": seed}})()

    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor", Pool)
    monkeypatch.setattr("concurrent.futures.as_completed", reversed)
    monkeypatch.setattr(sys, "argv", ["-", "--out", str(out), "--seeds", "1", "--tokens", "5e3", "--device", "cpu"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runpy.run_module("helpers.experiments.head_variants", run_name="__main__")
    assert [each[:2] for each in trained] == [(n, 0) for n in KV_HEADS[2:]]
    assert trained[0][2] == {"tokens": 5_000, "n_lines": 12, "device": "cpu"}
    saved = json.loads(out.read_text())
    assert [line["n_kv_heads"] for line in saved["variants"]] == list(KV_HEADS)
    assert saved["command"].endswith("head_variants --tokens 5000.0 --seeds 1 --device cpu")


# --- The data --------------------------------------------------------------------------------------------------------
def test_the_data_are_read_back_as_they_were_saved():
    report, data = read("head_variants"), load_head_variants()
    assert data.kv_heads == list(KV_HEADS)
    assert len({len(data.of(n)) for n in KV_HEADS}) == 1
    for line, variant in zip(report["variants"], data.variants, strict=True):
        assert line["right"].count("1") == sum(variant.right)
        assert len(variant.right) == EXAM["count"]
        assert variant.bytes_per_token == 512 * variant.n_kv_heads
        heads = [r for layer in line["concentration"][-1]["R"] for r in layer]
        assert variant.concentration[-1] == (line["concentration"][-1]["tokens"], pytest.approx(sum(heads) / 32))


def test_worksheets_that_never_grew_are_none():
    report = read("head_variants")
    report["variants"] = report["variants"][:1]
    report["variants"][0]["history_tokens_lines_loss"] = [[100, 4, 1.0], [200, 11, 0.5]]
    assert read_head_variants(report).variants[0].grown_after is None
    report["variants"][0]["history_tokens_lines_loss"].append([300, 12, 0.5])
    assert read_head_variants(report).variants[0].grown_after == 300


def test_lesson_09_says_of_r_in_training_what_the_data_say():
    """Untrained, R rises from layer to layer; then it falls to half or less of its mean, and does not come back."""
    for line in read("head_variants")["variants"]:
        layers = [sum(layer) / len(layer) for layer in line["concentration"][0]["R"]]
        assert layers == sorted(layers)
    for variant in load_head_variants().variants:
        (_, untrained), *learning = variant.concentration
        assert min(r for _, r in learning[:2]) <= 0.5 * untrained
        assert max(r for _, r in learning) < 0.8 * untrained
        assert learning[-1][1] > min(r for _, r in learning[:2])


def test_lesson_02_says_of_the_answers_what_the_data_say():
    """With 2 KV heads one start ended perfect, and the other is the worst of all; with 1, nearly all are right."""
    data = load_head_variants()
    right = {n: sorted(sum(variant.right) for variant in data.of(n)) for n in data.kv_heads}
    assert right[2][-1] == 200
    assert right[2][0] == min(min(each) for each in right.values())
    assert min(right[1]) > 180
    assert 197 in right[4]
    slow = min(data.of(2), key=lambda variant: sum(variant.right))
    assert slow.grown_after > 0.85 * slow.tokens
    assert all(variant.grown_after < 0.65 * variant.tokens for variant in data.variants if variant is not slow)

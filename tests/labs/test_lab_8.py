"""Lab 8: its checks name the mistakes that people make, its own press is right, and its prose is what was measured."""

import json
import re
from pathlib import Path

import pytest
import torch

from helpers.eviction import KeyNorm, SnapKV
from helpers.experiments.kvpress_rows import KEPT, PREFILL, TRIATTENTION
from helpers.records import load_kvpress_race, load_kvpress_rows
from helpers.teaching.labs import lab_8 as lab
from helpers.teaching.labs import lab_8_presses
from helpers.teaching.labs.lab_8_presses import Match, Presses, ScorerPress, open_presses, source_of
from tests.house.notebooks import output_text, outputs, read, source

ROOT = Path(__file__).parents[2]
RUNS = load_kvpress_rows().runs


@pytest.fixture(scope="module")
def master():
    return read(ROOT / "labs" / "masters" / "lab_8_a_press_and_a_policy.ipynb")


@pytest.fixture(scope="module")
def prose(master):
    return "\n".join(source(cell) for cell in master.cells if cell.cell_type == "markdown")


@pytest.fixture
def asked(capsys):
    """What a check says of an answer."""

    def ask(check, *answer):
        check(*answer)
        return capsys.readouterr().out

    return ask


def is_right(said):
    return "Not yet" not in said and said.count("right.") == len(said.splitlines()) > 0


# --- Part 1: a ratio -------------------------------------------------------------------------------------------------
RATIOS = {
    "exact": (lambda kept, tokens: 1 - (kept + 0.5) / tokens, "Stage 3 of 3"),
    "on paper": (lambda kept, tokens: 1 - kept / tokens, "leaves 59 rows|a hair below the whole number"),
    "the share that stays": (lambda kept, tokens: kept / tokens, "that is the share that stays"),
    "one too many": (lambda kept, tokens: 1 - (kept + 1.5) / tokens, "leaves 61 rows, not 60"),
    "nothing": (lambda kept, tokens: None, "nothing: is there a return"),
    "a percentage": (lambda kept, tokens: 75, "from 0 up to, not including, 1"),
    "an error": (lambda kept, tokens: 1 / 0, "raised ZeroDivisionError"),
}


@pytest.mark.parametrize("name", RATIOS)
def test_ratios(asked, name):
    answer, words = RATIOS[name]
    said = asked(lab.check_ratio_for, answer)
    assert re.search(words, said) and is_right(said) == (name == "exact")


# --- Part 2: the same rows -------------------------------------------------------------------------------------------
def by_head(count):
    """A count of rows in common, made of one head's."""
    return lambda one, other: sum(
        count(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)
    )


COUNTS = {
    "right": (by_head(lambda a, b: len(set(a) & set(b))), "Stage 3 of 3"),
    "whole heads": (by_head(lambda a, b: a == b), "counts the heads that agree whole"),
    "place by place": (by_head(lambda a, b: sum(p == q for p, q in zip(a, b, strict=True))), "compares place by place"),
    "heads thrown together": (
        lambda one, other: sum(len(set(sum(x, [])) & set(sum(y, []))) for x, y in zip(one, other, strict=True)),
        "heads were thrown together",
    ),
    "either": (by_head(lambda a, b: len(set(a) | set(b))), "both keep 6 rows, not"),
    "nothing": (lambda one, other: None, "is there a return"),
}


@pytest.mark.parametrize("name", COUNTS)
def test_rows_in_common(asked, name):
    answer, words = COUNTS[name]
    said = asked(lab.check_in_common, answer)
    assert words in said and is_right(said) == (name == "right")


def of_keys(score):
    """A policy of one function of the keys."""
    return type("Mine", (KeyNorm,), {"score": lambda self, layer, keys, position: score(keys)})()


NORMS = {
    "right": (of_keys(lambda keys: -keys.norm(dim=-1)), "Stage 3 of 3"),
    "squares, which rank alike": (of_keys(lambda keys: -keys.square().sum(-1)), "Stage 3 of 3"),
    "no minus": (of_keys(lambda keys: keys.norm(dim=-1)), "mind the sign"),
    "as it was": (KeyNorm(), "some rounding is still there. They differ in the fourteenth bit"),
    "all alike": (of_keys(lambda keys: 0 * keys[..., 0]), "score alike"),
    "the place": (of_keys(lambda keys: torch.arange(5.0).expand(1, 2, 5)), "short keys should come first"),
    "a number per key's number": (of_keys(lambda keys: -keys.abs()), "Not yet"),
    "the class": (KeyNorm, "that is|is the class"),
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_as_they_are(asked, name):
    answer, words = NORMS[name]
    said = asked(lab.check_unrounded, answer)
    assert re.search(words, said) and is_right(said) == (name == "right" or "rank" in name)


def group(reduce):
    """SnapKV with another way from query heads to KV heads."""

    class Mine(SnapKV):
        def score(self, layer, keys, position):
            return reduce(super().score(layer, keys, position), keys.shape[1])

    return Mine()


GROUPS = {
    "mean": (group(lambda x, n: x.unflatten(1, (n, -1)).mean(2)), "Stage 2 of 2"),
    "sum, which ranks alike": (group(lambda x, n: x.unflatten(1, (n, -1)).sum(2)), "Stage 2 of 2"),
    "maximum": (group(lambda x, n: x.unflatten(1, (n, -1)).amax(2)), "that is the maximum, as the course has it"),
    "tiled": (group(lambda x, n: x.unflatten(1, (-1, n)).mean(1)), "query heads 0, 1 and 2 share KV head 0"),
    "as it was": (group(lambda x, n: x), "still a score per query head"),
    "one for all": (group(lambda x, n: x.mean(1)), r"make scores [1, 2, 40]"),
    "first of each": (group(lambda x, n: x[:, :: x.shape[1] // n]), "it is not the mean"),
    "nothing": (group(lambda x, n: None), "is there a return"),
    "the class": (SnapKV, "make one of it"),
}


@pytest.mark.parametrize("name", GROUPS)
def test_the_mean_of_a_group(asked, name):
    answer, words = GROUPS[name]
    said = asked(lab.check_group_mean, answer)
    assert words in said and is_right(said) == ("mean" in name or "sum" in name)


# --- Part 3: bytes ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (5_160_960, "Right"),
        (4_608_000, "a block is held whole"),
        (96 * 46_080, "six hold 96"),
        (400 * 46_080, "all 400 rows"),
        (16 * 46_080, "that is one block"),
        (5_160_960 // 2, "in float32 here"),
        (5_160_960 // 4, "K and V"),
        (..., "replace the three dots"),
    ],
)
def test_bytes_held(asked, answer, words):
    assert words in asked(lab.check_bytes_held, answer)


# --- Part 4: a press -------------------------------------------------------------------------------------------------
HEADS = """
class Mine(ScorerPress):
    def of_query_heads(self, layer, keys, position):
        offsets = 2 ** torch.arange(17)
        turn = torch.exp(1j * self.omega * (position + offsets)[:, None]).mean(0)
        q, spread = self.q_mean[layer] * turn, self.q_abs_mean[layer] - self.q_mean[layer].abs()
        k = torch.complex(*keys.double().chunk(2, dim=-1)).repeat_interleave(len(q) // keys.shape[1], dim=1)
        return (k.conj() * q[:, None]).real.sum(-1) + (k.abs() * spread[:, None]).sum(-1)

    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        position = int(kwargs["position_ids"][0, -1])
        scores = self.of_query_heads(module.layer_idx, keys, position)
        z_scores = (scores - scores.mean(-1, keepdim=True)) / scores.std(-1, keepdim=True)
        return z_scores.unflatten(1, (keys.shape[1], -1)).amax(2)
"""


def press(*changes):
    """The press above with words replaced."""
    text, scope = HEADS, {"torch": torch, "ScorerPress": ScorerPress}
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    exec(text, scope)
    return scope["Mine"]


OF_HEADS = [
    ("the key's arrow is not mirrored", "k.conj() * q", "k * q"),
    ("turned the wrong way", "torch.exp(1j", "torch.exp(-1j"),
    ("the norm term is missing", " + (k.abs() * spread[:, None]).sum(-1)", ""),
    ("the norm term takes E|q| whole", "self.q_abs_mean[layer] - self.q_mean[layer].abs()", "self.q_abs_mean[layer]"),
    ("repeat_interleave, not repeat", "repeat_interleave(len(q) // keys.shape[1], dim=1)", "repeat(1, 2, 1, 1)"),
    ("take their mean", "[:, None]).mean(0)", "[:, None]).sum(0)"),
    ("they double: 1, 2, 4", "2 ** torch.arange(17)", "torch.arange(1, 18)"),
    ("offsets 0 to 16", "2 ** torch.arange(17)", "torch.arange(17)"),
    ("those are 16 offsets", "arange(17)", "arange(16)"),
    ("begin at 1, not at 2", "2 ** torch.arange(17)", "2 ** torch.arange(1, 18)"),
    ("the offsets are missing", "(position + offsets)", "(position + 0 * offsets)"),
    ("of the product the real part counts", ".real.sum(-1)", ".sum(-1)"),
    ("those are lengths", "(k.conj() * q[:, None]).real", "(k.conj() * q[:, None]).abs()"),
    ("made of neighbours", "*keys.double().chunk(2, dim=-1)", "*keys.double().unflatten(-1, (-1, 2)).unbind(-1)"),
    ("a float32 phase loses its angle", "self.omega * (position + offsets)[:, None]",
     "(self.omega.float() * (position + offsets)[:, None])"),
    ("each query head has", ".repeat_interleave(len(q) // keys.shape[1], dim=1)", "; q, spread = q[::2], spread[::2]"),
    ("raised KeyError", "self.q_mean[layer] *", "{}[layer] *"),
    ("is there a return", "return (k.conj()", "(k.conj()"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "old", "new"), OF_HEADS, ids=lambda text: text[:24])
def test_slips_in_the_scores_of_query_heads(asked, words, old, new):
    said = asked(lab.check_of_query_heads, press((old, new)))
    assert words in said and not is_right(said)


OF_PRESS = [
    ("are not z-scored", "return z_scores.", "return scores."),
    ("that is the mean over the group, as KVPress's SnapKV", ".amax(2)", ".mean(2)"),
    ("unflatten into (KV heads, group)", "unflatten(1, (keys.shape[1], -1)).amax(2)", "unflatten(1, (-1, 2)).amax(1)"),
    ("lower is better there", "return z_scores", "return -z_scores"),
    ("taken over heads and not over rows", "scores.mean(-1, keepdim=True)) / scores.std(-1, keepdim=True)",
     "scores.mean(1, keepdim=True)) / scores.std(1, keepdim=True, correction=0)"),
    ("that is a score per query head", ".unflatten(1, (keys.shape[1], -1)).amax(2)", ""),
    ("layer 0's statistics", "module.layer_idx", "0"),
    ("neither keys.shape[2] nor cache_position", 'int(kwargs["position_ids"][0, -1])', "keys.shape[2] - 1"),
    ("one token too late", 'int(kwargs["position_ids"][0, -1])', "keys.shape[2]"),
    ("neither keys.shape[2] nor cache_position", '["position_ids"][0, -1]', '["cache_position"][-1]'),
    ("one token too late", 'int(kwargs["position_ids"][0, -1])', '1 + int(kwargs["position_ids"][0, -1])'),
    ("raised", "module.layer_idx", "module.layer"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "old", "new"), OF_PRESS, ids=lambda text: text[:24])
def test_slips_in_the_press(asked, words, old, new):
    said = asked(lab.check_press, press((old, new)))
    assert words in said and not is_right(said)


@pytest.mark.parametrize("change", [(), (("keepdim=True)\n", "keepdim=True, correction=0)\n"),)])
def test_the_press_is_right_with_either_deviation(asked, change):
    assert is_right(asked(lab.check_of_query_heads, press(*change)))
    assert is_right(asked(lab.check_press, press(*change)))


def test_the_experiment_s_own_press_is_right_too(asked):
    scope = {"torch": torch, "ScorerPress": ScorerPress}
    exec(TRIATTENTION, scope)
    assert is_right(asked(lab.check_press, scope["TriAttentionPress"]))


def test_what_is_no_press(asked):
    assert "without brackets" in asked(lab.check_press, press()())
    assert "needs the base ScorerPress" in asked(lab.check_press, SnapKV)


# --- KVPress or its record -------------------------------------------------------------------------------------------
def test_without_kvpress_the_record_is_played_and_said_to_be(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_KVPRESS", "record")
    presses = open_presses()
    said = capsys.readouterr().out
    assert "make lab-kvpress installs it" in said and "KVPress 0.5.5 said on 20" in said
    assert presses.run("SnapKV") == RUNS["SnapKV"] == presses.run("SnapKV")
    assert presses.run_own(press()) == RUNS["TriAttention"]
    assert presses.run_own(press(), decoding=True) == RUNS["TriAttention, decoding"]
    with pytest.raises(ValueError, match="name is 'Magic'; it may be nothing, KNorm"):
        presses.run("Magic")


def test_where_it_is_not_installed_nothing_need_be_said(monkeypatch):
    monkeypatch.delenv("COURSE_KVPRESS", raising=False)
    monkeypatch.setattr(lab_8_presses, "is_installed", lambda: False)
    assert open_presses().engine is None
    monkeypatch.setenv("COURSE_KVPRESS", "perhaps")
    with pytest.raises(ValueError, match="COURSE_KVPRESS is 'perhaps'; it may be live or record"):
        open_presses()


class Recorder:
    """Stands in for KVPress, and keeps what it is asked."""

    versions = {"kvpress": "0", "transformers": "0"}

    def __init__(self):
        self.asked = []

    def run(self, **question):
        self.asked.append(question)
        return RUNS["nothing"]


def test_with_kvpress_each_question_is_asked_once_and_a_reader_s_cell_is_sent(monkeypatch):
    presses = Presses(Recorder())
    presses.run("KNorm"), presses.run("KNorm")
    [question] = presses.engine.asked
    ratio = question["press"]["compression_ratio"]
    assert question["press"]["name"] == "KnormPress" and int(PREFILL * (1 - ratio)) == KEPT
    assert "KVPress runs beside this notebook: kvpress 0" in presses.source


def test_the_text_of_a_class_is_that_of_its_cell():
    class Here(ScorerPress):
        def score(self, *arguments):
            return "this text"

    assert "this text" in source_of(Here)
    with pytest.raises(ValueError, match="Mine has no text that could be sent"):
        source_of(press())


# --- Prose -----------------------------------------------------------------------------------------------------------
def test_a_match_is_said_in_words_that_rounding_does_not_change():
    assert str(Match(9_000, 0)) == str(Match(9_000, 3)) == "all 9,000 rows are the same, but for 3 at most"
    assert str(Match(9_000, 12)) == "of 9,000 rows a few differ, 30 at most"
    assert str(Match(9_000, 630)) == "of 9,000 rows 93% are the same"


def test_what_is_said_of_adakv_and_think(prose):
    first, second, _ = (len(tokens) for tokens in RUNS["AdaKV"].rows[0])
    assert f"heads with {first} and {second} rows" in prose
    assert RUNS["ThinK"].zeroed_channels == 32 and "zeros over 32 numbers of each 64" in prose


def test_a_third_of_a_nat(prose):
    lost = RUNS["StreamingLLM, decoding"].loss - RUNS["StreamingLLM in order, decoding"].loss
    assert round(3 * lost) == 1 and "a third of a nat" in prose


def test_the_master_was_saved_with_what_the_record_says(master):
    said = "\n".join(output_text(output) for _, _, output in outputs(master))
    for name, run in RUNS.items():
        if "decoding" not in name and name != "TriAttention":
            assert re.search(rf"^{name} +{run.rows_kept:,} .* {run.share_of_bytes:.0%} +{run.loss:.2f}$", said, re.M)


def test_the_race_has_both_sides_by_the_same_rules_and_they_end_close(prose):
    race = load_kvpress_race()
    assert len(race.sides) == 2 and set(race.policies) == {"KNorm", "TriAttention"} and race.n_rounds >= 3
    assert race.facts["machine"]["cores"] == 2
    for policy in race.policies:
        ours, theirs = (race.laps[side, policy] for side in race.sides)
        assert ours.loss == pytest.approx(theirs.loss, abs=0.005)
        assert ours.bytes_peak - theirs.bytes_peak == 46_080 and "one token's rows lower" in prose
    ratios = [ratio for policy in race.policies for ratio in race.speed_ratios[policy]]
    assert (round(100 - 100 * max(ratios)), round(100 - 100 * min(ratios))) == (2, 8)
    assert "Per CPU second KVPress is ahead in every round, by 2 to 8 in a hundred" in prose
    versions = (race.facts["machine"]["transformers"], race.facts["versions"]["transformers"])
    assert versions == ("5.23.0", "5.2.0") and "transformers 5.23," in prose and "transformers 5.2," in prose


def test_what_the_race_says_by_the_clock(prose):
    rounds = json.loads((ROOT / "helpers" / "records" / "kvpress_race.json").read_text(encoding="utf-8"))["rounds"]
    speeds = {(lap["side"], lap["policy"], lap["round"]): lap["tokens_per_second"] for lap in rounds}
    sides = load_kvpress_race().sides
    of_policy = {
        name: [[speeds[side, name, n] for side in sides] for n in range(3)] for name in ("KNorm", "TriAttention")
    }
    course_ahead = {name: sum(ours > theirs for ours, theirs in pairs) for name, pairs in of_policy.items()}
    assert course_ahead == {"KNorm": 0, "TriAttention": 2}
    assert "it led all three rounds with KNorm, and the course led two of three with TriAttention" in prose
    ours = [pair[0] for pair in of_policy["TriAttention"]]
    assert 2 < max(ours) / min(ours) < 2.5 and "one side's rounds differ twofold" in prose


def test_what_the_press_holds_beside_the_cache(prose):
    setting = load_kvpress_race().facts["setting"]
    assert setting["interval"] == 64 and "64 × 576 × 4 bytes × 30 layers, 4.2 MiB" in prose
    assert round(64 * 576 * 4 * 30 / 2**20, 1) == 4.2

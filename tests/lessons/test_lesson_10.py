"""Lesson 10: its pictures and their records, its controls, its exercises' mistakes, and the numbers in its prose."""

import json
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from helpers.cache import PagedCache
from helpers.decoding import replay
from helpers.eviction import SHOWN, Compressor, Random, StreamingLLM
from helpers.eviction.recorder import Recorder
from helpers.eviction.selection import SELECTIONS as MODES
from helpers.experiments.recall import Lookup, find_lookups, has_copy, lookup_weights, share_of_values, values_preferred
from helpers.experiments.sweep import calibrated
from helpers.measuring import share_interval
from helpers.models import gold_ids, load_reasoner, make_worksheets
from helpers.models.loading import ADAPTER
from helpers.plots import compression
from helpers.plots import told_early as told_plots
from helpers.plots.canvas import RED
from helpers.records import (
    load_english_lookups,
    load_english_sweep,
    load_garage,
    load_query_concentration,
    load_recall,
    load_smollm2_recall,
    load_smollm2_sweep,
    load_sweep,
    load_told_early,
)
from helpers.records.english_lookups import OTHER, THE_ONE
from helpers.records.measured import read
from helpers.records.smollm2_sweep import EVERY_HEAD, NO_EVICTION
from helpers.teaching.claims import judge, recorded
from helpers.teaching.lessons import lesson_10 as exercises
from helpers.widgets import compression as control
from helpers.widgets import page, real_frames, told_early
from helpers.widgets import sweep_frames as frames
from tests.house.notebooks import NOTEBOOKS, REPO, lesson_text
from tests.lessons.drawings import drawn, line


@pytest.fixture(scope="module")
def course():
    return load_reasoner()


@pytest.fixture(scope="module")
def sweep():
    return load_sweep()


@pytest.fixture(scope="module")
def real():
    return load_smollm2_sweep()


@pytest.fixture(scope="module")
def told():
    return load_told_early()


@pytest.fixture(scope="module")
def prose():
    return lesson_text("10")


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_every_mode_has_a_look_of_its_own():
    assert tuple(compression.MODES) == MODES
    for looks in zip(*compression.MODES.values(), strict=True):
        assert len(set(looks)) == len(MODES)


def test_answers_are_marks_with_intervals():
    shares = {"Oracle": {mode: compression.Share(0.5, 0.4, 0.6) for mode in MODES}}
    [ax] = drawn(compression.answers_by_mode(shares))
    spans = [artist.get_xdata() for artist in ax.lines if len(artist.get_xdata()) == 2]
    assert len(spans) == len(MODES) and all(list(span) == [0.4, 0.6] for span in spans)


def test_policies_have_looks_of_their_own_that_stay_as_others_come():
    looks = compression.policy_looks(map(str, range(100)))
    assert len(set(looks.values())) == 100
    assert compression.policy_looks(["0", "1"]) == {name: looks[name] for name in "01"}
    assert compression.policy_looks(SHOWN)["TriAttention"] == (RED, "o")


def test_bars_of_heads():
    [ax] = drawn(compression.weight_by_head([[0.1, 0.2], [0.3, 0.9]], "attention"))
    assert [bar.get_height() for bars in ax.containers for bar in bars] == [0.1, 0.2, 0.3, 0.9]


def test_the_predicted_line_runs_from_guessing_to_right():
    points = [(mode, 0.8, 0.84) for mode in MODES]
    [ax] = drawn(compression.recall_and_right(points, 0.2))
    assert line(ax, "right with a copy, 20% without").tolist() == [[0, 0.2], [1, 1]]
    assert line(ax, "per_head").tolist() == [[0.8, 0.84]]


def test_a_ribbon_draws_every_token_and_outlines_the_fact():
    ribbon = told_plots.Ribbon("half", [0.5] * 100, (24, 30), "bed", False)
    [ax] = drawn(told_plots.ribbons("a fact", "it begins", [ribbon]))
    [mesh] = ax.collections
    assert np.ma.count(mesh.get_array()) == 100
    [outline] = ax.patches
    assert (outline.get_x(), outline.get_width()) == (24, 6)
    texts = [text.get_text() for text in ax.figure.texts]
    assert any("“it begins" in text for text in texts) and any("bed”  ✗" in text for text in texts)


def test_words_are_counted_and_only_right_ones_marked():
    [ax] = drawn(told_plots.words_said({"none": ["a", "b"], "some": ["a", ""]}, ["a", "b"]))
    texts = [text.get_text() for text in ax.texts]
    assert {"2 of 2", "1 of 2", "…"} <= set(texts) and len(ax.patches) == 3


def test_frames_name_their_machine(sweep, real):
    for figure, caption in (
        frames.answers_frame(sweep, 0.5),
        frames.recall_frame(),
        frames.in_words_frame(load_english_sweep()),
        real_frames.english_frame(real),
        real_frames.passage_frame(real),
        real_frames.copying_frame(real),
        told_early.words_frame("a quarter"),
        told_early.answer_frame("Norway", "H2O", "half"),
    ):
        drawn(figure)
        assert caption.startswith("Figure: ") and caption.endswith(".") and "torch" in caption


# --- Saved data ------------------------------------------------------------------------------------------------------
def test_what_is_read_is_what_was_saved(sweep):
    raw = read("sweep")
    assert len(sweep.results) == len(raw["cells"])
    cell = raw["cells"][0]
    result = sweep.find(cell["policy"], cell["share"], cell["selection"], cell["compact"])
    assert result.share_right == cell["right"].count("1") / len(cell["right"])
    assert result.share_of_lookups == sum(cell["lookups_right"]) / sum(cell["lookups"])
    assert result.interval == share_interval([digit == "1" for digit in cell["right"]])
    with pytest.raises(ValueError, match="no cell"):
        sweep.find("TriAttention", 0.3, "shared")


def test_the_recall_data_add_up():
    recall = load_recall()
    facts, cells = recall.facts, recall.cells
    assert facts["lookup_head"] == {"layer": 1, "query_head": 4, "kv_head": 2}
    assert len(cells) == 26 * len(MODES) and facts["lookups"] == 1_805
    for cell in cells.values():
        assert 0 <= cell.right_with_copy <= cell.with_copy <= 1_805
        assert 0 <= cell.right_without_copy <= cell.without_copy == 1_805 - cell.with_copy
        assert cell.right == (cell.right_with_copy + cell.right_without_copy) / 1_805
    assert cells["Oracle", 0.5, "shared"].recall == 1


def test_what_was_said_is_right_where_the_sweep_has_it_right(told, real):
    for (policy, share, mode), found in told.cells.items():
        right = [word == answer for word, answer in zip(found.said, told.answers, strict=True)]
        assert right == [bool(one) for one in real.find("facts", policy, share, mode).right]


def test_heads_hold_as_many_rows_as_the_budget_and_the_tokens_since(told):
    assert (told.n_heads, len(told.cells)) == (90, 25)
    for (policy, share, _), found in told.cells.items():
        for left, (first, end) in zip(found.heads_left, told.told_at, strict=True):
            assert left.max() <= told.n_heads and first < end < len(left) < told.facts["length"]
            rows = left.sum() / told.n_heads
            assert rows == len(left) if policy == NO_EVICTION else 0 <= rows - share * 640 < 32
    window = told.find("StreamingLLM", 0.5).heads_left[0]
    assert set(window[:4]) == {90} and not window[4:280].any()


def test_what_was_not_recorded_is_named(told):
    with pytest.raises(ValueError, match=r"H2O, union, was not recorded with 25.0%"):
        told.find("H2O", 0.25, "union")


# --- Recall ----------------------------------------------------------------------------------------------------------
#                 0 1 2 3 4 5 6 7 8 9 10 11 12 ...
THOUGHT = "c : + a 1 b 2 = c 3 ; d : + c 3 a 1 = d 4 ; e : * c 3 d 4 = e 2 ; answer d"
NEEDED = {4: (17,), 9: (15, 26), 15: (26,), 20: (28, 35), 28: (35,)}


def test_lookups_are_of_formulas_alone():
    sheet = SimpleNamespace(thought=THOUGHT, needed=NEEDED)
    assert find_lookups([sheet]) == [
        Lookup(0, 15, (9,)),
        Lookup(0, 26, (9, 15)),
        Lookup(0, 28, (20,)),
        Lookup(0, 35, (20, 28)),
    ]  # a is a constant: its value stands in the prompt


def test_a_copy_is_there_until_the_head_has_lost_them_all():
    lookups = [Lookup(0, 26, (9, 15)), Lookup(0, 28, (20,)), Lookup(0, 35, (20, 28))]
    tokens = torch.tensor([[[100, 115], [100, 120]]])  # one sheet, two heads; the prompt has 100 tokens
    recorder = SimpleNamespace(left={122: {0: tokens}})  # compressed after token 122: thought place 22
    assert has_copy(recorder, lookups, 100, layer=0, kv_head=0) == [True, False, True]
    assert has_copy(recorder, lookups, 100, layer=0, kv_head=1) == [False, True, True]
    assert has_copy(SimpleNamespace(left={}), lookups, 100, 0, 0) == [True, True, True]


@pytest.mark.parametrize("policy", [Random(), StreamingLLM()])
@pytest.mark.parametrize("selection", MODES)
def test_the_recorder_knows_what_the_cache_holds(course, policy, selection):
    ids = gold_ids(course, make_worksheets(2, 16, 1))
    recorder, cache = Recorder(policy), PagedCache.for_model(course.model, 64, kv_format="fp32", batch_size=2)
    replay(course.model, ids, 115, cache, Compressor(recorder, 64, 16, selection))
    since = ids.shape[1] - 1 - max(recorder.left)
    for layer, tokens in recorder.left[max(recorder.left)].items():
        assert torch.equal(cache.token_index(layer)[..., : cache.alive() - since], tokens)
    plain = PagedCache.for_model(course.model, 64, kv_format="fp32", batch_size=2)
    replay(course.model, ids, 115, plain, Compressor(policy, 64, 16, selection))
    assert torch.equal(plain.token_index(3), cache.token_index(3))  # watching changes nothing


def test_the_share_of_values_counts_decoded_rows():
    recorder = SimpleNamespace(left={9: {0: torch.tensor([[[0, 5, 7], [1, 2, 6]]])}})
    is_value = torch.tensor([[True, True, False, False, False, True, False, False, False, False]])
    assert share_of_values(recorder, is_value, 5).tolist() == [[0.5, 0.0]]


def test_the_head_that_looks_up(course):
    sheets = make_worksheets(1, 40, 3)
    weights = lookup_weights(course.model, gold_ids(course, sheets), 259, find_lookups(sheets))
    assert weights.shape == (4, 8) and weights[1, 4] > 0.9 and (weights <= 1).all()
    assert weights.flatten().sort().values[-2] < 0.2


def test_a_mean_over_look_ups_alone_prefers_values(course):
    shares = values_preferred(course, make_worksheets(4, 40, 3), 1, 4)
    assert shares["its look-ups"] > shares["chance"] > shares["all it does"] >= shares["the rest"]


# --- The controls ----------------------------------------------------------------------------------------------------
RIGHT = re.compile(r"Right: (\d) of 6 worksheets. Freed: (\d+) blocks .* most held at once: (\d+) of 44")


def turn(*choices):
    figure, caption = control.compression_frame(calibrated(), *choices)
    drawn(figure)
    return tuple(map(int, RIGHT.search(caption).groups()))


def test_answers_to_the_questions_above_the_reasoner_s_control(prose):
    assert turn("TriAttention", 240, 32, "shared") == (5, 12, 34)
    off = {name: turn(name, 240, 32, "shared", "off") for name in SHOWN}
    assert max(off, key=lambda name: off[name][1]) == "StreamingLLM" and off["StreamingLLM"][:2] == (2, 11)
    assert turn("TriAttention", 240, 128, "shared")[::2] == (6, 40)
    assert "StreamingLLM, 11 of 12" in prose and "The peak is 40 floors instead of 34, and all six" in prose


def test_the_frame_tells_its_progress():
    shares = []
    control.compression_frame(calibrated(), "Oracle", 32, 128, "shared", progress=shares.append)
    assert shares == pytest.approx([i / 6 for i in range(1, 7)])


def test_a_control_with_a_button_waits_for_it(monkeypatch):
    monkeypatch.delenv("COURSE_STATIC", raising=False)
    shown, calls = [], []
    monkeypatch.setattr(
        page, "display", lambda data, **_: shown.append(data) or SimpleNamespace(update=lambda *_, **__: 0)
    )

    def draw(mode, progress):
        progress(0.5)
        calls.append(mode)
        if mode == "b":
            raise ValueError("b cannot be")
        return compression.weight_by_head([[1]], "attention"), f"Figure: {mode}."

    chosen = page.choice("mode", ["a", "b", "c"], "a")
    picture = page.control(draw, button="run", mode=chosen)
    *_, button, bar = shown[0].children
    assert calls == ["a"] and bar.value == 0.5 and button.description == "run"
    chosen.value = "c"
    assert calls == ["a"]
    button.click()
    assert calls == ["a", "c"] and picture.caption == "Figure: c."
    chosen.value = "b"
    button.click()
    assert picture.caption == "**Not possible:** b cannot be."


def test_answers_to_the_questions_above_the_facts(told, prose):
    dentist = told.answers.index("dentist")
    assert [told.find("TriAttention", share).said[dentist] for share in (0.25, 0.5)] == ["nurse", "dentist"]
    assert told_early.right_of(told, "TriAttention", 0.5) == 10 and "ten facts of twelve" in prose
    assert told_early.right_of(told, "StreamingLLM", 0.5) == 0 and "2. None. Four squares" in prose
    assert {first for first, _ in told.told_at} == {24} and "told at token 24" in prose
    keys = told.answers.index("flowerpot")
    assert told.find(NO_EVICTION).said[keys] == "flowerpot" and told.find("TriAttention", 0.25).said[keys] == "bed"


# --- Exercises -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        (exercises.check_differences, ..., "three dots"),
        (exercises.check_differences, 2, "letters"),
        (exercises.check_differences, "az", "no claim z"),
        (exercises.check_differences, "abc", "c) may be chance"),
        (exercises.check_differences, ["A"], "b) stands"),
        (exercises.check_differences, "a, b", "Right"),
        (exercises.check_lookup, 0.988, "in per cent"),
        (exercises.check_lookup, 50, "hardly any"),
        (exercises.check_lookup, 99.1, "multiply"),
        (exercises.check_lookup, 1.23, "how often it is right"),
        (exercises.check_lookup, 98.8, "Right"),
    ],
)
def test_a_check_names_the_mistake(check, answer, message, capsys):
    check(answer)
    said = capsys.readouterr().out
    assert message in said and said.startswith("Right" if message == "Right" else "Not yet")


def test_a_worksheet_s_look_ups_are_those_that_the_lesson_counts(prose):
    recall = load_recall()
    assert int(recall.facts["lookups"] / 32) == exercises.LOOKUPS == 56 and "has 56 look-ups of its own" in prose
    assert 0.32 < 0.98**56 < 0.34 and "spoils two worksheets of three" in prose


def test_the_claims_of_exercise_1():
    assert exercises.stand() == {"a", "b"}
    sizes = {letter: abs(mean) for letter, (_, mean, _) in exercises.differences().items()}
    assert sizes["b"] < 0.01 < 0.5 < sizes["c"]


# --- Numbers in the prose --------------------------------------------------------------------------------------------
def test_without_eviction_95_of_96_are_right(course, prose):
    sheets, right = make_worksheets(96, 40, 3), 0
    with torch.inference_mode():
        for start in range(0, 96, 16):
            ids = gold_ids(course, sheets[start : start + 16])
            said = course.model(ids).logits[:, -444:-1].argmax(-1)
            right += int((said == ids[:, -443:]).all(1).sum())
    assert right == 95 and "Without eviction 95 sheets are" in prose


def test_the_commonest_value(prose):
    """On the worksheets of the recall data, so that it may stand beside their share of guesses that came true."""
    sheets, values = make_worksheets(32, 40, 3), Counter()
    for lookup in find_lookups(sheets):
        values[[*sheets[lookup.sheet].thought.split(), sheets[lookup.sheet].answer][lookup.place]] += 1
    [(digit, count)] = values.most_common(1)
    assert digit == "0" and f"{count / values.total():.0%}" == "19%"
    cells = load_recall().cells.values()
    guessed = sum(cell.right_without_copy for cell in cells) / sum(cell.without_copy for cell in cells)
    assert f"{guessed:.0%}" == "19%" and "Without one 19% did" in prose


def test_the_sweep_s_numbers(sweep, prose):
    shares = {mode: round(100 * sweep.find("TriAttention", 0.5, mode).share_right) for mode in MODES}
    assert shares == {"shared": 80, "union": 14, "per_head": 19, "per_layer_per_head": 0}
    assert round(100 * sweep.find("SnapKV, not smoothed", 0.5, "per_head").share_right) == 85
    assert max(sweep.find("SnapKV", 0.5, mode).share_right for mode in MODES) < 0.035
    assert min(sweep.find("Oracle", 0.5, mode).share_right for mode in MODES) > 0.9
    assert {round(100 * sweep.find("Oracle", 0.5, mode).share_right) for mode in MODES} == {93}
    assert "has 93% in every mode" in prose and "stays at 3% or less in every mode" in prose
    parts = [f"TriAttention, no {part} term" for part in ("trigonometric", "norm")]
    assert [round(100 * sweep.find(part, 0.5, "shared").share_right) for part in parts] == [74, 4]
    assert "80% of worksheets are right with it, 74% without" in prose and "Without its norm term it is 4%" in prose


def test_the_numbers_of_the_third_model(prose):
    sweep, asking = load_english_sweep(), load_english_lookups()
    right = {name: sum(sweep.find(name).right) for name in ("TriAttention", "Random", "Oracle")}
    assert right == {"TriAttention": 2, "Random": 18, "Oracle": 96}
    assert "Two. Random rows get 18," in prose and "Half would do for all 96: see the Oracle" in prose
    assert sum(sweep.find("TriAttention, no trigonometric term").right) == 55 and "its series 55" in prose
    united = [sum(sweep.find(name, "union").right) for name in ("TriAttention", "Random")]
    assert united == [32, 20] and "(In `union` it is 32 with the series, and random rows 20.)" in prose
    assert sum(sweep.facts["right_without_eviction"]) == 96 and "it writes 96 unseen sheets of 24 lines" in prose
    assert {run.right_with_copy - run.with_copy for run in sweep.results.values()} == {0}
    assert f"in all {len(sweep.results)} runs." in prose
    changed = sum(asking.results[THE_ONE].right)
    assert changed == 50 and sum(asking.results[OTHER].right) == 2 and "50 sheets instead of 2" in prose
    assert f"{96 - right['TriAttention']} worksheets of 96 were lost" in prose
    assert (ADAPTER.stat().st_size / 1e6) == pytest.approx(4.9, abs=0.05) and "Weights of 4.9 MB" in prose


def test_a_mark_of_the_third_model_s_picture_is_a_share_with_its_interval():
    figure, caption = frames.in_words_frame(load_english_sweep())
    [ax] = drawn(figure)
    labels, marks = [label.get_text() for label in ax.get_yticklabels()], {}
    for artist in ax.lines:
        if len(artist.get_xdata()) == 1:
            marks.setdefault(labels[round(artist.get_ydata()[0])], []).append(artist.get_xdata()[0])
    assert marks["TriAttention"] == [count / 96 for count in (29, 32, 9, 2)]
    assert marks["TriAttention,\nno series"] == [55 / 96] and marks["Oracle"] == [1]
    assert "TriAttention: 29 shared, 32 union, 9 per_head, 2 per_layer_per_head; without its" in caption
    spans = [tuple(artist.get_xdata()) for artist in ax.lines if len(artist.get_xdata()) == 2]
    assert load_english_sweep().find("TriAttention").interval in spans


def test_where_r_looks(prose):
    """The head that looks up has one of the lowest R of all, and in the bands behind it its two jobs are alike."""
    facts, by_bands = load_english_sweep().facts, load_english_lookups().facts["by_bands"]
    at, R = facts["lookup_head"], np.array(facts["R"])
    assert (at["layer"], at["kv_head"]) == (18, 2) and "layer 18, number 2" in prose
    weights = np.array(facts["weight_on_copies"]).reshape(30, 3, 3).max(-1)
    assert weights.flatten().argsort()[-1] == 18 * 3 + 2 and "one KV head looks up most" in prose
    ours = R[at["layer"], at["query_head"]]
    assert f"{ours:.2f}" == "0.95" and (ours > R).sum() == 10 and "this head's 0.95 is among the lowest" in prose
    assert f"{R.mean():.2f}" == "0.99" and "Its R is still 0.99" in prose
    assert by_bands["two strongest"]["R of all it does"] == ours
    cosines = {bands: f"{each['cosine of the means']:.2f}" for bands, each in by_bands.items()}
    assert cosines == {"two strongest": "0.98", "others": "0.60"}
    assert "nearly agree: cosine 0.98. In the other thirty it is 0.60." in prose


def test_the_training_s_hidden_rows(prose):
    report = json.loads((REPO / "helpers/models/reasoner/training.json").read_text("utf-8"))
    assert round(report["hiding_tokens"] / 1e6) == 4 and round(report["tokens"] / 1e6) == 13
    assert "the last 4 million of its 13 million tokens" in prose


def test_r_of_both_models(course, prose):
    heads = load_smollm2_recall().facts["concentration"]
    assert f"{heads['top 2 bands, copying']} against {heads['top 2 bands, others']}" in prose
    R = calibrated().head_concentration(2).mean().item()
    assert f"whose R is {R:.2f}" in prose
    english = load_query_concentration().found["smollm2", "english", "q", 2].mean
    assert f"SmolLM2's R is {english:.2f}" in prose


def test_how_many_choices_a_mode_makes(course, told, prose):
    layers, kv_heads = course.shape.n_layers, course.shape.n_kv_heads
    assert f"for itself | {told.n_heads} | {layers * kv_heads} |" in prose
    assert f"and so on | {load_garage().n_kv_heads} | {kv_heads} |" in prose


def test_losses_in_the_prose(real, prose):
    assert f"{real.find('english', NO_EVICTION).loss:.3f}" == "3.566"
    assert f"{real.find('recall', NO_EVICTION).loss:.2f}" == "0.24"
    for words, task, policy, share in (
        ("1.18 nats with half", "recall", "TriAttention", 0.5),
        ("H2O pays 0.37", "recall", "H2O", 0.5),
        ("6.83 nats, far more", "english", "TriAttention, no trigonometric term", 0.25),
    ):
        assert f"{real.find(task, policy, share, EVERY_HEAD).loss:.2f}" in words and words in prose
    more, half = real.find("recall", "H2O", 0.25).more_than(real.find("recall", "TriAttention", 0.25))
    assert f"behind H2O by {-more:.2f} ± {half:.2f} nats" in prose
    forced = {(each.policy, each.heads): each.loss for each in load_smollm2_recall().forced}
    ours = load_smollm2_recall().policies["TriAttention"].loss
    assert f"falls from {ours:.2f} to {forced['TriAttention', 'the copying heads']:.2f}" in prose


def test_which_published_losses_stand_by_the_lesson_s_own_rule(prose):
    """Of six lines one is equal, three may be chance, and two are not; each problem of AIME was drawn 8 times."""
    lines = re.findall(r"\| (AIME2\d|MATH-500) \| ([\d,]+) \| ([\d.]+)% \| ([\d.]+)% \|", prose)
    found = {}
    for test, rows, whole, kept in lines:
        draws = 30 * 8 if test.startswith("AIME") else 500
        shares = float(whole) / 100, float(kept) / 100
        found[test, rows] = shares[0] - shares[1], 1.96 * sum(share * (1 - share) / draws for share in shares) ** 0.5
    equal = [line for line, (drop, _) in found.items() if drop == 0]
    stands = [line for line, (drop, half) in found.items() if drop > half]
    assert (len(found), len(equal), stands) == (6, 1, [("AIME24", "2,048"), ("MATH-500", "512")])
    assert "to the digit is one line of six. In three more the loss may be chance." in prose
    drop, half = found["AIME24", "2,048"]
    assert f"it is not: {100 * drop:.1f} points, ± {100 * half:.1f} if all draws were independent" in prose


def test_the_claim_is_recorded_and_judged():
    verdict, why = judge("A13", recorded(NOTEBOOKS))
    assert verdict == "holds in part" and why.endswith("15.0 points lower at 2,048 on AIME24")

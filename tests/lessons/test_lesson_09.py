"""Lesson 09: what its figures draw, its control, its exercises' mistakes, and what its prose says without a cell."""

import math

import numpy as np
import pytest
import torch

from helpers.arithmetic.plan import Plan
from helpers.arithmetic.plan_report import report
from helpers.cache import blocks_for
from helpers.eviction import Compressor, KeyNorm, Policy, TriAttention
from helpers.experiments import query_concentration
from helpers.experiments.windows import windows
from helpers.measuring import Trace
from helpers.measuring.trace import Compression
from helpers.models import load_smollm2
from helpers.plots import compression, needles, queries
from helpers.records import load_query_concentration
from helpers.records.compass import load_compass
from helpers.teaching.claims import judge, recorded
from helpers.teaching.lessons import lesson_09 as exercises
from helpers.widgets import asked, floors
from helpers.widgets.living.compass import FIRST, Compass
from helpers.widgets.living.garage import Garage
from tests.house.notebooks import NOTEBOOKS, lesson_text
from tests.lessons.drawings import drawn, line


@pytest.fixture(scope="module")
def smollm2():
    return load_smollm2()


@pytest.fixture(scope="module")
def policy(smollm2):
    return TriAttention.calibrate(smollm2.model, windows(smollm2, "course", 1, 512))


@pytest.fixture(scope="module")
def prose():
    return lesson_text("09")


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_needles_stand_where_their_angles_say_and_the_angle_between_is_written():
    pairs = [needles.Pair(0, math.pi / 2, "a"), needles.Pair(math.pi, math.pi / 3, "b")]
    for ax, pair, between in zip(drawn(needles.turned(pairs)), pairs, ("90°", "120°"), strict=True):
        assert line(ax, "the key's needle")[-1] == pytest.approx([math.cos(pair.key), math.sin(pair.key)], abs=1e-9)
        query = [math.cos(pair.query), math.sin(pair.query)]
        assert line(ax, "the query's needle")[-1] == pytest.approx(query, abs=1e-9)
        assert ax.get_title() == pair.title and [text.get_text() for text in ax.texts] == [between]


def test_clouds_draw_every_point_by_its_kind_and_the_mean():
    points, kinds = np.array([1 + 0j, 1j, -1 + 0j]), ["of a name", "of a digit", "of a sign"]
    [ax] = drawn(needles.clouds([needles.Cloud(points, kinds, "t")]))
    for point, kind in zip(points, kinds, strict=True):
        assert line(ax, kind).tolist() == [[point.real, point.imag]]
    [arrow] = ax.texts
    assert arrow.xy == pytest.approx((0, 1 / 3)) and ax.get_title() == "t"


def test_the_first_picture_sides_with_the_record():
    figure, caption = asked.two_heads()
    left, right = drawn(figure)
    assert "R = 0.998, mean of all heads 0.989" in left.get_title()
    assert "R = 0.481, mean of all heads 0.484" in right.get_title()
    assert len(line(left, "a question")) == len(load_compass().heads[0].dots[0]) == 96
    assert sum(len(line(right, kind)) for kind in needles.LOOKS if kind != "a question") == 96
    assert caption.startswith("Figure: ") and caption.endswith(".")
    assert np.mean(line(right, "of a digit")[:, 0]) < -0.5  # to one side
    assert 0 < (line(right, "of a sign")[:, 0] > 0).mean() < 1 and (line(right, "of a sign")[:, 1] < 0).any()


def test_the_reasoner_s_words_are_those_of_the_dots():
    words = asked._kinds(96)
    assert words[:5] == ["of a sign", "of a name", "of a sign", "of a digit", "of a sign"]  # <bos> v = 6 ;


def test_needles_that_are_equally_far_apart_look_alike():
    figure, caption = asked.turning(60, [(0, 2), (3, 5), (103, 105)])
    assert [text.get_text() for ax in drawn(figure) for text in ax.texts] == ["120°"] * 3
    assert "2 tokens apart" in caption


def test_predicted_logits_are_dots_and_a_line():
    panels = [queries.Prediction([1, 2], [1, 1], "a"), queries.Prediction([-9, 0, 1], [0, 0, 1], "b")]
    for ax, panel, distances in zip(
        drawn(queries.predicted_logits([[1, 2], [1, 2, 3]], panels)), panels, ([1, 2], [1, 2, 3]), strict=True
    ):
        assert line(ax, "measured, mean of real queries").tolist() == list(
            map(list, zip(distances, panel.measured, strict=True))
        )
        assert line(ax, "the series says")[:, 1].tolist() == list(panel.series)
        assert ax.get_title(loc="left") == panel.title and ax.get_xscale() == "log"


def test_a_compression_is_a_vertical_fall():
    trace = Trace(2, [[]], tokens_seen=[2, 3, 4], blocks_held=[5, 6, 4])
    trace.compressions[1] = Compression(3, 90, 60, 3, 0, 0, 0)
    assert compression.held_over_time(trace) == ([2, 3, 3, 4], [5, 6, 3, 4])
    [ax] = drawn(compression.sawtooth({"none": ([2, 9], [5, 9]), "some": ([2, 3, 3], [5, 6, 3])}, 2, 10))
    assert line(ax, "some").tolist() == [[2, 5], [3, 6], [3, 3]]
    assert ax.get_ylim()[1] > 9


def test_a_title_is_not_cut_off():
    figure = compression.sawtooth({"some": ([2, 3, 3], [5, 6, 3])}, 0, 10, "a sentence")
    [ax] = drawn(figure)
    assert ax.get_title() == "a sentence" and ax.title.get_window_extent().y1 < figure.bbox.y1
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["some"]  # where all is read, no prompt


# --- What the prose says ---------------------------------------------------------------------------------------------
def test_R_of_smollm2(prose):
    alike = load_query_concentration()
    assert alike.found["smollm2", "english", "q", 2].mean == 0.989 and "270 heads is 0.989" in prose
    everything = alike.found["smollm2", "english", "q", 32]
    assert (everything.mean, everything.above) == (0.684, 0) and "SmolLM2 has 0.684, and no head is above 0.95" in prose
    assert alike.cosines["english", "code"].mean == 0.975 and "cosine of 0.975" in prose


def test_what_single_questions_follow(prose):
    reasoner, smollm2 = query_concentration.on_worksheets(), load_query_concentration().heads
    middles = [
        [round(np.median(found[name]), 2) for name in ("others", "single", "keys")] for found in (smollm2, reasoner)
    ]
    assert middles == [[0.99, 0.82, 0.98], [0.7, 0.15, 0.87]]
    for said in ("correlation of 0.99", "with 0.82", "0.70 in the median head", "0.98 and 0.87"):
        assert said in prose


def test_the_other_worksheets_are_of_the_training():
    assert query_concentration.SHEETS == ((3, True), (11, False))


def test_the_logits_of_both_models_are_drawn():
    curves = {"name": "median", "layer": 2, "head": 7, "measured": [1, 2, 4], "others": [1, 2, 3]}
    figure, caption = asked.logits({"series": [curves], "distances": [1, 2, 3]})
    left, right = drawn(figure)
    assert left.get_title(loc="left") == "SmolLM2, layer 13, head 0: correlation 0.99"
    assert right.get_title(loc="left") == "Reasoner, layer 2, head 7: correlation 0.98"
    assert load_query_concentration().made_on in caption


def test_answers_about_the_needles():
    picture, text = Compass(), lesson_text("09")
    distances, tokens = picture.data["distances"], load_compass().heads[0].tokens
    frames = {ahead: picture.frame(FIRST | {"stop": stop}) for stop, ahead in enumerate([*distances, "all"])}
    last, kept = tokens.index(" sang"), {ahead: frame["kept"] for ahead, frame in frames.items()}
    assert frames[2]["order"][0] == last and next(ahead for ahead in kept if last not in kept[ahead]) == 4
    assert last in kept[8] and last not in kept[6] and frames["all"]["order"][1] == last
    quick = load_compass().heads[0].bands[0]
    assert frames[2]["products"][quick] > 0 > frames[4]["products"][quick]
    assert f"{math.degrees(load_compass().heads[0].omega[quick]):.0f}°" == "57°"
    assert set.intersection(*map(set, kept.values())) == {tokens.index("The")}
    lengths = [math.hypot(*key) for key in load_compass().heads[0].keys]
    assert f"{lengths[0]:.1f} long" in text and {round(length) for length in lengths[1:]} == {17, 18, 19}
    reasoner = load_compass().heads[1]
    frame = picture.frame({"head": 1, "stop": len(distances), "key": len(reasoner.tokens) - 1})
    series = sum(frame["products"])
    assert f"{frame['scores'][-1] - series:.1f} against {series:.1f}" in text and "0.48 and 0.59" in text
    assert [f"{R:.2f}" for R in reasoner.R] == ["0.48", "0.59"]


def test_the_picture_of_the_story_gives_back_ten_floors(prose):
    picture = Garage(share=0.9, compact=True)
    frame = picture.frame(picture.choice)
    assert (frame["floors_back"], frame["floors"], frame["keep"]) == (10, 12, 19)
    assert "keeps its own 19 rows of 192" in prose and "Ten of twelve" in prose


def chats(model, **kept):
    """So many of 32,768 tokens fit on the lesson's card, by the closed form: what is free over what one holds."""
    plan = Plan(model, "q4_k_m", "RTX 4090", context=32_768, **kept)
    overhead = max(plan.overhead)
    free = plan.machine.driver_memory - overhead - plan.weights
    return int(free // plan.shape.bytes(kept.get("kept", 32_768)))


def test_what_a_budget_buys_at_home(prose):
    assert (chats("Qwen3-8B"), chats("Qwen3-8B", kept=2_176)) == (3, 59) and "Fifty-nine, instead of three" in prose
    assert (chats("Qwen3-32B"), chats("Qwen3-32B", kept=2_176)) == (0, 7) and "has room for seven" in prose
    printed = report(Plan("Qwen3-8B", "q4_k_m", "RTX 4090", context=32_768, sequences=59, kept=2_176))
    assert "It fits" in printed and "with the TriAttention plug-in of its authors" in printed


def test_how_long_a_mean_of_seventeen_places_is(prose):
    def length(omega):
        turned = torch.polar(torch.ones(17).double(), omega * (999 + 2.0 ** torch.arange(17).double()))
        return f"{turned.mean().abs():.2f}"

    omega = load_compass().heads[0].omega
    assert [length(omega[0]), length(omega[-1]), round(math.degrees(omega[0]))] == ["0.12", "0.97", 57]
    assert "leave a mean 0.12 long. The slowest hardly turns: 0.97" in prose


def test_no_cell_gives_a_prediction_away(prose):
    assert "reveal(1_000)" not in prose and "num_blocks=24" not in prose


def test_the_claims_are_recorded_and_judged():
    values = recorded(NOTEBOOKS)
    assert judge("A11", values)[0] == "holds" and judge("A12", values)[0] == "holds in part"


# --- The control -----------------------------------------------------------------------------------------------------
def turn(smollm2, policy, *choices, tokens=384):
    told = []
    figure, caption = floors.floors_frame(
        smollm2, policy, windows(smollm2, "english", 1, tokens), *choices, progress=told.append
    )
    [ax] = drawn(figure)
    assert told[-1] == 1 and told == sorted(told)
    held = line(ax, "TriAttention")[:, 1].tolist()
    return max(held), held[-1], ax.get_title(), caption


def test_answers_to_the_questions_above_the_control(smollm2, policy, prose):
    most, last, title, caption = turn(smollm2, policy, 64, 32, "per_layer_per_head")
    assert (most, last, title) == (6, 4, "20 floors came back in 10 compressions")
    assert "SmolLM2 with TriAttention at a budget of 64 rows, every 32 tokens" in caption
    assert "evicted 320 tokens" in caption
    assert turn(smollm2, policy, 64, 128, "per_layer_per_head")[0] == 12 and "From 6 floors it goes up to 12" in prose
    assert turn(smollm2, policy, 64, 32, "per_layer_per_head", "off")[:3] == (24, 24, "No floor came back")
    together = [24 - turn(smollm2, policy, 64, 32, mode, "off")[1] for mode in ("shared", "union", "per_head")]
    assert together[0] == together[1] > together[2] > 0 and f"they give {together[0]:.0f} back" in prose


def test_an_interval_of_128_fires_twice(smollm2, policy, prose):
    assert (
        "in 2 compressions" in turn(smollm2, policy, 64, 128, "shared")[2]
        and "two compressions instead of ten" in prose
    )


def test_without_eviction_a_floor_is_taken_every_sixteen_tokens():
    trace = Trace(1, [[]], tokens_seen=[16, 33], blocks_held=[1, 3])
    figure, caption = floors.floors_held(trace, "another", Compressor(KeyNorm(), 32, 4))
    [ax] = drawn(figure)
    assert line(ax, "without eviction").tolist() == [[seen, blocks_for(seen, 16)] for seen in range(34)]
    assert "by another with TriAttention" in caption and ax.get_title() == "No floor came back"


def test_a_bar_follows_a_run_on_a_live_page(monkeypatch):
    shown = []
    monkeypatch.setattr(floors, "display", shown.append)
    monkeypatch.setattr(floors, "is_static", lambda: False)
    on_logits = floors.following(10)
    on_logits(torch.zeros(1, 4, 2))
    on_logits(torch.zeros(1, 6, 2))
    assert [bar.value for bar in shown] == [10]
    monkeypatch.setattr(floors, "is_static", lambda: True)
    floors.following(10)
    assert len(shown) == 1


# --- Exercises -------------------------------------------------------------------------------------------------------
class Shape(Policy):
    def score(self, layer, keys, position):
        return keys.norm(dim=-2)


class Silent(Policy):
    def score(self, layer, keys, position):
        keys.norm(dim=-1)


class Short(Policy):
    def score(self, layer, keys, position):
        return -keys.norm(dim=-1)


class First(Policy):
    def score(self, layer, keys, position):
        return keys[..., 0]


class LongKeys(Policy):
    def score(self, layer, keys, position):
        return keys.norm(dim=-1)


@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        (exercises.check_turned_key, 6, "before turning"),
        (exercises.check_turned_key, -1, "2 and 3 long"),
        (exercises.check_turned_key, 6 * math.cos(math.radians(315)), "only the query"),
        (exercises.check_turned_key, 6 * math.cos(math.radians(135)), "only the key"),
        (exercises.check_turned_key, 0, "difference of positions"),
        (exercises.check_turned_key, 180, "times its cosine"),
        (exercises.check_turned_key, -6, "Right"),
        (exercises.check_blocks_after, 68, "round up"),
        (exercises.check_blocks_after, 63, "on top of the budget"),
        (exercises.check_blocks_after, 77, "right before it"),
        (exercises.check_blocks_after, 70, "round up once"),
        (exercises.check_blocks_after, 1_100, "those are rows"),
        (exercises.check_blocks_after, 69, "Right"),
        (exercises.check_long_keys, ..., "three dots"),
        (exercises.check_long_keys, LongKeys, "make one of it: LongKeys()"),
        (exercises.check_long_keys, 3, "names Policy as its base"),
        (exercises.check_long_keys, Policy(), "no score yet"),
        (exercises.check_long_keys, Silent(), "is there a return"),
        (exercises.check_long_keys, Shape(), "over the last dimension"),
        (exercises.check_long_keys, Short(), "mind the sign"),
        (exercises.check_long_keys, First(), "root of the sum"),
        (exercises.check_long_keys, LongKeys(), "gets 7 of 8 worksheets right; KeyNorm, its mirror image, gets 0"),
    ],
)
def test_a_check_names_the_mistake(check, answer, message, capsys):
    check(answer)
    said = capsys.readouterr().out
    assert message in said
    assert said.startswith("Right" if message == "Right" or "KeyNorm, its" in message else "Not yet")


def test_the_solution_of_exercise_3_in_words(prose):
    assert exercises.judge_policy(LongKeys()) == 7 and "it gets 7 of the 8 right, and KeyNorm gets none" in prose

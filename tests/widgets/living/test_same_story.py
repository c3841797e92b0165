"""The same story: speeds are those of a plan, words those of the record, and it stands still where the first ends."""

import pytest

from helpers.arithmetic import Plan
from helpers.records.garage import load_garage
from helpers.widgets.living.same_story import FILLED, MACHINES, MODELS_THAT_WRITE, SameStory, story, written
from tests.widgets.living.node import answers_of


@pytest.fixture(scope="module")
def picture():
    return SameStory()


@pytest.mark.parametrize("model", MODELS_THAT_WRITE)
@pytest.mark.parametrize("filled", FILLED)
def test_every_lane_has_its_plan_s_speed_and_holds_what_it_writes_with(picture, model, filled):
    frame = picture.frame({"model": model, "filled": filled})
    lanes = frame["lanes"]
    plans = [Plan(model, "q4_k_m", machine, context=FILLED[-1]) for machine in MACHINES]
    assert [lane["speed"] for lane in lanes] == [round(plan.speed(filled), 2) for plan in plans]
    assert [lane["name"] for lane in lanes] == list(MACHINES)
    assert {plan.fit for plan in plans} == {"fits"}
    assert picture.data["frames"][f"{model}/{filled}"] == frame


def test_the_story_is_the_recorded_one():
    garage = load_garage()
    words = "".join(garage.tokens[garage.prompt_length :])
    assert "".join(story()).split() == words.split() and len(story()) == 151


def test_python_and_javascript_count_alike():
    calls = [[speed, seconds, 151] for speed in (2.98, 56.6, 1552.1) for seconds in (0, 0.3, 2.67, 60)]
    moved = answers_of("same_story.js", "advance", [[0, *call] for call in calls])
    assert answers_of("same_story.js", "whole", [[each] for each in moved]) == [written(*call) for call in calls]


@pytest.mark.parametrize("model", MODELS_THAT_WRITE)
def test_it_stands_still_where_the_first_has_done(model):
    scene = SameStory(model, 131_072).scene()
    lanes = SameStory(model, 131_072).frame({"model": model, "filled": 131_072})["lanes"]
    seconds = 151 / lanes[0]["speed"]
    assert f"After {seconds:.1f} seconds" in scene.title and "H200 151" in scene.title
    assert f"Strix Halo 128GB {int(lanes[2]['speed'] * seconds)}." in scene.title
    assert len(scene.svg()) < 20_000 and scene.png().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("model", "filled", "said"), [("GPT", 0, "model is 'GPT'; it may be Llama"), ("gpt-oss-120b", 5, "filled is 5")]
)
def test_what_cannot_be_chosen_is_refused(model, filled, said):
    with pytest.raises(ValueError, match=said):
        SameStory(model, filled)

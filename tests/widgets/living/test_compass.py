"""The score's picture: frames of every choice, the same in JavaScript, and how it stands still."""

import xml.etree.ElementTree as ElementTree
from itertools import product

import pytest

from helpers.records import load_compass
from helpers.widgets.living.compass import FIRST, KEPT, Compass
from tests.widgets.living.node import answers_of

RECORD = load_compass()
STOPS = range(len(RECORD.distances) + 1)
CHOICES = [FIRST | {"head": h, "stop": s, "key": k} for h, s, k in product((0, 1), STOPS, range(0, 16, 3))]


@pytest.fixture(scope="module")
def picture():
    return Compass()


@pytest.mark.parametrize("choice", CHOICES[::7], ids=str)
def test_products_and_norm_term_add_up_to_the_recorded_score(picture, choice):
    frame, head = picture.frame(choice), RECORD.heads[choice["head"]]
    found = sum(frame["products"]) + head.norm[choice["key"]]
    assert found == pytest.approx(frame["scores"][choice["key"]], abs=0.005)


def test_javascript_turns_and_multiplies_as_python_does(picture):
    found = answers_of("needles.js", "compassFrame", [[picture.data, choice] for choice in CHOICES])
    for choice, frame in zip(CHOICES, found, strict=True):
        expected = picture.frame(choice)
        assert frame.pop("products") == pytest.approx(expected.pop("products"), abs=1e-6)
        assert frame == expected


def test_those_who_are_kept_have_the_largest_scores(picture):
    for choice in CHOICES[::5]:
        frame = picture.frame(choice)
        kept = [frame["scores"][token] for token in frame["kept"]]
        others = [score for token, score in enumerate(frame["scores"]) if token not in frame["kept"]]
        assert len(kept) == KEPT and min(kept) >= max(others)
        assert [frame["scores"][token] for token in frame["order"]] == sorted(frame["scores"], reverse=True)


@pytest.mark.parametrize("name", ["head", "stop", "key"])
def test_what_is_no_choice_is_refused(picture, name):
    with pytest.raises(ValueError, match=f"{name} is 99; it may be 0 to "):
        picture.frame(FIRST | {name: 99})


@pytest.mark.parametrize(("head", "stop"), [(0, 0), (0, 2), (1, 9), (0, STOPS[-1])])
def test_it_stands_still_in_a_small_picture_with_words(head, stop):
    picture = Compass(head=head, stop=stop)
    scene = picture.scene()
    assert len(scene.svg().encode()) < 60_000 and scene.width == 800
    ElementTree.fromstring(scene.svg())
    assert RECORD.heads[head].name in scene.title and "score" in scene.title
    asks = "nearly the same thing" if head == 0 else "many different things"
    assert asks in picture.caption(picture.choice)

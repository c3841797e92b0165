"""The runs under a card's limit: recorded, or live where there is such a card."""

import dataclasses

import pytest

from helpers.arithmetic import GiB
from helpers.experiments.card_limit import BLOCKS, EVICTING, TINY, watch
from helpers.records.card_limit import CardLimit, Run
from helpers.widgets import card_limit


@pytest.fixture
def recorded(monkeypatch):
    """A record of a tiny plan, made elsewhere."""
    plan = dataclasses.asdict(dataclasses.replace(TINY, cap=24 * GiB))
    run = Run("a run of long ago", None, 1, 1, 0, ((1, 1),))
    found = CardLimit({"plan": plan, "machine": {"device": "cpu"}, "date": "long ago"}, {run.name: run})
    monkeypatch.setattr(card_limit, "load_card_limit", lambda: found)
    return found


@pytest.mark.parametrize(
    ("device", "free", "expected"),
    [("cuda", 80 * GiB, True), ("cuda", 24 * GiB, True), ("cuda", 23 * GiB, False), ("cpu", 80 * GiB, False)],
)
def test_a_card_has_room_if_it_is_there_and_has_the_cap_s_bytes_free(device, free, expected, monkeypatch):
    monkeypatch.setattr(card_limit, "pick_device", lambda: device)
    monkeypatch.setattr(card_limit, "free_memory", lambda device: free)
    assert card_limit.has_room(24 * GiB) == expected


@pytest.mark.parametrize(("static", "room"), [("", False), ("1", True), ("1", False)])
def test_without_a_card_and_on_a_static_page_the_record_is_shown(recorded, static, room, monkeypatch):
    monkeypatch.setenv("COURSE_STATIC", static)
    monkeypatch.setattr(card_limit, "has_room", lambda cap: room)
    assert card_limit.recorded_or_live() is recorded


def test_on_a_card_the_recorded_plan_is_watched_live(recorded, monkeypatch):
    watched = []

    def small(plan, device):
        watched.append((plan, device))
        return watch(dataclasses.replace(plan, cap=None), "cpu")

    monkeypatch.delenv("COURSE_STATIC")
    monkeypatch.setattr(card_limit, "has_room", lambda cap: cap == 24 * GiB)
    monkeypatch.setattr(card_limit, "watch", small)
    monkeypatch.setattr(
        "helpers.experiments.card_limit.new_report", lambda *_: {"machine": {"device": "cuda", "gpu": "a card"}}
    )
    live = card_limit.recorded_or_live()
    assert watched == [(dataclasses.replace(TINY, cap=24 * GiB), "cuda")]
    assert live.on_gpu and list(live.runs) == [BLOCKS, EVICTING]
    assert live.runs[BLOCKS].tokens == 320 and live.runs[EVICTING].error is None

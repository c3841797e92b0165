"""The garage: JavaScript lays rows where the pool has them; what stands still says the same as what moves."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.arithmetic.footprint import KVShape
from helpers.cache import PagedCache
from helpers.eviction.parking import Parking
from helpers.eviction.selection import SELECTIONS
from helpers.records.garage import packed
from helpers.widgets import living
from helpers.widgets.living import Garage
from helpers.widgets.living.garage import CARS, MODES, by_hand, car_weights, recorded, with_floors_back
from helpers.widgets.living.garage_live import LiveGarage
from helpers.widgets.living.garage_scene import HEADS, sentence
from helpers.widgets.living.scene import Rect
from tests.widgets.living.node import run_node

FRAME_JS = Path(living.__file__).parent / "garage_frame.js"
ASK = """
import {{ recordedFrame, sentence, weighed }} from {module};
let text = "";
for await (const part of process.stdin) text += part;
const {{ data, choices }} = JSON.parse(text);
const frames = choices.map((choice) => weighed(data, choice, recordedFrame(data, choice)));
const said = (frame, choice) => frame && {{ ...frame, words: sentence(frame, choice.compact) }};
console.log(JSON.stringify(frames.map((frame, i) => said(frame, choices[i]))));
"""
START = {"seen": 192, "layer": 14, "head": 0, "policy": "TriAttention", "mode": "per_layer_per_head", "share": 0.0}
START |= {"compact": False, "gone": [], "second": False}
HAND = [*range(16, 48), 60]
STATES = [
    {},
    {"seen": 70},
    {"share": 0.9},
    {"share": 0.9, "layer": "all"},
    {"share": 0.9, "compact": True},
    {"share": 0.95, "policy": "StreamingLLM", "layer": 3},
    {"second": True},
    {"second": True, "share": 0.9},
    {"policy": "by hand", "gone": HAND},
    {"policy": "by hand", "gone": HAND, "compact": True},
    {"policy": "by hand", "gone": HAND, "compact": True, "layer": "all"},
    {"policy": "by hand", "gone": HAND, "seen": 70},
    {"policy": "by hand", "gone": [7]},
]


def javascript(data, choices):
    """What the picture shows without a kernel."""
    script = ASK.format(module=json.dumps(FRAME_JS.as_uri()))
    text = json.dumps({"data": data, "choices": choices})
    done = run_node("--input-type=module", "--eval", script, text=text)
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout)


def rounded(frame):
    """A frame whose shares have three digits, as Python's have."""
    alive = {block: np.round(np.array(aisles, float), 3).tolist() for block, aisles in frame.get("alive", {}).items()}
    return frame | ({"alive": alive} if alive else {})


def without_rows(frame):
    """A frame as it is recorded."""
    return {name: value for name, value in with_floors_back(frame).items() if name not in ("rows", "layer")}


@pytest.mark.parametrize("mode", SELECTIONS)
def test_ranks_are_laid_out_as_the_pool_has_them(mode):
    rng, n, prompt, size = np.random.default_rng(SELECTIONS.index(mode)), 43, 19, 8
    shape = KVShape(7, 3, 4)
    sizes = {"shared": (1, 1), "union": (1, 1), "per_head": (1, 3), "per_layer_per_head": (7, 3)}[mode]
    ranks = rng.permuted(np.tile(np.arange(n), (*sizes, 1)), axis=-1).astype(np.uint8)
    parking = Parking(n, prompt, {"P": {mode: ranks}}, shape, size)
    shares, stops = (0.3, 0.7, 0.9), []
    for compact in (False, True):
        asked = [{"policy": "P", "mode": mode, "share": share, "compact": compact} for share in shares]
        stops.append([{"share": each["share"]} | without_rows(parking.after(each)) for each in asked])
    steps = {
        str(second).lower(): [
            without_rows(parking.after({"mode": mode, "seen": seen, "second": second})) for seen in range(n + 1)
        ]
        for second in (False, True)
    }
    data = {
        "tokens": ["x"] * n, "prompt": prompt, "layers": 7, "kv_heads": 3, "block_size": size,
        "aisles": [[0, 6], [6, 7]], "bytes_alive": [each["bytes_alive"] for each in steps["false"]],
        "ranks": {"P": {mode: {"layers": sizes[0], "heads": sizes[1], "base64": packed(ranks)}}},
        "stops": {"P": {mode: stops}},
        "steps": steps,
    }  # fmt: skip
    choices = [
        START | {"policy": "P", "mode": mode, "seen": n, "share": share, "compact": compact, "layer": layer}
        for share in shares for compact in (False, True) for layer in (0, 3, "all")
    ]  # fmt: skip
    choices += [
        START | {"policy": "P", "mode": mode, "seen": seen, "second": second, "layer": layer}
        for seen in (0, 1, 8, 18, 19, 20, 33, n) for second in (False, True) for layer in (2, "all")
    ]  # fmt: skip
    for choice, drawn in zip(choices, javascript(data, choices), strict=True):
        counted = with_floors_back(parking.after(choice))
        for name in ("rows", "alive"):
            assert rounded(drawn).get(name) == counted.get(name), choice


def test_the_recorded_conversation_is_drawn_as_python_counts_it():
    picture = Garage()
    choices = [START | state for state in STATES]
    choices += [START | {"share": 0.9, "mode": mode, "policy": "H2O", "layer": 20} for mode in MODES]
    choices += [START | {"seen": seen, "second": second} for seen in (0, 5, 41, 42, 48, 49) for second in (False, True)]
    names = ("seen", "layer", "tables", "free", "rows", "layers_holding", "rows_evicted", "rows_in_all", "floors")
    names += ("floors_closed", "floors_back", "bytes_held", "bytes_back")
    data = recorded() | {"hands": by_hand(HAND)}
    for choice, drawn in zip(choices, javascript(data, choices), strict=True):
        counted = picture.frame(choice)
        other_hand = choice["policy"] == "by hand" and (choice["gone"] != HAND or choice["seen"] < 192)
        is_recorded = not (choice["second"] and choice["share"]) and not other_hand
        assert (drawn is not None) == is_recorded, choice
        if drawn:
            assert {name: drawn.get(name) for name in names} == {name: counted.get(name) for name in names}, choice
            assert drawn["words"] == sentence(counted, choice["compact"])
            if not choice["second"]:
                assert drawn["bytes_alive"] == counted["bytes_alive"]


@pytest.mark.parametrize("seen", [0, 41, 192])
def test_cars_of_another_weight_are_what_a_pool_of_such_rows_holds(seen):
    choices = [START | {"seen": seen, "car": car} for car in CARS]
    for choice, drawn in zip(choices, javascript(recorded(), choices), strict=True):
        dim, kv_format = CARS[choice["car"]]
        cache = PagedCache(KVShape(30, 3, dim), 15, kv_format=kv_format)
        for layer in range(30):
            cache.write(*torch.zeros(2, 1, 3, seen, dim), layer)
        counted, stats = Garage(**choice).frame(choice), cache.stats()
        assert (counted["bytes_held"], counted["bytes_alive"]) == (stats.bytes_held, stats.bytes_alive)
        names = ("bytes_held", "bytes_alive", "bytes_back", "car_bytes", "car_share", "full_bytes")
        assert {name: drawn[name] for name in names} == {name: counted[name] for name in names}
        assert drawn["words"] == sentence(counted, False)


def test_cars_are_drawn_as_long_as_they_are_heavy():
    drawn = {}
    for car in CARS:
        boxes = [shape for shape in Garage(seen=16, car=car).scene().shapes if isinstance(shape, Rect)]
        [drawn[car]] = {box.width for box in boxes if box.look.fill == HEADS[2]}  # the third head's, no gauge's
    weights = car_weights()
    assert all(
        drawn[car] == pytest.approx(drawn[max(drawn, key=drawn.get)] * weights[car] / 512, abs=1) for car in CARS
    )


def test_a_car_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="car is 'bus'; it may be 64"):
        Garage(car="bus")


@pytest.mark.parametrize("state", STATES, ids=str)
def test_it_stands_still_in_under_60_kilobytes(state):
    scene = Garage(**state).scene()
    svg = scene.svg()
    assert len(svg.encode()) < 60_000
    words = [node.text for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    frame = Garage(**state).frame(START | state)
    assert scene.title == sentence(frame, bool(state.get("compact")))
    assert f"{frame['floors_back']} of {frame['floors']}" in words
    assert sum(word == "given back" for word in words) == frame["floors_closed"] - (bool(state.get("second")) * 0)


def test_a_caption_has_the_figures_of_its_choice():
    caption = Garage.caption(START | {"share": 0.9})
    assert "90% of the rows evicted, 0 of 12 floors given back" in caption
    assert caption.endswith("Chosen by TriAttention, each head of each layer.")
    assert "0 of 12" not in Garage().data["caption"]  # a reader turns that one


def test_a_choice_that_may_not_be_is_refused():
    with pytest.raises(ValueError, match="share is 2"):
        Garage(share=2)


class Letters:
    """A tokenizer that writes a letter a token."""

    def decode(self, tokens):
        return "".join(chr(97 + token % 26) for token in tokens)


def test_a_live_garage_sends_text_and_frames_and_takes_little_of_the_time(monkeypatch):
    from helpers.measuring.trace import Trace

    cache = PagedCache(KVShape(2, 3, 4), 6, 4)
    picture, sent = LiveGarage(cache, Letters()), []
    monkeypatch.setattr(picture, "send", sent.append)
    ids, trace = torch.tensor([[0, 1, 2, 3, 4]]), Trace(5, [[]])
    on_step = picture.reading(ids)
    for count in (5, 1, 1, 1):
        rows = torch.zeros(1, 3, count, 4)
        for layer in range(2):
            cache.write(rows, rows, layer)
        trace.tokens[0].append(25)
        on_step(trace)
    assert len(sent) == 1  # the others came too soon
    picture.finish()
    texts = [text for message in sent for text in message["live"]["tokens"]]
    assert "".join(texts) == "abcdezzzz"
    assert sent[-1]["live"]["frame"]["seen"] == 8
    assert [message["live"]["at"] for message in sent] == [0, 6]
    assert "8 tokens on 2 floors" in picture.scene().title
    with pytest.raises(ValueError, match="2 sequences"):
        LiveGarage(PagedCache(KVShape(2, 3, 4), 6, 4, batch_size=2), Letters())

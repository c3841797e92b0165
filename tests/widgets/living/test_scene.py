"""A scene says the same in SVG, in PNG and in words."""

import io
import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from helpers.widgets.living.scene import Curve, Look, Rect, Scene, Text

COLOURS = st.sampled_from(["#0072b2", "#d55e00", "#ffffff"])
PIXELS = st.integers(0, 300)
LOOKS = st.builds(Look, COLOURS, COLOURS, st.integers(1, 4), st.booleans())
BOXES = st.builds(Rect, PIXELS, PIXELS, st.integers(12, 90), st.integers(12, 90), LOOKS, st.integers(0, 6))
POINTS = st.lists(st.tuples(PIXELS, PIXELS), min_size=2, max_size=3).map(tuple)
WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), min_size=1)
SHAPES = st.one_of(BOXES, st.builds(Curve, POINTS, LOOKS), st.builds(Text, PIXELS, PIXELS, WORDS, COLOURS))
SVG = "{http://www.w3.org/2000/svg}"


@given(st.lists(SHAPES, max_size=12), WORDS)
def test_any_scene_is_svg_that_parses_and_holds_its_words(shapes, title):
    root = ElementTree.fromstring(Scene(400, 400, tuple(shapes), title).svg())
    assert root.findtext(f"{SVG}title") == title
    assert [node.text for node in root.iter(f"{SVG}text")] == [each.words for each in shapes if isinstance(each, Text)]
    numbers = "".join(node.get("d") for node in root.iter(f"{SVG}path"))
    assert "." not in numbers  # whole pixels


def test_boxes_of_one_look_share_a_path():
    boxes = [Rect(10 * i, 0, 8, 8, Look("#0072b2")) for i in range(50)]
    assert Scene(500, 10, tuple(boxes), "boxes").svg().count("<path") == 1


def test_both_drawings_have_the_colour_where_the_shape_is():
    scene = Scene(
        200, 100, (Rect(20, 10, 60, 40, Look("#0072b2")), Curve(((0, 90), (199, 90)), Look("", "#d55e00", 6))), ""
    )
    pixels = imread(io.BytesIO(scene.png()))
    height, width, _ = pixels.shape

    def at(x, y):
        return [round(255 * float(part)) for part in pixels[round(y / 100 * height), round(x / 200 * width), :3]]

    assert (at(50, 30), at(100, 90), at(150, 30)) == ([0, 0x72, 0xB2], [0xD5, 0x5E, 0], [255, 255, 255])
    assert at(50, 5) == at(50, 55) == [255, 255, 255]


def test_a_bundle_has_all_three():
    data, metadata = Scene(200, 100, (), "nothing").bundle()
    assert sorted(data) == ["image/png", "image/svg+xml", "text/plain"]
    assert metadata["image/png"] == {"width": 200, "height": 100}
    assert data["text/plain"] == "nothing"

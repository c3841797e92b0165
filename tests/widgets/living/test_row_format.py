"""A row in a format: read back as decode reads it, bytes where they are said to lie, all steps and no other."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.arithmetic.catalog import KV_LAYOUTS
from helpers.cache.kv_formats import decode, encode
from helpers.records import load_kv_row
from helpers.widgets.living.row_format import FORMATS, RECORDED, RowFormat, key_of
from helpers.widgets.living.stored_row import COUNT, HALVES, SCALE_BYTES, TIMES, TOP, group, places, steps, store
from tests.widgets.living.node import answers_of

CHOICES = st.fixed_dictionaries(
    {
        "format": st.sampled_from(list(FORMATS)),
        "half": st.sampled_from(list(HALVES)),
        "number": st.integers(1, COUNT),
        "times": st.sampled_from(TIMES),
    }
)


@pytest.fixture(scope="module")
def picture():
    return RowFormat()


def test_formats_are_named_once():
    assert list(FORMATS) == list(SCALE_BYTES)


@given(CHOICES)
@settings(max_examples=60, deadline=None)
def test_a_frame_is_what_encode_and_decode_say(picture, choice):
    frame = picture.frame(choice)
    row = torch.tensor(load_kv_row().row[HALVES[choice["half"]] :][:COUNT])
    row[choice["number"] - 1] *= choice["times"]
    packed = encode(row, choice["format"])
    assert bytes.fromhex(frame["hex"]) == bytes(packed.tolist())
    np.testing.assert_allclose(frame["read"], decode(packed, choice["format"]), rtol=1e-3)
    np.testing.assert_allclose(frame["exact"], row, rtol=1e-3)
    others = np.delete(np.arange(COUNT), choice["number"] - 1) if choice["times"] > 1 else np.arange(COUNT)
    off = (decode(packed, choice["format"]) - row).numpy()[others]
    wanted = 100 * np.linalg.norm(off) / np.linalg.norm(row.numpy()[others])
    assert float(frame["line"].split("% off")[0].split()[-1]) == pytest.approx(wanted, rel=0.06)
    assert "e" not in frame["line"].split("% off")[0].split()[-1]


@given(st.sampled_from(list(FORMATS)), st.integers(1, COUNT), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_number_lies_in_the_bytes_that_are_said_to_hold_it(kv_format, number, seed):
    row = torch.tensor(np.random.default_rng(seed).uniform(-1, 1, COUNT), dtype=torch.float32)
    row[0], row[COUNT // 2] = 3.0, 3.0  # the largest of every group, so that its scale stays
    other = row.clone()
    other[number - 1] = -other[number - 1] if number % 16 != 1 else other[number - 1]
    changed = (encode(row, kv_format) != encode(other, kv_format)).nonzero().flatten().tolist()
    held = [i for i, numbers in enumerate(places(kv_format)) if number in numbers]
    assert set(changed) <= set(held)
    assert len(places(kv_format)) == len(encode(row, kv_format))
    if number % 16 != 1 and abs(decode(encode(row, kv_format), kv_format)[number - 1]) > 0:
        assert changed


@pytest.mark.parametrize(("kv_format", "count"), zip(FORMATS, (63_487, 253, 255, 16, 15), strict=True))
def test_steps_are_all_that_can_come_back(kv_format, count):
    row = torch.tensor(np.random.default_rng(0).normal(0, 1, COUNT), dtype=torch.float32)
    packed = encode(row, kv_format)
    size = KV_LAYOUTS[kv_format].values_per_group if SCALE_BYTES[kv_format] else COUNT
    levels = steps(bytes(packed[: SCALE_BYTES[kv_format]].tolist()), kv_format)
    assert len(levels) == count
    assert set(decode(packed, kv_format)[:size].tolist()) <= set(levels.tolist())


@given(st.sampled_from(["q8_0", "q4_0"]), st.floats(0.001, 30))
@settings(deadline=None)
def test_a_group_draws_its_steps_or_says_where_they_are_too_close(kv_format, scale):
    head = torch.tensor([scale]).to(torch.float16).view(torch.uint8).tolist()
    found, levels = group(bytes(head), kv_format), steps(bytes(head), kv_format)
    seen = levels[levels.abs() <= TOP]
    inside = ((seen >= found["dense"][0] - 1e-3) & (seen <= found["dense"][1] + 1e-3)).sum() if found["dense"] else 0
    assert len(found["lines"]) + inside >= len(seen)
    assert found["scale"] == pytest.approx(scale, rel=1e-2)


def test_where_no_kernel_is_it_has_what_python_says(picture):
    recorded = picture.data["recorded"]
    assert len(recorded) == len(FORMATS) * len(HALVES) * (1 + len(RECORDED) * (len(TIMES) - 1))
    choices = [
        {"format": name, "half": half, "number": number, "times": times}
        for name in FORMATS
        for half in HALVES
        for number in RECORDED
        for times in TIMES
    ]
    keys = answers_of("row_format.js", "recordedKey", [[choice] for choice in choices])
    assert keys == [key_of(choice) for choice in choices]
    assert all(recorded[key] == picture.frame(choice) for key, choice in list(zip(keys, choices, strict=True))[::7])


def test_a_large_number_makes_the_others_coarse(picture):
    ask = {"format": "q4_0", "half": "second", "number": 19}
    lines = [picture.frame(ask | {"times": times})["line"] for times in (1, 16)]
    assert lines == [
        "q4_0: 18 bytes, one scale for 32 numbers. The 32 numbers come back 8.4% off; 3 of them became 0.",
        "q4_0: 18 bytes, one scale for 32 numbers. With number 19 made 16 times larger, the other 31 come back 54% "
        "off; 20 of them became 0.",
    ]


@pytest.mark.parametrize("kv_format", FORMATS)
@pytest.mark.parametrize("half", HALVES)
def test_it_stands_still(kv_format, half):
    scene = RowFormat(kv_format, half, 28, 16).scene()
    assert len(scene.svg()) < 60_000
    assert scene.title.startswith(f"{kv_format}: ")


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (("q6_k", "first", 1, 1), "format is 'q6_k'; it may be fp16, fp8_e4m3"),
        (("q8_0", "third", 1, 1), "half is 'third'; it may be second, first"),
        (("q8_0", "first", 0, 1), "number is 0; it may be 1, 2"),
        (("q8_0", "first", 1, 3), "times is 3; it may be 1, 2, 4"),
    ],
)
def test_what_it_cannot_show_is_refused(choice, said):
    with pytest.raises(ValueError, match=said):
        store(*choice)

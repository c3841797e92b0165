"""Rows of K and V in few bits: llama.cpp's formats against gguf, byte for byte; NVFP4 against its definition."""

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, quants
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.arithmetic import KV_LAYOUTS
from helpers.cache import KV_FORMATS, bits_per_element, decode, encode
from helpers.cache.kv_formats import E2M1, nvfp4_tensor_scale

GGUF = {name: GGMLQuantizationType[name.upper()] for name in ("q8_0", "q5_0", "q4_0")}
fast = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def random_rows(scale=1.0, seed=0, rows=200, dim=64):
    return torch.randn(rows, dim, generator=torch.manual_seed(seed)) * scale


KINDS = {
    "random": random_rows(),
    "constant": torch.full((3, 64), 0.37),
    "negative constant": torch.full((3, 64), -0.37),
    "zero": torch.zeros(3, 64),
    "minus zero": -torch.zeros(3, 64),
    "tiny": random_rows(1e-30),
    "denormal": random_rows(1e-41),
    "large": random_rows(1e5),
    "one spike": torch.eye(64) * 3.3,
    "two equal spikes of opposite sign": torch.eye(64) * 5 - torch.eye(64).roll(1, 0) * 5,
    "halves": torch.arange(-32, 32).float().repeat(4, 1) / 2,
    "mixed sizes": random_rows() * torch.logspace(-8, 4, 200)[:, None],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GGUF)
def test_llama_cpp_s_formats_equal_gguf_byte_for_byte(name, kind):
    rows = KINDS[kind]
    with np.errstate(all="ignore"):
        theirs = quants.quantize(rows.numpy(), GGUF[name])
        read = quants.dequantize(theirs, GGUF[name])
    finite = np.isfinite(read).all(axis=-1)
    assert finite.any()
    assert np.array_equal(encode(rows, name).numpy()[finite], theirs[finite])
    assert np.array_equal(decode(torch.from_numpy(theirs), name).numpy()[finite], read[finite])


@fast
@given(
    st.sampled_from(sorted(GGUF)),
    st.lists(st.floats(-6e4, 6e4, width=32), min_size=32, max_size=32),
)
def test_any_row_equals_gguf_s(name, numbers):
    row = torch.tensor([numbers])
    with np.errstate(all="ignore"):
        assert np.array_equal(encode(row, name).numpy(), quants.quantize(row.numpy(), GGUF[name]))


def nearest_e2m1(x):
    """By the definition: the nearest level, and of two equally near the one with the even code."""
    size = min(range(8), key=lambda code: (abs(abs(x) - E2M1[code]), code % 2))
    return -E2M1[size] if x < 0 else E2M1[size]


@fast
@given(st.lists(st.floats(-100, 100, width=32), min_size=16, max_size=16), st.sampled_from([1.0, 0.01, 3.7]))
def test_nvfp4_follows_its_definition(numbers, tensor_scale):
    row = torch.tensor(numbers)
    divided = (row / tensor_scale).numpy()
    scale = torch.tensor(np.abs(divided).max() / np.float32(6)).clamp(max=448).to(torch.float8_e4m3fn).float().item()
    inverse = np.float32(1) / np.float32(scale) if scale else np.float32(0)
    expected = [nearest_e2m1(float(x * inverse)) * scale * tensor_scale for x in divided]
    got = decode(encode(row, "nvfp4", tensor_scale), "nvfp4", tensor_scale)
    assert got.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-30)


def test_nvfp4_keeps_ties_even_and_signs():
    row = torch.tensor([6, 0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, -6, -0.25, -0.75, -1.25, -1.75, -2.5, -3.5, -5.0])
    assert decode(encode(row, "nvfp4"), "nvfp4").abs().tolist() == [6, 0, 1, 1, 2, 2, 4, 4] * 2


def test_nvfp4_s_tensor_scale_saves_small_rows():
    rows = random_rows(1e-4)
    lost = decode(encode(rows, "nvfp4"), "nvfp4")
    scale = nvfp4_tensor_scale(rows)
    kept = decode(encode(rows, "nvfp4", scale), "nvfp4", scale)
    assert lost.abs().max() == 0
    assert (kept - rows).norm() / rows.norm() < 0.12


# The largest error of a number beside the largest of its group, by the width of a step.
STEP = {
    "fp32": 0,
    "fp16": 2**-11,
    "bf16": 2**-8,
    "fp8_e4m3": 2**-4,
    "q8_0": 0.6 / 127,
    "q5_0": 1.1 / 16,
    "q4_0": 1.1 / 8,
}


@pytest.mark.parametrize("name", STEP)
def test_the_round_trip_is_right_to_half_a_step(name):
    rows = random_rows()
    error = (decode(encode(rows, name), name) - rows).abs().unflatten(-1, (-1, 32)).amax(-1)
    assert (error <= STEP[name] * rows.abs().unflatten(-1, (-1, 32)).amax(-1)).all()


@pytest.mark.parametrize("name", KV_FORMATS)
def test_bytes_are_those_of_the_catalog(name):
    packed = encode(random_rows(dim=96), name)
    assert packed.dtype == torch.uint8
    assert packed.shape == (200, 96 * KV_LAYOUTS[name].bytes_per_group // KV_LAYOUTS[name].values_per_group)
    assert bits_per_element(name) == packed.shape[-1] * 8 / 96


def test_the_names_and_bits_are_complete():
    assert {name: bits_per_element(name) for name in KV_FORMATS} == {
        "fp32": 32, "fp16": 16, "bf16": 16, "fp8_e4m3": 8, "q8_0": 8.5, "q5_0": 5.5, "q4_0": 4.5, "nvfp4": 4.5,
    }  # fmt: skip
    assert list(KV_FORMATS) == list(KV_LAYOUTS)


@pytest.mark.parametrize("name", KV_FORMATS)
def test_shape_and_layout_of_the_input_do_not_matter(name):
    rows = random_rows(dim=64, rows=24)
    folded = encode(rows.reshape(2, 3, 4, 64), name)
    assert torch.equal(folded.flatten(0, 2), encode(rows, name))
    strided = torch.stack([rows, rows], dim=-1)[..., 0]
    assert torch.equal(encode(strided, name), encode(rows, name))
    every_other = folded[:, ::2]
    assert torch.equal(decode(every_other, name), decode(every_other.contiguous(), name))
    assert encode(rows[:0], name).shape[0] == 0


def test_fp8_saturates():
    assert decode(encode(torch.tensor([1e6, -1e6]), "fp8_e4m3"), "fp8_e4m3").tolist() == [448, -448]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: encode(torch.zeros(2, 40), "q8_0"), ["q8_0", "32", "40"]),
        (lambda: encode(torch.zeros(2, 24), "nvfp4"), ["nvfp4", "16", "24"]),
        (lambda: encode(torch.zeros(2, 32), "q3"), ["kv_format", "'q3'", *KV_FORMATS]),
        (lambda: decode(torch.zeros(2, 34, dtype=torch.uint8), "q3"), ["kv_format", "'q3'", *KV_FORMATS]),
        (lambda: decode(torch.zeros(2, 33, dtype=torch.uint8), "q8_0"), ["packed", "33", "q8_0", "34"]),
        (lambda: decode(torch.zeros(2, 34), "q8_0"), ["packed", "float32", "uint8"]),
        (lambda: bits_per_element("fp7"), ["kv_format", "'fp7'", *KV_FORMATS]),
    ],
)
def test_errors_say_what_it_was_and_what_it_may_be(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert "\n" not in str(caught.value) and all(word in str(caught.value) for word in words)

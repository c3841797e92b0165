"""What KV formats cost in llama.cpp: the saved answers, and that they can be measured."""

import importlib.util

import pytest

from helpers.engines import write_reasoner_gguf
from helpers.experiments import llama_cpp_formats
from helpers.experiments.fidelity import weights_hash
from helpers.measuring.comparisons import paired_difference
from helpers.models import load_reasoner, make_worksheets
from helpers.records import load_llama_cpp_formats, load_table


@pytest.fixture(scope="module")
def record():
    return load_llama_cpp_formats()


def test_it_was_made_with_this_reasoner_on_the_table_s_own_worksheets(record):
    facts, pairs = record
    table = load_table().facts
    assert facts["weights_sha256"] == weights_hash() == table["weights_sha256"]
    of_both = [{key: f["worksheets"][key] for key in ("n_lines", "seed")} for f in (facts, table)]
    assert of_both[0] == of_both[1]
    assert list(pairs) == list(llama_cpp_formats.PAIRS)
    assert {len(pair.right) for pair in pairs.values()} == {facts["worksheets"]["count"]}
    assert all(sum(pair.right) <= pair.answered for pair in pairs.values())


@pytest.mark.parametrize("kv_format", llama_cpp_formats.PAIRS, ids="-".join)
def test_llama_cpp_and_the_course_s_own_formats_agree(record, kv_format):
    """The same worksheets, so the difference is paired; it is not told apart from none."""
    pair = record[1][kv_format]
    ours = load_table().find(kv_format).right[: len(pair.right)]
    difference, half_width = paired_difference(pair.right, ours)
    assert abs(difference) <= max(half_width, 1 / len(ours))


@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="llama.cpp (xllamacpp) is not installed")
def test_a_pair_is_measured(tmp_path):
    path, sheets = write_reasoner_gguf(tmp_path / "reasoner.gguf"), make_worksheets(2, 5, seed=1)
    measured = llama_cpp_formats.measure_pair(path, load_reasoner(), sheets, ("q8_0", "q4_0"))
    assert measured == {"k": "q8_0", "v": "q4_0", "right": "11", "answered": 2, "kv_mib": 0.81}

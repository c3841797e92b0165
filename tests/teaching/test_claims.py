"""Claims: each is recorded where it is taught, and its verdict is made from what was recorded."""

import json
import re

import nbformat
import pytest

from helpers.teaching import claims
from helpers.teaching.claims import CLAIMS, FAILS, HOLDS, IN_PART, MIME, OPEN, judge, record, recorded
from tests.house.notebooks import LESSONS, NOTEBOOKS

# Two sets of values per claim that must lead to two verdicts; the first is what the lessons are expected to find.
CASES = {
    "A1": (
        {"least_growth": 8, "most_growth": 8, "bytes_freed": 0, "stop_growing": {"Gemma-3-27B": [52, 62]}},
        IN_PART,
        {"stop_growing": {}},
        HOLDS,
    ),
    "A2": (
        {"tokens": 9, "rows": 9, "smallest": 1, "largest": 2, "fewest_rows": 1_023},
        IN_PART,
        {"rows": 8},
        FAILS,
    ),
    "A3": ({"cases": ["no overhead", "overhead"], "ends": [24_576, 21_504]}, IN_PART, {"ends": [30_000, 9]}, FAILS),
    "A4": ({"mean": 0.62, "least": 0.04}, IN_PART, {"least": 0.6}, HOLDS),
    "A5": (
        {"freed_shared": 0.185, "freed_per_head": 0.0, "freed_at_the_end": 0.0002, "stories": [0, 0]},
        IN_PART,
        {"freed_shared": 0.01},
        HOLDS,
    ),
    "A6": ({"block_sizes": {"vLLM": 16, "TRT-LLM": 32}}, IN_PART, {"block_sizes": {"vLLM": 16}}, HOLDS),
    "A7": (
        {"freed_with_one_row_alive": 0, "freed_with_none_alive": 1, "falls_while_running": 0},
        HOLDS,
        {"falls_while_running": 1},
        FAILS,
    ),
    "A8": ({"shared": 117.9, "eight_heads": 0.00004, "at_the_end": 0.13}, IN_PART, {"shared": 0.2}, HOLDS),
    "A9": (
        {"tokens_changed": 0, "shuffled_difference": 1e-15, "breaks": ["masks"]},
        IN_PART,
        {"tokens_changed": 9},
        HOLDS,
    ),
    "A10": (
        {"tokens": 9, "bytes_ratio": 32.0, "slowdown": 3.0, "bytes_written": {"H2O": 2**24, "SnapKV": 0}},
        IN_PART,
        {"bytes_written": {"H2O": 2**24, "SnapKV": 2**20}},
        HOLDS,
    ),
    "A11": ({"relative_error": 1e-7, "needs_weights": False}, HOLDS, {"relative_error": 0.1}, FAILS),
    "A12": (
        {"blocks_held": 5, "blocks_for_rows": 5, "order_kept": True, "lengths_kept": 2},
        IN_PART,
        {"blocks_held": 6},
        FAILS,
    ),
    "A13": (
        {"token_ratio": 10.7, "speed_ratio": 2.5, "accuracy_full": 57.1, "accuracy_smaller_budget": 42.1},
        IN_PART,
        {"accuracy_smaller_budget": 57.1},
        HOLDS,
    ),
    "A14": ({"kept": 3, "total": 20, "capacity": 24, "engines_here": 0}, IN_PART, {"engines_here": 1}, HOLDS),
    "A15": (
        {"blocks_freed": 5.0, "weights_bytes": 0, "order_kept": True, "still_breaks": ["prefix hashes"]},
        IN_PART,
        {"still_breaks": []},
        HOLDS,
    ),
    "B1": ({"weights": 42.5e9, "cache": 42.95e9}, HOLDS, {"cache": 21e9}, IN_PART),
    "B2": (
        {"smallest": 16, "largest": 168, "process": 45 * 10**7},
        OPEN,
        {"largest": 16, "process": 75 * 10**7},
        HOLDS,
    ),
    "B3": (
        {"predicted": 5, "measured": 5, "engine_predicted": 22.5, "engine_said": 22.5},
        HOLDS,
        {"engine_said": 22.51},
        FAILS,
    ),
    "B4": ({"factor": 8, "without_gqa": 343.6e9}, IN_PART, {"without_gqa": 320e9}, HOLDS),
    "B5": ({"bits": 4.82, "right_7_values": 1.0, "right_3_values": 0.0}, OPEN, {}, OPEN),
    "B6": (
        {
            "ratio_q8_0": 1.88,
            "ratio_q4_0": 3.56,
            "right": {"fp16": 1.0, "q8_0": 1.0, "q4_0": 0.9},
            "lost": {"q8_0": [-0.0002, 0.0007], "q4_0": [0.067, 0.012]},
        },
        IN_PART,
        {"ratio_q8_0": 2, "ratio_q4_0": 4},
        HOLDS,
    ),
    "B7": (
        {"tokens_fp16": 108_953, "tokens_8_bits": 217_907, "tokens_q8_0": 205_089},
        IN_PART,
        {"tokens_q8_0": 218_000},
        HOLDS,
    ),
    "B8": ({"mcp_task": [32_279, 82_835], "command_line_task": 1_365}, IN_PART, {"command_line_task": 200}, HOLDS),
    "B9": ({"steps": 20, "tokens_at_end": 90_000, "tokens_reread": 10**6, "spared": 0.9}, OPEN, {}, OPEN),
    "B10": (
        {"without_sharing": 171.8e9, "with_sharing": 60e9, "with_offloading": 43e9, "capacity": 141e9},
        IN_PART,
        {"without_sharing": 100e9},
        FAILS,
    ),
    "B11": ({"weights": 40, "capacity": 24, "slowdown": 9.0}, HOLDS, {"slowdown": 1.1}, IN_PART),
    "B12": (
        {"total": 85, "capacity": 128, "at_first": 62, "tokens_per_second": {"M4 Max": [12.8, 6.4]}},
        HOLDS,
        {"total": 129},
        FAILS,
    ),
    "B13": ({"ceilings": [11.0, 16.1], "minutes": 15.0}, HOLDS, {"ceilings": [7.0, 16.1]}, IN_PART),
    "B14": (
        {"nvfp4": {"Blackwell": 2024}, "nvidia_without": {"Ada": 2022}, "rdna_fp8": {"RDNA3": False, "RDNA4": True}},
        IN_PART,
        {"rdna_fp8": {"RDNA3": False}},
        HOLDS,
    ),
    "B15": (
        {"requests": 4, "predicted": 328.2, "measured": 328.3, "sharing": 193.4},
        IN_PART,
        {"sharing": 328.0},
        HOLDS,
    ),
}


def tagged(notebook):
    """(claim, source) for every cell with a claim's tag."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        for tag in cell.metadata.get("tags", []):
            if tag.startswith("claim-"):
                yield tag.removeprefix("claim-"), cell.source


def test_all_thirty_claims_of_the_articles_are_there():
    assert list(CLAIMS) == [f"A{i}" for i in range(1, 16)] + [f"B{i}" for i in range(1, 16)]
    assert set(CASES) == set(CLAIMS)


@pytest.mark.parametrize("claim", CASES)
def test_another_value_leads_to_another_verdict(claim):
    values, verdict, change, other = CASES[claim]
    assert set(values) == set(CLAIMS[claim].needs)
    assert judge(claim, {claim: values})[0] == verdict
    said, why = judge(claim, {claim: values | change})
    assert said == other
    assert why and "\n" not in why


def test_a_claim_without_a_value_is_not_settled():
    assert judge("A1", {}) == (OPEN, "no lesson has recorded a value yet")


def test_a_claim_with_the_values_of_an_older_verdict_is_not_settled():
    assert judge("A1", {"A1": {"growth": 8}}) == (OPEN, "recorded by an older lesson; run its lesson again")


@pytest.mark.parametrize(("claim", "values", "words"), [("Z9", {}, "Z9"), ("A5", {"freed": 1}, "freed_shared")])
def test_what_cannot_be_recorded_is_refused_in_one_line(claim, values, words):
    with pytest.raises(ValueError, match=words) as error:
        record(claim, **values)
    assert "\n" not in str(error.value)


def test_recorded_values_come_back_from_saved_notebooks(tmp_path, capsys):
    output = nbformat.v4.new_output("display_data", {MIME: {"claim": "A7", "values": {"freed_with_none_alive": 1}}})
    cell = nbformat.v4.new_code_cell("record(...)", outputs=[output, nbformat.v4.new_output("stream", text="x")])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_markdown_cell("a")]), tmp_path / "1.ipynb")
    assert recorded(tmp_path) == {"A7": {"freed_with_none_alive": 1}}
    record("A7", freed_with_one_row_alive=0, freed_with_none_alive=1, falls_while_running=0)
    assert "Noted for lesson 12 (claim A7)." in capsys.readouterr().out


def test_of_a_float_four_digits_are_kept_and_of_a_whole_number_all(monkeypatch):
    shown = []
    monkeypatch.setattr(claims, "display", lambda data, raw: shown.append(data[MIME]["values"]))
    for least in (0.540795087814331, 0.5407950282096863):  # one figure, on two processors
        record("A4", mean=0.71462, least=least)
    assert shown == [{"mean": 0.7146, "least": 0.5408}] * 2
    record("B12", total=86263587492, capacity=2**37, at_first=1, tokens_per_second={"M4 Max": (12.84449, 6)})
    assert shown[-1] == {
        "total": 86263587492,
        "capacity": 2**37,
        "at_first": 1,
        "tokens_per_second": {"M4 Max": [12.84, 6]},
    }


def floats(value):
    if isinstance(value, dict | list):
        return [one for part in (value.values() if isinstance(value, dict) else value) for one in floats(part)]
    return [value] if isinstance(value, float) else []


def test_no_lesson_has_saved_more_digits():
    saved = floats(recorded(NOTEBOOKS))
    assert len(saved) > 15 and saved == [float(f"{value:.4g}") for value in saved]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_a_cell_tagged_with_a_claim_records_it_and_no_other_cell_does(path):
    for claim, source in tagged(path):
        assert f'record("{claim}"' in source.replace("\n    ", "")
    told = re.findall(r'record\(\s*\\?"([AB]\d+)', path.read_text())
    assert sorted(told) == sorted(claim for claim, _ in tagged(path))


def test_each_recorded_claim_is_taught_in_one_place():
    taught = [claim for path in LESSONS for claim, _ in tagged(path)]
    assert sorted(set(taught)) == sorted(taught)


@pytest.mark.parametrize("claim", sorted(recorded(NOTEBOOKS)))
def test_what_the_lessons_have_saved_can_be_judged(claim):
    values = recorded(NOTEBOOKS)
    assert json.loads(json.dumps(values[claim])) == values[claim]
    assert judge(claim, values)[0] in (HOLDS, IN_PART, FAILS, OPEN)

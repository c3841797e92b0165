"""Lesson 05: fidelity and its saved table, what the figures draw, exercises, and prose."""

import io
import math
import re

import numpy as np
import pytest
import torch

from helpers.arithmetic import KV_LAYOUTS, MODELS, GiB, KVShape, max_tokens
from helpers.experiments import fidelity, turned_answers
from helpers.experiments.kv_format_loss import hadamard
from helpers.measuring import paired_difference, share_interval
from helpers.models import load_reasoner, make_worksheets
from helpers.plots import formats
from helpers.records import load_kv_format_loss, load_llama_cpp_formats, load_table, load_turned_answers
from helpers.records.measured import FOLDER
from helpers.teaching.claims import judge, recorded
from helpers.teaching.lessons import lesson_05 as exercises
from helpers.widgets.living.stored_row import store
from tests.house.notebooks import NOTEBOOKS, lesson_text


def axes(figure):
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    [ax] = figure.axes
    return ax


def points(ax, label):
    [found] = [artist for artist in ax.lines if artist.get_label() == label]
    return list(map(tuple, np.asarray(found.get_xydata()).tolist()))


# --- Fidelity --------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def course():
    return load_reasoner()


@pytest.fixture(scope="module")
def heard(course):
    return fidelity.listen(course.model, fidelity.gold_and_length(course, make_worksheets(1, 8, 3))[0])


def test_what_was_heard_is_what_attention_is_given(course, heard):
    shape = course.shape
    assert len(heard) == shape.n_layers
    for layer in heard:
        assert layer.queries.shape[1] == 2 * shape.n_kv_heads
        assert layer.keys.shape == layer.values.shape == (1, shape.n_kv_heads, layer.queries.shape[2], shape.head_dim)
        assert layer.scaling == pytest.approx(shape.head_dim**-0.5)


def test_an_exact_format_costs_nothing(heard):
    for layer in heard:
        assert fidelity.output_errors(layer, "fp32").max() == 0
        assert fidelity.relative_error(fidelity.round_trip(layer.keys, "fp32"), layer.keys) == 0


def test_output_errors_against_attention_written_out_for_one_head(heard):
    layer, head, last = heard[2], 5, heard[2].keys.shape[2] - 1
    keys, values = fidelity.round_trip(layer.keys, "q4_0")[0, head // 2], layer.values[0, head // 2]
    query = layer.queries[0, head, last] * layer.scaling
    true = (layer.keys[0, head // 2] @ query).softmax(0) @ values
    stored = (keys @ query).softmax(0) @ values
    error = ((stored - true).norm() / true.norm()).item()
    assert fidelity.output_errors(layer, ("q4_0", "fp32"))[0, head, last].item() == pytest.approx(error, rel=1e-4)


def test_relative_error_by_hand():
    assert fidelity.relative_error(torch.tensor([3.0, 5.0]), torch.tensor([3.0, 4.0])) == pytest.approx(
        0.2**0.5 / 5**0.5
    )


def test_nvfp4_is_given_its_tensor_scale():
    rows = torch.full((1, 16), 1e-5)
    assert fidelity.relative_error(fidelity.round_trip(rows, "nvfp4"), rows) < 0.01


def test_the_prompt_ends_where_the_thought_begins(course):
    [sheet] = make_worksheets(1, 8, 3)
    ids, prompt_length = fidelity.gold_and_length(course, [sheet])
    assert course.tokenizer.decode(ids[0, prompt_length:]) == f"{sheet.thought} {sheet.answer}"


def test_wrong_tokens_are_those_that_one_plain_pass_gets_wrong(course):
    sheets = make_worksheets(6, 44, 3)  # longer than it was trained on, so that some tokens are wrong
    ids, prompt_length = fidelity.gold_and_length(course, sheets)
    with torch.inference_mode():
        said = course.model(ids).logits[:, prompt_length - 1 : -1].argmax(-1)
    expected = (said != ids[:, prompt_length:]).sum(1).tolist()
    assert fidelity.wrong_tokens(course, sheets, "fp32") == expected
    assert sum(expected) > 0


# --- The saved table -------------------------------------------------------------------------------------------------
def test_the_table_measured_the_reasoner_that_is_here():
    assert load_table().facts["weights_sha256"] == fidelity.weights_hash(), (
        "run python -m helpers.experiments.fidelity again"
    )


def test_the_table_is_complete():
    table = load_table()
    names = list(table.facts["rows"])
    assert names == list(fidelity.FORMATS)
    assert set(table.pairs) == {(k, v) for k in names for v in names}
    assert {len(pair.right) for pair in table.pairs.values()} == {table.facts["worksheets"]["count"]}
    for pair in table.pairs.values():
        assert pair.wrong_tokens >= len(pair.right) - sum(pair.right)
        assert 0 <= pair.median <= pair.tail
        assert pair.bits == (KV_LAYOUTS[pair.k].bits + KV_LAYOUTS[pair.v].bits) / 2
        assert pair.interval == share_interval(pair.right)


def test_the_table_agrees_with_a_fresh_measurement(course, heard):
    table = load_table()
    ids, prompt_length = fidelity.gold_and_length(course, make_worksheets(4, fidelity.N_LINES, fidelity.SEED))
    fresh = fidelity.listen(course.model, ids)
    for name in fidelity.FORMATS:
        assert fidelity.measure_rows(fresh, name) == pytest.approx(table.facts["rows"][name], rel=0.01)
    outputs = fidelity.measure_outputs(fresh, ("q8_0", "q4_0"), prompt_length)
    pair = table.find(("q8_0", "q4_0"))
    assert (outputs["median"], outputs["tail"]) == pytest.approx((pair.median, pair.tail), rel=0.01)
    assert table.facts["decoded_tokens"] == ids.shape[1] - prompt_length == 443


def test_a_pair_that_was_not_measured_is_named():
    with pytest.raises(ValueError, match="bf16.*measured are .*q8_0"):
        load_table().find("bf16")
    assert load_table().find("q8_0") is load_table().find(("q8_0", "q8_0"))
    assert (FOLDER / "fidelity.json").stat().st_size < 100_000


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_row_read_back_draws_both_rows():
    ax = axes(formats.row_read_back([1.0, -2.0], [1.5, -2.5], [-4.0, -2.5, 1.5, 3.0]))
    assert points(ax, "the row") == [(0, 1.0), (1, -2.0)]
    assert points(ax, "read back") == [(0, 1.5), (1, -2.5)]
    assert len(ax.collections[0].get_segments()) == 4


def test_row_turned_draws_both_rows_over_the_steps_of_each_group():
    figure = formats.row_turned([("as it is", [1.0, -2.0], [0.25]), ("turned", [0.5, 0.5], [0.1, 0.2])], "see")
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    left, right = figure.axes
    assert [bar.get_height() for bar in left.patches] == [1.0, -2.0]
    assert left.get_title(loc="left") == "as it is: largest 2.0"
    assert [len(lines.get_segments()) for lines in right.collections] == [16, 16]
    assert left.get_ylim() == right.get_ylim()


def test_answers_by_format_draws_shares_and_intervals():
    ax = axes(formats.answers_by_format(["a", "b"], [0.5, 1.0], [(0.3, 0.7), (0.9, 1.0)], "few"))
    assert [bar.get_height() for bar in ax.patches] == [0.5, 1.0]
    segments = [segment.tolist() for segment in ax.collections[0].get_segments()]
    assert segments == [[[0, 0.3], [0, 0.7]], [[1, 0.9], [1, 1.0]]]


def test_pairs_by_bits_sorts_the_pairs_by_who_has_more_bits():
    here = [formats.Point(8.5, 4.5, 0.9), formats.Point(4.5, 8.5, 0.7), formats.Point(16, 16, 1.0)]
    ax = axes(formats.pairs_by_bits(here, here[1], (0.6, 0.8), "right"))
    assert points(ax, "K has more bits") == [(6.5, 0.9)]
    assert points(ax, "V has more bits") == [(6.5, 0.7)]
    assert points(ax, "as many") == [(16, 1.0)]
    assert points(ax, "your choice") == [(6.5, 0.7)]
    assert ax.get_ylabel() == "right"


def test_context_by_format_draws_one_bar_each():
    ax = axes(formats.context_by_format(["fp16", "q8_0"], [100, 188], "more"))
    assert [bar.get_width() for bar in ax.patches] == [100, 188]


# --- Exercises -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        ("check_printed_line", 18.28, "Right"),
        ("check_printed_line", 23.91, "both in q8_0"),
        ("check_printed_line", 12.66, "both in q4_0"),
        ("check_printed_line", 45, "fp16"),
        ("check_printed_line", 16.88, "leave the scales out"),
        ("check_printed_line", 36.56, "together"),
        ("check_turned", 2, "Right"),
        ("check_turned", 0.25, "shorter"),
        ("check_turned", 16, "before it is turned"),
        ("check_turned", 1, "sum of the squares"),
        ("check_turned", 2.83, "as a whole"),
        ("check_outlier", 0.787, "Right"),
        ("check_outlier", 1, "largest number decides"),
        ("check_outlier", 1.27, "before rounding"),
        ("check_outlier", 100 / 128, "over 127"),
        ("check_outlier", ..., "Not yet"),
    ],
)
def test_a_check_names_the_mistake(check, answer, message, capsys):
    getattr(exercises, check)(answer)
    assert message in capsys.readouterr().out


def test_exercise_2_by_the_matrix_itself():
    row = torch.zeros(64)
    row[5] = 16.0
    assert (row @ hadamard(64)).abs().tolist() == [2.0] * 64


def test_exercise_3_by_the_format_itself():
    row = torch.ones(32)
    row[7] = 100.0
    assert fidelity.round_trip(row, "q8_0")[0].item() == pytest.approx(100 / 127, rel=1e-3)
    assert fidelity.round_trip(row, "q4_0")[0].item() == 0


# --- Prose -----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def prose():
    return lesson_text("05")


def test_what_smollm2_s_loss_is_said_to_add(prose):
    record = load_kv_format_loss()
    exact = sum(record.exact_loss) / len(record.exact_loss)
    assert f"it is {exact:.2f} nats a token" in prose
    assert f"among {math.exp(exact):.0f} equally likely tokens" in prose
    keys, values, turned = (
        record.costs[side, "q4_0", way].interval("lost") for side, way in (("k", False), ("v", False), ("k", True))
    )
    assert f"Keys in q4_0 add {keys[0]:.3f} nats" in prose and f"its keys cost {keys[0]:.3f} nats" in prose
    assert f"{values[0]:.3f}, give or take {values[1]:.3f}" in prose and 0.08 < values[0] / keys[0] < 0.12
    assert f"or {turned[0]:.3f} when turned" in prose
    assert "among nearly 40 tokens" in prose and 39 < math.exp(exact + keys[0]) < 40
    gain, half = record.gain("k", "q4_0", "lost")
    assert f"{gain:.3f} nats less, give or take {half:.3f}" in prose and 0.45 < gain / keys[0] < 0.55
    for side in ("k", "v"):
        low, wide = record.costs[side, "q8_0", False].interval("lost")
        assert abs(low) + wide < 0.001
        gain, half = record.gain(side, "nvfp4", "lost")
        assert abs(gain) < half
    gain, half = record.gain("v", "q4_0", "lost")
    assert abs(gain) < half


def test_what_the_answers_are_said_to_settle(prose):
    table, turned = load_table(), load_turned_answers().pairs["q4_0", "q4_0"].right

    def less(one, other):
        return paired_difference(*(table.find(pair).right if pair != "turned" else turned for pair in (one, other)))

    ahead, half = less(("q8_0", "q4_0"), ("q4_0", "q8_0"))
    assert f"ahead by {100 * ahead:.1f} points" in prose and ahead > half
    for pair in ((("q4_0", "q4_0"), ("q4_0", "fp16")), ("turned", ("q4_0", "q4_0"))):
        difference, half = less(*pair)
        assert abs(difference) < half  # not settled
    lost = less("fp16", "q4_0")[0]
    assert 1 / 7 < lost < 1 / 6 and "one sheet in six" in prose
    assert less("fp16", "q8_0") == (0, 0)
    assert f"still had {sum(table.find(('q8_0', 'q4_0')).right)} of 128 sheets right" in prose
    q4_0 = table.find("q4_0")
    assert "One wrong token in 2,500" in prose
    assert round(len(q4_0.right) * table.facts["decoded_tokens"] / q4_0.wrong_tokens, -2) == 2500
    run = {k: sum(pair.right) for (k, v), pair in load_llama_cpp_formats().pairs.items() if k == v}
    assert run["fp16"] >= run["q8_0"] >= run["q5_0"] > run["q4_0"]


def test_the_reasoner_s_keys_hardly_tower(prose, course):
    ids, _ = fidelity.gold_and_length(course, make_worksheets(4, fidelity.N_LINES, fidelity.SEED))
    sizes = torch.cat([layer.keys.abs().mean(dim=(0, 2)) for layer in fidelity.listen(course.model, ids)])
    tower = (sizes.amax(dim=1) / sizes.median(dim=1).values).median().item()
    assert f"largest channel is {tower:.1f} times the middle one" in prose


def test_turboquant_s_slots_of_qwen3_4b(prose):
    exact = 2 * 128 * 2  # bytes of a key and a value of 128 numbers
    times = ", ".join(f"{exact / slot:.1f}" for slot in (196, 136, 120, 104))  # the pull request's column
    assert f"{times} times fewer bytes a slot" in prose


def test_what_nvfp4_saves_with_its_scales(prose):
    assert f"with its scales {1 - KV_LAYOUTS['nvfp4'].bits / KV_LAYOUTS['fp8_e4m3'].bits:.0%}" in prose


def test_the_scales_cost_of_q8_0(prose):
    shape = KVShape.from_config(MODELS["Llama-3.1-70B"].config)
    lost = max_tokens(33.25 * GiB, shape, kv_format="fp8_e4m3") - max_tokens(33.25 * GiB, shape, kv_format="q8_0")
    assert f"{lost:,} tokens" in prose


def test_answers_about_the_row(prose):
    zeros = [store(name, "second", 19, 16)["line"] for name in ("q4_0", "nvfp4")]
    assert ["20 of them became 0" in zeros[0], "4 of them became 0" in zeros[1]] == [True, True]
    assert "20 in q4_0, 4 in nvfp4" in prose
    for times, errors in ((1, ("0.46", "3.1")), (16, ("3.4", "3.2"))):
        for name, error in zip(("q8_0", "fp8_e4m3"), errors, strict=True):
            assert f" {error}% off" in store(name, "second", 19, times)["line"] and f"{error}%" in prose
    assert "13 of them became 0" in store("q4_0", "first", 19, 1)["line"] and "13 of the 32" in prose


def test_the_claims_are_recorded_and_judged():
    values = recorded(NOTEBOOKS)
    assert [judge(claim, values)[0] for claim in ("B6", "B7", "B14")] == ["holds in part"] * 3
    text = judge("B7", values)[1]
    assert [int(n.replace(",", "")) for n in re.findall(r"[\d,]{7}", text)] == [108_953, 217_907, 205_089]
    assert "1.88 and 3.56 times less" in judge("B6", values)[1]
    assert "RDNA4 yes, RDNA3, RDNA3.5 no" in judge("B14", values)[1]


# --- Answers with rows turned first ----------------------------------------------------------------------------------
def test_the_turned_answers_are_of_this_reasoner_and_the_table_s_worksheets(course):
    record, table = load_turned_answers(), load_table()
    assert record.facts["weights_sha256"] == fidelity.weights_hash()
    assert record.facts["worksheets"] == table.facts["worksheets"]
    assert tuple(record.pairs) == turned_answers.PAIRS
    assert {len(pair.right) for pair in record.pairs.values()} == {table.facts["worksheets"]["count"]}


def test_without_turning_they_are_the_table_s_and_with_it_the_record_s(course):
    sheets = make_worksheets(16, fidelity.N_LINES, fidelity.SEED)
    for turned, pair in ((False, load_table().find("q4_0")), (True, load_turned_answers().pairs["q4_0", "q4_0"])):
        wrong = turned_answers.wrong_tokens(course, sheets, ("q4_0", "q4_0"), turned)
        assert tuple(not count for count in wrong) == pair.right[: len(sheets)]

"""Lesson 03: its figures, its control, its checks, the numbers in its prose."""

import pytest

from helpers.arithmetic import (
    GB,
    MODELS,
    GiB,
    KVShape,
    MiB,
    Plan,
    find_card,
    find_model,
    format_band,
    format_bytes,
    max_tokens,
    weights_bytes,
)
from helpers.arithmetic.plan import FITS, OVERHEAD, PERHAPS, TOO_LARGE
from helpers.engines.llama_cpp_log import predict_room
from helpers.models.smollm2 import gguf_path
from helpers.plots import budget as budget_plots
from helpers.teaching.lessons import lesson_03
from helpers.widgets import mistakes
from helpers.widgets.mistakes import MISTAKES, NONE, RIGHT, fit, mistake_frame, totals
from tests.house.notebooks import lesson_text
from tests.lessons.drawings import drawn

SMOLLM2 = KVShape(n_layers=30, n_kv_heads=3, head_dim=64)
TEXT = lesson_text("03")


def labels(ax):
    return ax.get_legend_handles_labels()[1]


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_three_terms_are_stacked_one_bar_per_stage():
    stages = {"a": {"overhead": 5.0}, "b": {"overhead": 3.0, "weights": 2.0, "KV cache": 4.0}, "c": {}}
    [ax] = drawn(budget_plots.three_terms(stages))
    spans = [(bar.get_y() + 0.3, bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert spans == [(0, 0, 5), (1, 0, 3), (1, 3, 5), (1, 5, 9)]
    assert labels(ax) == ["overhead", "weights", "KV cache"]
    assert [text.get_text().strip() for text in ax.texts] == ["5 B", "9 B", "3 B", "2 B", "4 B"]


def test_a_sum_stands_beyond_the_limit_that_it_would_hide_and_a_band_is_one():
    figure = budget_plots.three_terms({"a": {"weights": 9.0, "more overhead": 2.0}}, title="All", limit=12.0)
    [ax] = drawn(figure)
    assert ax.texts[0].get_text().strip() == format_band(9, 11)
    assert ax.texts[0].get_position()[0] == 12
    assert [text.get_text() for text in figure.texts] == ["All"]


def test_answers_over_values_draws_each_count_with_its_interval():
    [ax] = drawn(budget_plots.answers_over_values([7, 5], [20, 0], count=20, whole=19))
    dots = next(line for line in ax.lines if line.get_label() == "weights rounded")
    assert list(map(tuple, dots.get_xydata())) == [(0, 20), (1, 0)]
    assert [text.get_text() for text in ax.texts] == ["20", "0"]
    assert set(ax.lines[0].get_ydata()) == {19}
    low, high = ax.lines[1].get_ydata()
    assert 16 < low < 17 and high == pytest.approx(20)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["7\n(3 bits)", "5\n"]


# --- The control -----------------------------------------------------------------------------------------------------
def test_the_right_plan_is_the_plan_of_the_course():
    plan = Plan(mistakes.MODEL, mistakes.WEIGHT_FORMAT, mistakes.CARD, context=mistakes.TOKENS, sequences=4)
    assert totals(NONE) == pytest.approx([one.total for one in plan.budgets])
    assert fit(NONE) == plan.fit == FITS


def test_each_mistake_leaves_a_number_of_its_own():
    bands = [format_band(*totals(mistake)) for mistake in MISTAKES]
    assert len(set(bands)) == len(MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_frame_says_and_draws_what_the_mistake_makes(mistake):
    figure, caption = mistake_frame(mistake)
    [ax] = drawn(figure)
    assert caption.startswith("Figure: ") and caption.endswith(f"{fit(mistake)}.")
    assert format_band(*totals(mistake)) in caption
    widths = [bar.get_width() for bar in ax.patches]
    assert sum(widths) == pytest.approx(totals(NONE)[1] + (totals(mistake)[1] if mistake != NONE else 0))


@pytest.mark.parametrize(
    ("colleague", "mistake", "said", "verdict"),
    [
        ("Ann", "query heads for KV heads", "69.0 to 70.0 GiB", TOO_LARGE),
        ("Ben", "one cache per request", "9.0 to 10.0 GiB", FITS),
        ("Cora", "GB taken for GiB", "22.6 to 23.6 GiB", TOO_LARGE),
    ],
)
def test_the_three_colleagues(colleague, mistake, said, verdict):
    assert format_band(*totals(mistake)) == said and fit(mistake) == verdict
    assert f"{colleague}: it needs {said}" in TEXT


def test_what_the_answers_say():
    assert format_band(*totals(NONE)) == "21.0 to 22.0 GiB" and "It needs 21.0 to 22.0 GiB, and it fits" in TEXT
    assert format_bytes(find_card("L4").driver_memory) == "22.5 GiB" and "its driver shows 22.5 GiB" in TEXT
    config = find_model(mistakes.MODEL).config
    assert (config["num_attention_heads"], config["num_key_value_heads"]) == (32, 8)
    assert round(100 * (GiB / GB - 1)) == 7 and "7% more bytes" in TEXT
    assert totals("one cache per request")[1] < find_card("L4").driver_memory / 2  # room for as much again
    assert RIGHT.sequences == 4


# --- Exercises -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "said"),
    [
        (lesson_03.check_two_at_once, ..., "Not yet: replace the three dots"),
        (lesson_03.check_two_at_once, 22.75, "Right"),
        (lesson_03.check_two_at_once, 20.75, "for one person"),
        (lesson_03.check_two_at_once, 22, "overhead is missing"),
        (lesson_03.check_two_at_once, 40.75, "loaded once"),
        (lesson_03.check_two_at_once, 41.5, "there once, for both"),
        (lesson_03.check_two_at_once, 22.75 * GiB, "in bytes"),
        (lesson_03.check_for_certain, 39_628, "Right"),
        (lesson_03.check_for_certain, 46_181, "least overhead"),
        (lesson_03.check_for_certain, 42_905, "middle of the band"),
        (lesson_03.check_for_certain, 49_458, "overhead is missing"),
        (lesson_03.check_for_certain, 35_577, "not GiB"),
        (lesson_03.check_for_certain, 34_792, "MiB of 1,024"),
        (lesson_03.check_for_certain, 94_559, "need room too"),
    ],
)
def test_each_mistake_has_its_own_message(capsys, check, answer, said):
    check(answer)
    assert said in capsys.readouterr().out


# --- Numbers in the prose --------------------------------------------------------------------------------------------
def test_the_engine_s_numbers():
    assert format_bytes(gguf_path().stat().st_size) == "93.8 MiB" and "a file of 94 MiB" in TEXT
    assert SMOLLM2.bytes(8_192) == 180 * MiB and "180.00 MiB" in TEXT
    assert predict_room(SMOLLM2, 8_192, sequences=4).cells == 2_048 and "each gets 2,048" in TEXT
    assert predict_room(SMOLLM2, 4 * 8_192, sequences=4).cells == 8_192


def test_a_log_can_exceed_the_band_of_a_plan():
    assert (0.5 * GiB, 1.5 * GiB) == OVERHEAD and "take a **band**, 0.5 to 1.5 GiB" in TEXT
    assert 3_976 * MiB > OVERHEAD[1] and "a compute buffer of 3,976 MiB" in TEXT


def test_what_the_second_model_says():
    weights = {name: weights_bytes(MODELS[name].n_params, "q4_k_m") for name in MODELS}
    token = {name: KVShape.from_config(MODELS[name].config).bytes_per_token() for name in weights}
    large, small = "Llama-3.1-70B", "Llama-3.1-8B"
    assert round(weights[large] / weights[small], 1) == 8.8 and "8.8 times the weights" in TEXT
    assert token[large] / token[small] == 2.5 == 80 / 32
    assert max_tokens(weights[small], KVShape.from_config(MODELS[small].config)) == 36_912
    assert gguf_path().stat().st_size // SMOLLM2.bytes_per_token() == 4_269 and "4,269 tokens" in TEXT
    assert weights["Llama-2-7B"] // token["Llama-2-7B"] == 7_743
    assert MODELS["Llama-2-7B"].config["max_position_embeddings"] == 4_096
    assert MODELS["Llama-2-7B"].config["num_key_value_heads"] == 32
    gpt_oss = MODELS["gpt-oss-20b"].config
    assert gpt_oss["sliding_window"] == 128 and gpt_oss["layer_types"].count("sliding_attention") * 2 == 24
    assert MODELS["Phi-4"].config["max_position_embeddings"] == 16_384 and "trained for 16,384 tokens" in TEXT


def test_what_fits_a_card_of_24_gb():
    weights, room = weights_bytes(MODELS["Qwen3-32B"].n_params, "q4_k_m"), Plan("Qwen3-32B", "q4_k_m", "RTX 4090").room
    assert f"{weights / GB:.1f}" == "19.7" and "a file of 19.7 GB" in TEXT
    positions = MODELS["Qwen3-32B"].config["max_position_embeddings"]
    assert positions == 40_960 and room == (16_813, 20_909)
    assert "16,813 of those tokens" in TEXT and "20,909 if it is 0.5" in TEXT
    assert find_card("RTX 4090").shown_mib == 24_564 and "its driver shows 24,564 MiB" in TEXT
    assert [Plan("Qwen3-32B", "q4_k_m", "RTX 4090", context=n).fit for n in (16_384, 20_000, 40_960)] == [
        FITS,
        PERHAPS,
        TOO_LARGE,
    ]


def test_what_macos_leaves_a_gpu():
    card = find_card("M4 Max 128GB")
    assert "macOS 26" in card.told and format_bytes(card.default_memory) == "107.5 GiB"
    assert "macOS 26 gives it 107.5 of 128 GiB" in TEXT

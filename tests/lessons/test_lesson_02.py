"""Lesson 02: what its figures draw, its checks answer, and its prose claims."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from helpers.arithmetic import MODELS, GiB, KVShape
from helpers.arithmetic.catalog import IN_LESSONS
from helpers.arithmetic.redesign import all_full, unshared
from helpers.measuring import layer_bytes, state_bytes
from helpers.models import filled_cache, miniature
from helpers.models.miniatures import WINDOW
from helpers.plots import canvas, heads
from helpers.teaching.lessons import lesson_02
from helpers.widgets.living.shared_heads import LATENT, count, designs, kv_shape
from tests.house.notebooks import lesson_text


def drawn(figure):
    """The axes, after a real drawing."""
    assert isinstance(figure, Figure)
    figure.savefig(io.BytesIO(), format="png", dpi=50)
    return figure.axes


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_sharing_draws_every_head_and_a_line_from_each_query_head():
    [ax] = drawn(heads.sharing(8, {"MHA": (8, 8192), "GQA": (4, 4096), "MQA": (1, 1024)}))
    circles = [len(c.get_offsets()) for c in ax.collections if to_hex(c.get_facecolor()[0]) == canvas.ORANGE.lower()]
    squares = [len(c.get_offsets()) for c in ax.collections if to_hex(c.get_facecolor()[0]) == canvas.SKY.lower()]
    assert (circles, squares) == ([8, 8, 8], [8, 4, 1])
    assert len(ax.lines) == 3 * 8
    assert any("4,096 bytes" in text.get_text() for text in ax.texts)


def test_answers_by_sharing_draws_every_training_and_their_means():
    [ax] = drawn(heads.answers_by_sharing({8: (4096, [0.9, 1.0, 0.2]), 1: (512, [0.5, 0.4, 0.6])}))
    means, *trainings = ax.lines
    assert means.get_ydata() == pytest.approx([0.7, 0.5])
    assert [line.get_ydata().tolist() for line in trainings] == [[0.9, 1.0, 0.2], [0.5, 0.4, 0.6]]
    assert [text.get_text() for text in ax.texts] == ["8 KV heads", "1 KV head"]


def test_a_line_ends_at_the_kv_head_of_its_group():
    [ax] = drawn(heads.sharing(4, {"GQA": (2, 1)}))
    assert [line.get_xdata()[1] for line in ax.lines] == [0.5, 0.5, 2.5, 2.5]


def test_attention_of_two_heads_goes_up_and_down():
    [ax] = drawn(heads.attention_of_group([[0.25, 0.75], [1.0, 0.0]], ["a", "b"]))
    up, down = ax.containers
    assert [bar.get_height() for bar in up] == [0.25, 0.75]
    assert [bar.get_height() for bar in down] == [-1, 0]
    ticks = [label.get_text() for label in ax.get_yticklabels()]
    assert not any("-" in text or "−" in text for text in ticks)  # a weight is never negative


def test_mistakes_stand_at_their_factor_in_their_model_s_row():
    [ax] = drawn(heads.mistakes(["one", "two"], {"x": [8, 4], "y": [0.5, 1], "z": [4, 4]}))
    marks = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert [list(line.get_xdata()) for line in marks] == [[8, 4], [0.5, 1], [4, 4]]
    assert all(np.allclose(np.round(line.get_ydata()), [0, 1]) for line in marks)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first model stands on top


def test_layers_kept_has_one_small_picture_per_model_on_one_scale():
    axes = drawn(heads.layers_kept({"a": ([1, 2], [1, 2]), "b": ([5], [6]), "c": ([0], [0])}))
    shown = [ax for ax in axes if ax.containers]
    assert [ax.get_title(loc="left") for ax in shown] == ["a", "b", "c"]
    assert [[bar.get_height() for bar in bars] for ax in shown for bars in ax.containers] == [
        [1, 2],
        [1, 2],
        [5],
        [6],
        [0],
        [0],
    ]
    assert len({ax.get_ylim() for ax in shown}) == 1


# --- Models without sharing -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", sorted(set(IN_LESSONS) - {"DeepSeek-V3"}))
def test_the_unshared_model_is_the_one_with_as_many_kv_heads_as_query_heads(name):
    config = MODELS[name].config
    fields = config.get("text_config", config)
    factor = fields["num_attention_heads"] // fields["num_key_value_heads"]
    assert unshared(config).bytes(5_000) == factor * all_full(config).bytes(5_000)


@pytest.mark.parametrize("name", IN_LESSONS)
def test_a_model_whose_layers_keep_all_tokens_is_full_already(name):
    published = KVShape.from_config(MODELS[name].config)
    same = {layer.kind for layer in published.layers} == {"full"}
    assert (all_full(MODELS[name].config).layers == published.layers) is same


def test_deepseek_without_its_latent_row_keeps_128_keys_of_192_and_values_of_128_numbers():
    assert unshared(MODELS["DeepSeek-V3"].config).bytes(1) == 61 * 128 * (192 + 128) * 2


# --- Miniatures ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["Llama-3.1-70B", "Gemma-3-27B", "gpt-oss-20b", "DeepSeek-V3", "Qwen3-Next-80B"])
def test_a_miniature_has_the_first_layers_of_its_model_and_keeps_what_the_formula_says(name):
    model = miniature(name)
    shape, published = KVShape.from_config(model.config), KVShape.from_config(MODELS[name].config)
    assert [layer.kind for layer in shape.layers] == [layer.kind for layer in published.layers[:12]]
    cache = filled_cache(model, 3 * WINDOW)
    assert layer_bytes(cache) == [layer.rows(3 * WINDOW) * layer.token_bytes("fp32") for layer in shape.layers]
    assert state_bytes(cache) == shape.fixed_bytes


# --- Exercises -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("check", "answer", "said"),
    [
        (lesson_02.check_one_for_all, ..., "Not yet: replace the three dots"),
        (lesson_02.check_one_for_all, 32_768, "Right"),
        (lesson_02.check_one_for_all, 262_144, "8 KV heads that it has"),
        (lesson_02.check_one_for_all, 2_097_152, "64 KV heads"),
        (lesson_02.check_one_for_all, 16_384, "keys and values are both kept"),
        (lesson_02.check_one_for_all, 20_480, "head_dim 128"),
        (lesson_02.check_short_stay, 2_048 * 12 * 10_127, "Right"),
        (lesson_02.check_short_stay, 2_048 * 24 * 10_000, "do not keep all"),
        (lesson_02.check_short_stay, 2_048 * 12 * 10_000, "keep rows too"),
        (lesson_02.check_short_stay, 1_024 * 12 * 10_127, "both kept"),
        (lesson_02.check_short_stay, 8 * 2_048 * 12 * 10_127, "query heads"),
        (lesson_02.check_guide, 1_310_720, "Right"),
        (lesson_02.check_guide, 327_680, "true value"),
        (lesson_02.check_guide, 2_621_440, "320 GiB"),
        (lesson_02.check_guide, 1_280, "KiB"),
        (lesson_02.check_guide, 4, "the factor"),
        (lesson_02.check_guide, 1, "too low"),
    ],
)
def test_each_mistake_has_its_own_message(capsys, check, answer, said):
    check(answer)
    assert said in capsys.readouterr().out


# --- Numbers in the prose --------------------------------------------------------------------------------------------
def test_question_1():
    [equal] = [n for n in designs("Llama-2-7B") if count("Llama-2-7B", n)["bytes"] == 4_096]
    assert count("Llama-3.1-8B", equal)["bytes"] == 4_096 and count("Llama-3.1-8B", equal)["published"] == equal
    assert designs("Llama-2-7B")[0] // equal == 4 and "4,096 bytes in each layer" in lesson_text("02")
    assert kv_shape("Llama-2-7B", equal) == kv_shape("Llama-3.1-8B", equal) == KVShape(32, 8, 128)


def test_question_2():
    assert [count("Llama-2-7B", n)["bytes"] for n in (LATENT, 1)] == [1_152, 512]
    assert "1,152 bytes against 512" in lesson_text("02")


def test_from_8_strips_to_1_less_is_saved_than_one_more_quarter():
    many, some, one = (count("Llama-2-7B", n)["bytes"] for n in (32, 8, 1))
    assert many - some == 3 / 4 * many and 0 < some - one < many / 4


def test_a_gib_is_7_4_percent_more_than_a_gb():
    assert f"{GiB / 1e9 - 1:.1%}" == "7.4%"
    assert "7.4%" in lesson_text("02")


def test_deepseek_keeps_less_than_llama_3_1_8b_and_its_file_names_128_kv_heads():
    sizes = {name: KVShape.from_config(MODELS[name].config).bytes(131_072) for name in ("DeepSeek-V3", "Llama-3.1-8B")}
    assert sizes["DeepSeek-V3"] < sizes["Llama-3.1-8B"]
    config = MODELS["DeepSeek-V3"].config
    assert (config["num_key_value_heads"], config["kv_lora_rank"], config["qk_rope_head_dim"]) == (128, 512, 64)
    assert int(unshared(config).bytes(1) / KVShape.from_config(config).bytes(1)) == 71


def test_gemma_has_windows_in_52_of_62_layers():
    shape = KVShape.from_config(MODELS["Gemma-3-27B"].config)
    assert (shape.count("sliding"), shape.n_layers) == (52, 62)
    assert (unshared(MODELS["Gemma-3-27B"].config).bytes(131_072) / GiB) == 124


def test_the_guide_s_figure_is_four_times_the_true_one():
    true = KVShape(80, 8, 128)
    assert 80 * 64 * 128 * 2 * 131_072 == 160 * GiB == 4 * true.bytes(131_072)

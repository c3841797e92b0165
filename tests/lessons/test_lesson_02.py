"""Lesson 02: what its figures draw, its checks answer, and its prose claims."""

import pytest
from matplotlib.colors import to_hex

from helpers.arithmetic import MODELS, GiB, KVShape
from helpers.arithmetic.catalog import IN_LESSONS
from helpers.arithmetic.engine_room import llama_cpp_cells
from helpers.arithmetic.redesign import all_full, unshared
from helpers.measuring import layer_bytes, state_bytes
from helpers.models import filled_cache, miniature
from helpers.models.miniatures import WINDOW
from helpers.plots import canvas, heads
from helpers.records import load_head_variants
from helpers.teaching.lessons import lesson_02
from helpers.widgets.living.shared_heads import LATENT, count, designs, kv_shape
from tests.house.notebooks import lesson_text
from tests.lessons.drawings import drawn


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_sharing_draws_every_head_and_a_line_from_each_query_head():
    [ax] = drawn(heads.sharing(8, {"MHA": (8, 8192), "GQA": (4, 4096), "MQA": (1, 1024)}))
    circles = [len(c.get_offsets()) for c in ax.collections if to_hex(c.get_facecolor()[0]) == canvas.ORANGE.lower()]
    squares = [len(c.get_offsets()) for c in ax.collections if to_hex(c.get_facecolor()[0]) == canvas.SKY.lower()]
    assert (circles, squares) == ([8, 8, 8], [8, 4, 1])
    assert len(ax.lines) == 3 * 8
    assert any("4,096 bytes" in text.get_text() for text in ax.texts)


def test_answers_by_sharing_draws_every_model_with_its_interval():
    models = {"8 KV heads": [(0.9, (0.8, 0.95)), (1.0, (0.9, 1.0))], "1 KV head": [(0.4, (0.3, 0.5))]}
    [ax] = drawn(heads.answers_by_sharing(models, "a title"))
    dots = [bar.lines[0] for bar in ax.containers]
    assert [dot.get_ydata().item() for dot in dots] == [0.9, 1.0, 0.4]
    assert [round(dot.get_xdata().item()) for dot in dots] == [0, 0, 1]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["8 KV heads", "1 KV head"]


def test_a_line_ends_at_the_kv_head_of_its_group():
    [ax] = drawn(heads.sharing(4, {"GQA": (2, 1)}))
    assert [line.get_xdata()[1] for line in ax.lines] == [0.5, 0.5, 2.5, 2.5]


def test_a_text_is_written_once_for_each_head_and_darker_where_it_looks():
    [ax] = drawn(heads.looking_back(["The", " dog", "."], {"one": [0.25, 0.7, 0.05], "two": [0.9, 0.02, 0.08]}, "t"))
    boxes = [patch.get_alpha() for patch in ax.patches if patch.get_fill()]
    assert boxes == pytest.approx([0.375, 0.75, 0.075, 0.75, 0.03, 0.12])
    assert sum(not patch.get_fill() for patch in ax.patches) == 2  # the word that looks, in each line
    said = [text.get_text() for text in ax.texts]
    assert [word for word in said if word.endswith("%")] == ["25%", "70%", "5%", "90%", "8%"]
    assert said.count("dog") == 2


def test_a_long_text_goes_on_in_the_next_line():
    words = ["word", *[" word"] * 40]
    [ax] = drawn(heads.looking_back(words, {"one": [1 / 41] * 41}, "t"))
    lefts = {round(patch.get_x() + 0.2) for patch in ax.patches if patch.get_fill()}
    assert max(lefts) + 4 <= heads.LETTERS and len({round(patch.get_y(), 3) for patch in ax.patches}) == 3


def test_layers_kept_has_one_small_picture_per_model_on_one_scale():
    kept = {"a": [("full", 2, 2), ("sliding", 1, 1)], "b": [("latent", 5, 6)], "c": [("none", 0, 0)]}
    axes = drawn(heads.layers_kept(kept, "a title"))
    shown = [ax for ax in axes if ax.get_title(loc="left")]
    assert [ax.get_title(loc="left") for ax in shown] == ["a", "b", "c"]
    assert [[bar.get_height() for bar in bars] for ax in shown for bars in ax.containers] == [[2], [1], [5]]
    dashes = [line.get_ydata()[0] for ax in shown for line in ax.lines if line.get_color() == "black"]
    assert dashes == [2, 1, 6]
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
        (lesson_02.check_whose_notes, ..., "Not yet: replace the three dots"),
        (lesson_02.check_whose_notes, 5, "Right"),
        (lesson_02.check_whose_notes, 6, "sixth group"),
        (lesson_02.check_whose_notes, 2, "neighbours share"),
        (lesson_02.check_whose_notes, 8, "in a group"),
        (lesson_02.check_whose_notes, 42, "query heads"),
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
    assert [count("SmolLM2-135M", n)["bytes"] for n in (LATENT, 3)] == [1_152, 768]
    assert count("SmolLM2-135M", 3)["published"] == 3
    assert "1,152 bytes against 768" in lesson_text("02")


def test_from_8_strips_to_1_less_is_saved_than_one_more_quarter():
    many, some, one = (count("Llama-2-7B", n)["bytes"] for n in (32, 8, 1))
    assert many - some == 3 / 4 * many and 0 < some - one < many / 4


def test_a_gib_is_7_4_percent_more_than_a_gb():
    assert f"{GiB / 1e9 - 1:.1%}" == "7.4%"
    assert "7.4%" in lesson_text("02")


def test_deepseek_s_file_names_128_kv_heads_and_a_calculator_is_25_to_71_times_too_high():
    config = MODELS["DeepSeek-V3"].config
    assert (config["num_key_value_heads"], config["kv_lora_rank"], config["qk_rope_head_dim"]) == (128, 512, 64)
    true = KVShape.from_config(config).bytes(1)
    assert config["hidden_size"] // config["num_attention_heads"] == 56
    factors = [n_bytes / true for n_bytes in (KVShape(61, 128, 56).bytes(1), unshared(config).bytes(1))]
    assert [round(factor) for factor in factors] == [25, 71] and "25 to 71 times" in lesson_text("02")


def test_the_tables_of_qwen3_next_take_74_mib():
    shape = KVShape.from_config(MODELS["Qwen3-Next-80B"].config)
    assert f"{shape.fixed_bytes / 2**20:.1f} MiB" == "74.2 MiB" and "74.2 MiB" in lesson_text("02")


def test_a_window_of_64_keeps_63_rows():
    layers = KVShape.from_config(miniature("Gemma-3-27B").config).layers
    assert {layer.rows(200) for layer in layers if layer.kind == "sliding"} == {WINDOW - 1}
    assert "stop at 63 rows" in lesson_text("02")


def test_gemma_has_windows_in_52_of_62_layers():
    shape = KVShape.from_config(MODELS["Gemma-3-27B"].config)
    assert (shape.count("sliding"), shape.n_layers) == (52, 62)
    assert {layer.window for layer in shape.layers if layer.kind == "sliding"} == {1_024}
    assert all_full(MODELS["Gemma-3-27B"].config).bytes(131_072) == 62 * GiB
    full = shape.count("full") * shape.layers[5].token_bytes("fp16") * 131_072
    assert full / shape.bytes(131_072) > 0.95  # "nearly all of it"


def test_what_is_said_of_who_shares():
    llama_2, llama_70b = (KVShape.from_config(MODELS[name].config) for name in ("Llama-2-7B", "Llama-3.1-70B"))
    assert llama_2.bytes(1) > llama_70b.bytes(1)


def test_the_article_s_43_gb_are_those_of_131_072_tokens():
    llama_70b = KVShape.from_config(MODELS["Llama-3.1-70B"].config)
    assert [round(llama_70b.bytes(tokens) / 1e9) for tokens in (128_000, 131_072)] == [42, 43]
    assert "that is what 131,072 need" in lesson_text("02")


def test_the_script_that_made_both_mistakes_counted_twice_the_hidden_size():
    for name in ("Llama-2-7B", "Qwen3-0.6B", "Qwen3-8B", "Qwen3-32B"):
        fields = MODELS[name].config
        asking, hidden = fields["num_attention_heads"], fields["hidden_size"]
        assert 2 * asking * (hidden // asking) == 2 * hidden
    assert "it counted twice the hidden size for each layer" in lesson_text("02")


def test_the_worst_of_the_eight_has_two_kv_heads():
    grown = load_head_variants()
    worst = min(grown.variants, key=lambda each: each.share_right)
    assert worst.n_kv_heads == 2 and max(each.share_right for each in grown.of(2)) == 1


def test_the_guide_s_figure_is_four_times_the_true_one():
    true = KVShape(80, 8, 128)
    assert 80 * 64 * 128 * 2 * 131_072 == 160 * GiB == 4 * true.bytes(131_072)


def test_what_it_means_at_home():
    qwen, gemma = MODELS["Qwen3-8B"].config, MODELS["Gemma-3-27B"].config
    wrong = KVShape(36, 32, 128).bytes(32_768)  # its 32 query heads counted as KV heads
    assert (KVShape.from_config(qwen).bytes(32_768), wrong) == (4.5 * GiB, 18 * GiB)
    assert "4.5 GiB of a 24 GB card" in lesson_text("02")
    assert round(KVShape.from_config(gemma).bytes(32_768) / GiB, 1) == 2.9 and "2.9 GiB" in lesson_text("02")
    assert all_full(gemma).bytes(32_768) == 15.5 * GiB > 24e9 / 2
    aside = [
        sum(cells.size for cells in llama_cpp_cells(KVShape.from_config(gemma), 32_768, sequences=slots, unified=True))
        for slots in (1, 4)
    ]
    assert [round(size / GiB, 1) for size in aside] == [3.1, 4.3]
    assert "llama.cpp sets aside 3.1" in lesson_text("02") and "gives each a window: 4.3" in lesson_text("02")
    assert round(62 * GiB / KVShape.from_config(gemma).bytes(131_072)) == 6  # "a sixth of the memory"

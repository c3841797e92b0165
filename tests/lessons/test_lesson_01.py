"""Lesson 01: what its prose says without a cell beside it, its figures, and its exercises' checks."""

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from helpers.arithmetic import MODELS, GiB, KVShape, MiB, find_card, max_tokens
from helpers.arithmetic.engine_room import PADDING
from helpers.models import load_smollm2, smollm2
from helpers.plots import memory
from helpers.records.garage import load_garage
from helpers.teaching.lessons import lesson_01
from helpers.widgets.living import Garage
from helpers.widgets.living.garage import CARS
from tests.house.notebooks import lesson_text
from tests.lessons.drawings import drawn

SENTENCE = "The keeper climbed the stairs of the lighthouse and lit the lamp."
QWEN = KVShape.from_config(MODELS["Qwen3-32B"].config)


# --- What the prose says ---------------------------------------------------------------------------------------------
def test_what_is_said_of_smollm2_s_shape():
    told = load_garage()
    assert (told.n_layers, told.n_kv_heads, told.head_dim) == (30, 3, 64)
    shape = KVShape(30, 3, 64)
    assert shape.bytes(1) == 90 * 256 == 23_040 and "90 cars of 256 bytes, which is 23,040" in lesson_text("01")
    assert f"{shape.bytes(1_000) / MiB:.2f} MiB" == "21.97 MiB" and PADDING == 256


@pytest.mark.skipif(not smollm2.is_converted(), reason="SmolLM2 is not installed")
def test_one_number_is_large_in_nearly_every_key():
    loaded = load_smollm2()
    ids = loaded.tokenizer(SENTENCE, return_tensors="pt").input_ids
    cache = DynamicCache(config=loaded.model.config)
    loaded.model(ids, past_key_values=cache, use_cache=True)
    assert SENTENCE in lesson_text("01") and ids.shape[1] == 13
    largest = cache.layers[15].keys[0, 0].abs().argmax(-1).tolist()
    assert max(map(largest.count, largest)) >= 11


@pytest.mark.skipif(not smollm2.is_converted(), reason="SmolLM2 is not installed")
def test_a_title_changes_values_and_its_four_places_alone_do_not():
    loaded = load_smollm2()

    def values(text, shift=0):
        ids = loaded.tokenizer(text, return_tensors="pt").input_ids
        cache = DynamicCache(config=loaded.model.config)
        loaded.model(ids, past_key_values=cache, use_cache=True, position_ids=torch.arange(len(ids[0]))[None] + shift)
        return cache.layers[15].values[0, 0, -13:]

    plain = values(SENTENCE)
    for other, changed in ((values(SENTENCE, shift=4), 0), (values(f"A story.\n{SENTENCE}"), 13)):
        assert int(((other - plain).abs().amax(-1) > 0.05 * plain.abs().max()).sum()) == changed
    assert "Moved four places without a title, they stay; with the title, all 13 change." in lesson_text("01")


def test_the_answers_above_the_garage():
    light, heavy = "64 + 64 numbers of 1 byte", "64 + 64 numbers of 4 bytes"
    frames = {car: (picture := Garage(car=car)).frame(picture.choice) for car in CARS}
    assert {len(frame["tables"][0]) for frame in frames.values()} == {12}
    assert round(frames[light]["bytes_held"] / MiB, 2) == 2.11 and "2.11 MiB and not 4.22" in lesson_text("01")
    assert frames[heavy]["car_bytes"] == frames["128 + 128 numbers of 2 bytes"]["car_bytes"] == 512


def test_what_is_said_of_published_models():
    parameters = [MODELS[name].n_params for name in ("Llama-3.1-70B", "Llama-2-7B")]
    assert round(parameters[0] / parameters[1]) == 10
    gemma, granite = (KVShape.from_config(MODELS[name].config) for name in ("Gemma-3-27B", "Granite-4.0-H-Small"))
    assert (gemma.count("sliding"), gemma.n_layers, granite.count("none"), granite.n_layers) == (52, 62, 36, 40)
    assert {layer.window for layer in gemma.layers} == {None, 1_024} and granite.fixed_bytes > 0
    assert all(text in lesson_text("01") for text in ("52 of 62 layers", "36 of 40 layers", "over 1,024 tokens"))


def test_what_is_said_of_the_wall():
    assert QWEN.bytes(1) == 256 * 1024 and max_tokens(6 * GiB, QWEN) == 24_576
    assert round(100 * 0.75 / 24) == 3 and max_tokens(5.25 * GiB, QWEN) / 24_576 == 7 / 8
    driver = f"{find_card('RTX 4090').driver_memory / MiB:,.0f} MiB"
    assert driver == "24,564 MiB" and driver in lesson_text("01")
    assert round(find_card("L4").driver_memory / GiB, 1) == 22.5 and "that of an L4 22.5 GiB" in lesson_text("01")


# --- Figures ---------------------------------------------------------------------------------------------------------
def test_a_row_is_a_line_of_its_own_in_two_tables():
    keys, values = np.random.default_rng(0).normal(size=(2, 3, 4)).tolist()
    left, right = drawn(memory.rows_of_words(["a", "b", "c"], keys, values))
    assert [ax.images[0].get_array().tolist() for ax in (left, right)] == [keys, values]
    assert [label.get_text() for label in left.get_yticklabels()][:3] == ["a", "b", "c"]
    assert left.images[0].get_clim() == pytest.approx((-np.abs(keys).max(), np.abs(keys).max()))


def test_each_model_s_line_has_its_name_at_its_end():
    [ax] = drawn(memory.growth_by_model([0, 10, 20], {"a": [0, 5, 10], "b": [4, 4, 4]}, "One bends"))
    assert {line.get_label(): line.get_ydata().tolist() for line in ax.lines} == {"a": [0, 5, 10], "b": [4, 4, 4]}
    assert [(text.get_text(), text.xy) for text in ax.texts] == [("a", (20, 10)), ("b", (20, 4))]
    assert ax.get_title(loc="left") == "One bends" and ax.get_ylim() == (0, 11)


# --- Exercises -------------------------------------------------------------------------------------------------------
def test_the_calculator_s_figure_is_half_of_what_a_token_costs(capsys):
    assert lesson_01.check_calculator.expected == 2 * 57_344 == 114_688
    lesson_01.check_calculator(2 * 28 * 8 * (1_024 // 16) * 2)
    assert "the calculator's own figure" in capsys.readouterr().out


def test_no_two_mistakes_give_one_answer():
    for check in (lesson_01.check_calculator, lesson_01.check_two_people):
        values = [check.expected, *check.mistakes.values()]
        assert len(set(values)) == len(values)

"""Numbers that a lesson's prose gives without a cell beside it: answers to the questions above a control."""

from itertools import permutations
from math import isclose

from helpers.arithmetic import MODELS, GiB, KVShape, find_card, max_tokens, weights_bytes
from helpers.widgets.living.attention_words import START, AttentionWords, attend
from tests.house.notebooks import lesson_text

OVERHEAD = 0.75 * GiB
CARD = find_card("RTX 4090").memory


def longest(model, weight_format, sequences=1, kv_format="fp16"):
    free = CARD - OVERHEAD - weights_bytes(MODELS[model].n_params, weight_format)
    return max_tokens(free, KVShape.from_config(MODELS[model].config), sequences, kv_format)


def test_lesson_01_question_1():
    assert longest("Qwen3-32B", "q4_k_m", kv_format="q8_0") >= 32_768
    assert longest("Qwen3-32B", "q4_0") == 24_932 and "24,932" in lesson_text("01")


def test_lesson_01_question_2():
    assert longest("Llama-3.1-8B", "q4_k_m", sequences=18) >= 8_192
    assert longest("Llama-3.1-8B", "q4_k_m", sequences=19) == 8_081 and "8,081" in lesson_text("01")


def test_lesson_01_four_words_get_the_same_share_from_a_query_without_length():
    assert attend((0, 0))["shares"] == [0.25] * 4 and "each word gets 25%" in lesson_text("01")
    picture = AttentionWords()
    answers = [picture.frame(START | {"order": list(order)})["answer"] for order in permutations(range(4))]
    assert all(isclose(a, b, abs_tol=1e-12) for answer in answers for a, b in zip(answer, answers[0], strict=True))

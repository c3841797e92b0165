"""The reasoner in llama.cpp is the reasoner: the same next tokens as in transformers, and worksheets worked."""

import pytest
import torch

from helpers.engines import LlamaCpp
from helpers.models import gold_and_length, grade, load_reasoner, make_worksheets
from helpers.models.tokenizer import WORDS

NEAR = 5e-4  # nats; 0.00005 was seen, and transformers itself is 0.00004 off what it says in float64


@pytest.fixture(scope="module")
def reasoner():
    return load_reasoner()


def log_probabilities(path, token_ids, prompt_length, **options):
    """Of each word in each place of llama.cpp's own answer: its tokens, and ``[places, words]``."""
    with LlamaCpp(path, 512, **options) as engine:
        answer = engine.ask(token_ids[:prompt_length], 400, top=len(WORDS))
    assert answer.ended
    return list(answer.tokens), torch.tensor([[place[i] for i in range(len(WORDS))] for place in answer.likeliest])


def test_it_says_what_transformers_says_in_every_place(reasoner_gguf, reasoner):
    [sheet] = make_worksheets(1, 20, seed=7)
    token_ids, prompt_length = gold_and_length(reasoner, [sheet])
    with torch.inference_mode():
        expected = reasoner.model(token_ids).logits[0, prompt_length - 1 :].log_softmax(-1)
    ids = token_ids[0].tolist()
    tokens, said = log_probabilities(reasoner_gguf, ids, prompt_length, kv_format="fp32", flash_attention=False)
    assert tokens == [*ids[prompt_length:], reasoner.tokenizer.eos_token_id] == expected.argmax(-1).tolist()
    assert (said - expected).abs().max() < NEAR
    # Flash attention turns rows of float32 into float16 before it reads them.
    _, flash = log_probabilities(reasoner_gguf, ids, prompt_length, kv_format="fp32", flash_attention=True)
    _, half = log_probabilities(reasoner_gguf, ids, prompt_length, kv_format="fp16", flash_attention=True)
    assert torch.equal(flash, half)
    assert (flash - expected).abs().max() > 10 * NEAR


@pytest.mark.parametrize("kv_format", ["fp16", "q8_0", "q4_0"])
def test_it_works_worksheets_from_a_cache_in_every_format(reasoner_gguf, reasoner, kv_format):
    sheets = make_worksheets(3, 8, seed=7)
    with LlamaCpp(reasoner_gguf, 256, kv_format) as engine:
        answers = [engine.ask(reasoner.prompt_ids(sheet)[0].tolist(), 100) for sheet in sheets]
    assert [grade(sheet, answer.text) for sheet, answer in zip(sheets, answers, strict=True)] == [True] * 3
    assert all(answer.ended for answer in answers)


def test_text_comes_out_as_the_course_writes_it(reasoner_gguf, reasoner):
    [sheet] = make_worksheets(1, 3, seed=7)
    with LlamaCpp(reasoner_gguf, 256) as engine:
        answer = engine.ask(reasoner.prompt_ids(sheet)[0].tolist(), 60)
    assert answer.text == f" {sheet.thought} {sheet.answer}"


def test_the_file_is_small_and_made_in_place(reasoner_gguf):
    assert 3e6 < reasoner_gguf.stat().st_size < 5e6

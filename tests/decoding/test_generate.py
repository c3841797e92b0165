"""The decode loop against transformers' own, against generation without any cache, and against the formula."""

import math
import time

import pytest
import torch
from transformers import DynamicCache

from helpers.arithmetic import KVShape
from helpers.decoding import generate
from helpers.decoding.loop import end_tokens
from helpers.measuring import Trace, layer_bytes, median_seconds, weight_bytes
from helpers.models import load_reasoner, make_worksheets
from tests.families import VOCABULARY, WINDOW, build, plain

STEPS = 14
# A wide initialisation: the logits differ enough that rounding decides no token, and the tokens vary.
SPREAD = {"initializer_range": 0.5, "head_dim": 16}
FAMILIES = {
    "Llama": plain("llama", **SPREAD),
    "Qwen3": plain("qwen3", **SPREAD),
    "Mistral": plain("mistral", sliding_window=None, **SPREAD),
    "Mistral with a window": plain("mistral", sliding_window=WINDOW, **SPREAD),
}


@pytest.fixture(params=FAMILIES)
def model(request):
    """A small random model that never ends a sequence of its own accord."""
    model = build(FAMILIES[request.param])
    model.generation_config.eos_token_id = None
    return model


@pytest.fixture(scope="module")
def reasoner():
    return load_reasoner()


@pytest.fixture
def prompts():
    return torch.randint(3, VOCABULARY, (3, 11), generator=torch.Generator().manual_seed(1))


def run(model, prompts, steps=STEPS, **options):
    return generate(model, prompts, DynamicCache(config=model.config), max_new_tokens=steps, **options)


@torch.inference_mode()
def tokens_without_cache(model, prompts, steps):
    ids = prompts
    for _ in range(steps):
        ids = torch.cat([ids, model(ids, use_cache=False).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return ids[:, prompts.shape[1] :].tolist()


def tokens_of_transformers(model, prompts, steps):
    mask = torch.ones_like(prompts)
    ids = model.generate(prompts, attention_mask=mask, do_sample=False, max_new_tokens=steps, pad_token_id=0)
    return ids[:, prompts.shape[1] :].tolist()


def until_end(tokens, ends):
    """The tokens up to the first end token, that one included."""
    end = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
    return tokens[: end + 1]


def test_same_tokens_as_transformers(model, prompts):
    assert run(model, prompts).tokens == tokens_of_transformers(model, prompts, STEPS)


def test_same_tokens_as_without_a_cache(model, prompts):
    assert run(model, prompts).tokens == tokens_without_cache(model, prompts, STEPS)


def test_the_sequences_of_a_batch_do_not_touch_each_other(model, prompts):
    alone = [run(model, prompt[None]).tokens[0] for prompt in prompts]
    assert run(model, prompts).tokens == alone
    assert len({tuple(tokens) for tokens in alone}) == 3  # else the tests above would prove little
    assert max(len(set(tokens)) for tokens in alone) > 3


def test_the_reasoner_says_the_same_with_a_cache_without_and_in_transformers(reasoner):
    texts = [sheet.prompt for sheet in make_worksheets(3, n_lines=5, seed=31)]
    prompts = reasoner.tokenizer(texts, return_tensors="pt").input_ids
    trace = run(reasoner.model, prompts, steps=70)
    ends = end_tokens(reasoner.model)
    ours = [until_end(tokens, ends) for tokens in trace.tokens]
    for theirs in (tokens_without_cache, tokens_of_transformers):
        assert ours == [until_end(tokens, ends) for tokens in theirs(reasoner.model, prompts, 70)]
    assert all(tokens[-1] in ends for tokens in ours)
    assert len(trace.seconds) == max(map(len, ours))


@pytest.mark.parametrize("n_ends", [1, 2, 3])
def test_stops_when_every_sequence_has_ended(prompts, n_ends):
    model = build(FAMILIES["Qwen3"])
    model.generation_config.eos_token_id = None
    free_running = run(model, prompts).tokens
    # One end token per sequence for the last case, so that each ends with another one, at another step.
    ends = [next(t for t in tokens[3 + i :] if t not in tokens[: 3 + i]) for i, tokens in enumerate(free_running)]
    ends = list(dict.fromkeys(ends[:n_ends]))
    model.generation_config.eos_token_id = ends[0] if n_ends == 1 else ends
    trace = run(model, prompts)
    wanted = [until_end(tokens, ends) for tokens in free_running]
    assert [until_end(tokens, ends) for tokens in trace.tokens] == wanted
    assert len(trace.seconds) == max(map(len, wanted))
    assert len(trace.seconds) < STEPS or n_ends < 3


def test_a_sequence_that_has_ended_goes_on_repeating_its_own_end_token(prompts):
    model = build(FAMILIES["Llama"])
    model.generation_config.eos_token_id = None
    free_running = run(model, prompts).tokens
    first, second = free_running[0][2], free_running[1][1]
    assert first != second
    model.generation_config.eos_token_id = [first, second]
    for tokens in run(model, prompts).tokens:
        ended = until_end(tokens, [first, second])
        assert set(tokens[len(ended) :]) <= {ended[-1]}


@pytest.mark.parametrize(("eos", "expected"), [(None, []), (2, [2]), (0, [0]), ([5, 7], [5, 7])])
def test_end_tokens_are_none_one_or_several(eos, expected):
    model = build(FAMILIES["Llama"])
    model.generation_config.eos_token_id = eos
    assert end_tokens(model) == expected


def test_token_0_can_end_a_sequence(prompts):
    model = build(FAMILIES["Llama"])
    model.generation_config.eos_token_id = 0
    with torch.no_grad():
        model.lm_head.weight.zero_()  # every logit alike: argmax takes token 0
    assert run(model, prompts).tokens == [[0]] * 3


def test_the_lists_of_a_trace_grow_together(model, prompts):
    seen = []

    def on_step(trace):
        step = len(seen)
        lengths = {len(x) for x in (*trace.tokens, trace.seconds, trace.tokens_seen, trace.bytes_held)}
        assert lengths == {step + 1}
        seen.append(trace)

    trace = run(model, prompts, on_step=on_step)
    assert len(seen) == len(trace.seconds) == STEPS
    assert all(each is trace for each in seen)
    assert trace.prompt_length == 11
    assert trace.tokens_seen == [11 + step for step in range(STEPS)]
    assert trace.seconds == sorted(trace.seconds)
    assert trace.seconds[0] > 0


def test_bytes_held_are_the_formula_s_at_every_step(model, prompts):
    shape = KVShape.from_config(model.config)
    trace = run(model, prompts)
    assert trace.bytes_held == [shape.bytes(t, sequences=3, kv_format="fp32") for t in trace.tokens_seen]


def test_a_dynamic_cache_gives_nothing_back(model, prompts):
    trace = run(model, prompts)
    assert trace.bytes_freed == 0
    assert trace.bytes_held == sorted(trace.bytes_held)


def test_the_cache_that_was_given_is_the_one_filled(model, prompts):
    cache = DynamicCache(config=model.config)
    trace = generate(model, prompts, cache, max_new_tokens=4)
    assert sum(layer_bytes(cache)) == trace.bytes_held[-1] > 0
    assert cache.get_seq_length() == 11 + 3  # the last token was decoded, not read


def test_one_token_is_enough(model):
    trace = run(model, torch.tensor([[5]]), steps=1)
    assert len(trace.tokens[0]) == 1
    assert trace.tokens_seen == [1]


def test_every_fall_of_bytes_held_counts_as_freed():
    assert Trace(1, [[]], bytes_held=[5, 9, 4, 6, 1]).bytes_freed == 5 + 5
    assert Trace(1, [[]]).bytes_freed == 0


def test_speed_leaves_the_prefill_out():
    assert Trace(1, [[4, 5, 6]], seconds=[10.0, 10.5, 11.0]).tokens_per_second == 2.0


def test_median_seconds_is_not_led_by_one_slow_call():
    pauses = iter([0.1, 1.0, 0.2])  # seconds
    assert 0.2 <= median_seconds(lambda: time.sleep(next(pauses)), repeats=3) < 0.8
    assert list(pauses) == []


@pytest.mark.parametrize("tied", [False, True])
def test_a_shared_tensor_weighs_once(tied):
    model = build(plain("llama", tie_word_embeddings=tied))
    tensors = {p.data_ptr(): p.nbytes for p in [*model.parameters(), model.lm_head.weight]}
    assert weight_bytes(model) == sum(tensors.values())
    untied = build(plain("llama", tie_word_embeddings=False))
    assert (weight_bytes(model) < weight_bytes(untied)) == tied


@pytest.mark.parametrize(
    ("ids", "steps", "words"),
    [
        (torch.tensor([1, 2, 3]), 5, ["input_ids", "(3,)", "[batch, prompt_length]"]),
        (torch.zeros(1, 0, dtype=torch.long), 5, ["input_ids", "(1, 0)", "not empty"]),
        (torch.zeros(0, 4, dtype=torch.long), 5, ["input_ids", "(0, 4)", "not empty"]),
        (torch.tensor([[1]]), 0, ["max_new_tokens", "0", "1 or more"]),
        (torch.tensor([[1]]), -3, ["max_new_tokens", "-3", "1 or more"]),
        (torch.tensor([[1]]), 2.5, ["max_new_tokens", "2.5", "whole number"]),
        (torch.tensor([[1]]), math.inf, ["max_new_tokens", "inf", "whole number"]),
    ],
)
def test_errors_say_which_argument_what_it_was_and_what_it_may_be(ids, steps, words):
    model = build(FAMILIES["Llama"])
    with pytest.raises(ValueError) as error:
        run(model, ids, steps=steps)
    assert "\n" not in str(error.value)
    assert [word for word in words if word not in str(error.value)] == []

"""Prompts watched while llama.cpp answers them: who waits, what is filled, who is refused; and a slot that goes on."""

import threading
import time

import pytest

from helpers.engines import LlamaCpp
from helpers.engines.llama_cpp_watch import Reading, read_counter, watch


def test_one_is_answered_and_one_waits(reasoner_gguf):
    with LlamaCpp(reasoner_gguf, 512) as engine:
        answers, readings = watch(engine, [[*range(5, 25)]] * 2, 200)
    assert [len(answer.tokens) for answer in answers] == [200, 200], "past the token that ends an answer"
    assert {reading.answering for reading in readings} <= {0, 1}
    assert max(reading.filled for reading in readings) <= 220
    assert all(before != after for before, after in zip(readings, readings[1:], strict=False))


class Server:
    """One that is done ``steps`` readings after it has all three prompts; what is asked first takes longest to come."""

    def __init__(self, steps: int) -> None:
        self.steps, self.taken, self.open = steps, [], {}

    def ask(self, prompt, max_tokens, past_the_end):
        time.sleep({"first": 0.06, "second": 0.03}.get(prompt, 0))
        self.taken.append(prompt)
        self.open[prompt] = done = threading.Event()
        if not self.steps:
            done.set()
        assert done.wait(10)
        return prompt

    def slots(self):
        working = [prompt for prompt, done in self.open.items() if not done.is_set()]
        return [{"is_processing": bool(working), "n_prompt_tokens": len(self.taken)}]

    def metrics(self):
        working = [done for done in self.open.values() if not done.is_set()]
        if len(self.taken) == 3:
            self.steps -= 1
            for done in working if self.steps <= 0 else ():
                done.set()
        return f"llamacpp:requests_deferred {max(0, len(working) - 1)}\n"


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_each_is_sent_when_those_before_it_are_there_and_the_quickest_server_is_read_too(steps):
    server = Server(steps)
    answers, readings = watch(server, ["first", "second", "third"], 1)
    assert server.taken == list(answers) == ["first", "second", "third"]
    assert readings and (not steps or max(reading.waiting for reading in readings) == 2)


def test_a_reading_in_words():
    words = str(Reading(0.5, 36, 7, 1, 2))
    assert words == " 0.5 s: 1 answered, 2 waiting,  36 cells filled,   7 tokens written"


def test_who_is_refused_says_so_in_its_place(reasoner_gguf):
    with LlamaCpp(reasoner_gguf, 256) as engine:
        answers, _ = watch(engine, [[5] * 300, [5] * 10], 4)
    assert "exceeds the available context size" in answers[0] and len(answers[1].tokens) == 4


def test_in_one_pool_all_that_run_are_broken_off(smollm2_gguf):
    with LlamaCpp(smollm2_gguf, 256, sequences=2, unified=True) as engine:
        answers, _ = watch(engine, [[*range(1000, 1120)], [*range(2000, 2120)]], 60)
    assert answers == ["llama.cpp refuses: Context size has been exceeded."] * 2


@pytest.mark.parametrize("keep", [0, 4, 36])
def test_a_full_slot_throws_away_half_of_what_it_need_not_keep(reasoner_gguf, keep):
    with LlamaCpp(reasoner_gguf, 256, keep=keep) as engine:
        answer = engine.ask([*range(5, 25)], max_tokens=300, past_the_end=True)
        left = engine.slots()[0]["n_prompt_tokens"]
    assert len(answer.tokens) == 300
    assert 20 + 300 - 1 - left == (255 - keep) // 2


def test_without_keep_it_ends_there(reasoner_gguf):
    with LlamaCpp(reasoner_gguf, 256) as engine:
        answer = engine.ask([*range(5, 25)], max_tokens=300, past_the_end=True)
    assert len(answer.tokens) == 256 - 20 and not answer.ended


def test_keep_is_a_count(reasoner_gguf):
    with pytest.raises(ValueError, match="keep is -1"):
        LlamaCpp(reasoner_gguf, keep=-1)


def test_a_counter_by_its_name():
    said = "# TYPE llamacpp:n_tokens_max counter\nllamacpp:n_tokens_max 155\nllamacpp:n_tokens 3.5\n"
    assert (read_counter(said, "n_tokens_max"), read_counter(said, "n_tokens")) == (155, 3.5)
    with pytest.raises(LookupError, match="name is 'kv_cache_usage_ratio'; llama.cpp says nothing of it"):
        read_counter(said, "kv_cache_usage_ratio")

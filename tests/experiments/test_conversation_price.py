"""The price of a conversation: counted as it says, and the saved one against what must follow."""

import pytest

from helpers.arithmetic import KVShape
from helpers.experiments import conversation_price
from helpers.experiments.conversation_price import GROWING, IN_BLOCKS, LLAMA_CPP, WAYS, summary
from helpers.records import load_conversation_price
from tests.models.test_smollm2 import needs_smollm2

SHAPE = KVShape(30, 3, 64)  # SmolLM2's


@pytest.fixture(scope="module")
def record():
    return load_conversation_price()


def test_all_ways_were_measured_in_one_run(record):
    assert list(record.ways) == list(WAYS) == [GROWING, IN_BLOCKS, LLAMA_CPP]
    most = len(conversation_price.QUESTIONS) * conversation_price.MAX_NEW_TOKENS
    assert all(0 < way.tokens <= most for way in record.ways.values())
    # The same weights and the same arithmetic: the same replies over both caches.
    assert record.ways[GROWING].tokens == record.ways[IN_BLOCKS].tokens


def test_the_bytes_of_the_caches_are_the_formula_s(record):
    growing, blocks, engine = (record.ways[name].cache_bytes for name in WAYS)
    token = SHAPE.bytes_per_token("fp32")
    assert growing % token == 0
    assert blocks == -(-growing // (16 * token)) * 16 * token
    assert engine == SHAPE.bytes(conversation_price.CONTEXT, kv_format="fp16")


def test_4_bit_weights_take_less_memory_and_time(record):
    assert record.times_as_fast(LLAMA_CPP, GROWING) > 1.5
    assert record.times_as_fast(IN_BLOCKS, GROWING) > 0.9
    assert record.ways[LLAMA_CPP].process_bytes < record.ways[GROWING].process_bytes / 2


@needs_smollm2
@pytest.mark.parametrize("name", [GROWING, IN_BLOCKS])
def test_a_conversation_is_measured(name, monkeypatch):
    monkeypatch.setattr(conversation_price, "MAX_NEW_TOKENS", 4)
    run = WAYS[name]()
    assert [turn["tokens"] for turn in run["turns"]] == [4, 4, 4]
    assert run["process_bytes"] > run["cache_bytes"] > 12 * SHAPE.bytes_per_token("fp32")


def test_the_median_of_the_runs_counts():
    runs = [{"turns": [{"tokens": 10, "seconds": s}, {"tokens": 10, "seconds": s}], "x": s} for s in (1, 2, 5)]
    assert summary("a", runs) == {"name": "a", "tokens_per_second": 5, "runs": [10, 5, 2], **runs[-1]}

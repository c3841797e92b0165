"""transformers' paged engine and the course's cache: the same answers and blocks, and a page that says what was run."""

from pathlib import Path

import pytest

from helpers.cache.block_pool import blocks_for
from helpers.experiments import transformers_paged as paged
from helpers.experiments.two_paged_engines import in_words, page
from helpers.models import load_reasoner
from helpers.records import load_transformers_paged

DOCS = Path(__file__).parents[2] / "docs"


# --- The two, run anew -----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def model():
    return load_reasoner().model.float().cpu()


@pytest.fixture(scope="module")
def asked():
    return {name: prompt for name, prompt in paged.prompts().items() if name != "C"}


@pytest.fixture(scope="module")
def course(model, asked):
    return paged.through_the_course(model, asked)


def test_without_sharing_they_agree_on_tokens_blocks_and_what_an_end_gives_back(model, asked, course):
    engine = paged.through_transformers(model, asked, sharing=False)
    for name in ("request", "tokens", "blocks", "free", "remembered"):
        assert [each[name] for each in engine] == [each[name] for each in course]


def test_with_sharing_a_request_that_comes_again_lists_the_full_blocks_of_the_first(model, asked, course):
    first, other, again = paged.through_transformers(model, asked, sharing=True)
    rows = len(asked["A"]) + len(first["tokens"]) - 1
    full = rows // paged.BLOCK_SIZE
    assert first["table"][:full] == again["table"][:full]
    assert not set(first["table"][:full]) & set(other["table"])
    assert (first["free"], first["remembered"]) == (paged.NUM_BLOCKS - full, full)
    assert [each["tokens"] for each in (first, other, again)] == [each["tokens"] for each in course]


def test_a_pool_too_small_throws_one_back_whole_and_both_answers_are_right(model, asked):
    found = paged.too_small(model, asked["A"], asked["B"])
    assert found["same_tokens"] and found["free"] == found["num_blocks"]
    assert [lost["request"] for lost in found["thrown_back"]] == ["second"]
    assert found["refusal"].startswith("out of blocks: ")


def test_an_engine_that_fails_is_one_line_that_says_so(model, asked):
    with pytest.raises(RuntimeError, match="the engine gave no answer: "), paged.engine(model, 8, False) as manager:
        paged.ask(manager, {"A": asked["A"]})


# --- The record ------------------------------------------------------------------------------------------------------
def test_what_can_be_told_beforehand_stands_in_the_record():
    found = load_transformers_paged()
    size, pool = found.facts["block_size"], found.facts["num_blocks"]
    assert found.facts["same_tokens"] and found.facts["same_blocks_at_every_step"]
    for name, each in found.requests.items():
        at_the_end = blocks_for(each["prompt_tokens"] + each["new_tokens"] - 1, size)
        for run in found.runs.values():
            assert run[name]["blocks"] == [blocks_for(each["prompt_tokens"], size), at_the_end]
            assert len(run[name]["table"]) == at_the_end
            assert run[name]["free"] + run[name]["remembered"] == pool  # nothing is in use between two requests


def test_eviction_alone_frees_nothing_and_compaction_what_rounding_allows():
    found = load_transformers_paged()
    evicted, size = found.facts["evicted"], found.facts["block_size"]
    free = evicted["free"]
    assert free["before"] == free["evict"] == free["release_empty_blocks"]
    assert free["compact"] - free["before"] == blocks_for(evicted["rows"], size) - blocks_for(evicted["kept"], size)
    assert free["reset"] == found.facts["num_blocks"]


# --- The page --------------------------------------------------------------------------------------------------------
def test_the_page_is_written_from_the_record():
    assert (DOCS / "two_paged_engines.md").read_text(encoding="utf-8") == page()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ([], ""),
        ([4], "4"),
        ([4, 5], "4 to 5"),
        ([9, 8, 7, 17, 18, 19], "9 to 7, 17 to 19"),
        ([1, 2, 1], "1 to 2, 1"),
        ([3, 7, 7], "3, 7, 7"),
    ],
)
def test_a_table_in_words(table, words):
    assert in_words(table) == words

"""Requests that share a pool: what is noted of them, and that vLLM's way, as lesson 06 writes it, is vLLM's."""

import pytest

from helpers.cache import BlockPool, OutOfBlocks
from helpers.cache.queueing import serve
from helpers.records import load_vllm_server
from tests.house.notebooks import NOTEBOOKS, cells, read, source


def lesson_step():
    """``step`` as lesson 06 shows it."""
    notebook = read(next(NOTEBOOKS.glob("06_*.ipynb")))
    [shown] = [source(cell) for _, cell in cells(notebook, "code") if "def step(" in source(cell)]
    names = {}
    exec("from helpers.cache import blocks_for\n" + shown, names)
    return names["step"]


@pytest.mark.parametrize(("saved_round", "requests", "preemptions"), [(0, 1, 0), (4, 2, 1), (6, 3, 2)])
def test_the_lessons_lines_give_what_vllm_said(saved_round, requests, preemptions):
    said = load_vllm_server().starts[12, 32, 512].rounds[saved_round]
    prompt, answer = said.watched["prompt_tokens"][0], int(said.watched["new_tokens"][0])
    served = serve(lesson_step(), BlockPool(16, 32), [min(i, 1) for i in range(requests)], int(prompt), answer)
    assert tuple(served.usage[:-1]) == said.watched["usage"] and served.usage[-1] == 0
    assert sum(request.sent_away for request in served.requests) == said.counted["num_preemptions_total"] == preemptions


def test_one_alone_reads_its_prompt_and_writes_to_the_end():
    served = serve(lesson_step(), BlockPool(4, 4), [2], prompt=5, answer=4)
    [request] = served.requests
    assert (request.ran, request.read, request.sent_away, request.read_again) == ([(2, 5)], 5, 0, 0)
    assert served.held == [0, 0, 2, 2, 2, 0] and served.usage == [0, 0.5, 0]  # its last token needs no slot


@pytest.mark.parametrize("blocks", range(3, 9))
@pytest.mark.parametrize("every", [0, 1, 3])
def test_the_books_are_right_whoever_is_sent_away(blocks, every):
    pool = BlockPool(blocks, 4)
    served = serve(lesson_step(), pool, [every * i for i in range(5)], prompt=3, answer=8)
    assert pool.num_held_blocks == 0 and max(served.held) <= blocks
    pool.check_integrity([request.table for request in served.requests])
    for request in served.requests:
        assert sum(last + 1 - first for first, last in request.ran) == 8  # a token for each step in which it ran
        assert request.tokens == request.end and request.read_again >= request.prompt * request.sent_away
        assert all(before[1] < after[0] for before, after in zip(request.ran, request.ran[1:], strict=False))


def test_a_request_that_never_fits_and_a_step_that_does_nothing_are_refused():
    pool = BlockPool(2, 4)
    with pytest.raises(OutOfBlocks, match="3 needed, 2 free, 0 held"):
        serve(lesson_step(), pool, [0], prompt=5, answer=5)
    with pytest.raises(ValueError, match="after 100,000 steps 1 still wait and 0 run"):
        serve(lambda pool, waiting, running: None, pool, [0], prompt=1, answer=1)
    with pytest.raises(ValueError, match="prompt"):
        serve(lesson_step(), pool, [0], prompt=0, answer=1)
    with pytest.raises(ValueError, match="arrivals has 27 requests; it may have 26"):
        serve(lesson_step(), pool, [0] * 27, prompt=1, answer=1)
    assert pool.num_free_blocks == 2

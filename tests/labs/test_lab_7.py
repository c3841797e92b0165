"""Lab 7: its predictions are what vLLM said, its checks name wrong answers, and its prose holds."""

import math
import re
from pathlib import Path

import pytest

from helpers.arithmetic import KVShape, MiB, vllm_blocks
from helpers.cache import BlockPool, BlockTable, OutOfBlocks
from helpers.engines import VLLM
from helpers.engines.vllm_environment import PACKAGE
from helpers.engines.vllm_played import PlayedVLLM
from helpers.experiments.vllm_server import SMALL, rounds
from helpers.records import load_vllm_server
from helpers.records.vllm_server import key_of
from helpers.teaching.labs import lab_7 as lab
from tests.house.notebooks import read, source

RECORD = load_vllm_server()
ROUNDS = RECORD.starts[SMALL].rounds
MASTER = Path(__file__).parents[2] / "labs" / "masters" / "lab_7_read_a_living_server.ipynb"


# --- What the lab says is what vLLM said -----------------------------------------------------------------------------
def test_the_course_s_numbers_are_the_server_s():
    shape = KVShape(n_layers=30, n_kv_heads=3, head_dim=64)
    assert shape.bytes_per_token("bf16") == lab.TOKEN_BYTES
    blocks = vllm_blocks(shape, 12 * MiB, 512, "bf16", block=32)
    assert (blocks.blocks, RECORD.starts[SMALL].settings["num_gpu_blocks"]) == (lab.SMALL_BLOCKS, "17")
    assert SMALL[1] == lab.SMALL_BLOCK


def test_a_request_s_blocks_are_a_share_of_all_but_the_null_block():
    usage = [16 * share for share in ROUNDS[0].watched["usage"]]
    assert set(usage) - {0} <= {7, 8, 9, 10} and max(usage) == 10


def test_whole_blocks_are_found_and_never_the_last_token():
    found = [each.counted["prefix_cache_hits_total"] for each in ROUNDS[1:4]]
    asked = [each.counted["prefix_cache_queries_total"] for each in ROUNDS[1:4]]
    assert (asked, found) == ([139, 139, 128], [0, hits(139, 138, 32), hits(128, 128, 32)])


def test_the_pool_counts_the_preemptions_that_vllm_counts():
    both, three = ROUNDS[4], ROUNDS[6]
    assert both.counted["num_preemptions_total"] == run(BlockPool(16, 32), [200, 200], 100) == 1
    assert both.watched["new_tokens"] == (100, 100) and max(both.watched["usage"]) == 1
    assert three.counted["num_preemptions_total"] == lab.check_three.expected == 2


def test_a_prompt_that_is_too_long_is_refused_by_request_and_a_pool_that_is_too_small_at_the_start():
    assert "maximum context length is 512 tokens" in ROUNDS[5].refused and "520 input tokens" in ROUNDS[5].refused
    assert "estimated maximum model length is 512" in RECORD.starts[12, 32, 4096].refused
    assert "MultipleOf(32)" in RECORD.starts[2048, 16, 4096].refused


def test_the_rounds_are_those_that_were_asked():
    assert [each.key for each in ROUNDS] == [key_of(*asked) for asked in rounds()]


# --- Who answers -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wish", "there", "kind", "said"),
    [
        ("saved", True, PlayedVLLM, "Nothing lives here"),
        ("", False, PlayedVLLM, "make lab-vllm brings vLLM itself"),
        ("", True, VLLM, "A living vLLM answers"),
        ("live", True, VLLM, "A living vLLM answers"),
    ],
)
def test_who_answers_is_said_plainly(monkeypatch, wish, there, kind, said):
    monkeypatch.setenv("COURSE_VLLM", wish)
    monkeypatch.setattr(lab, "is_installed", lambda: there)
    monkeypatch.setattr(lab, "require_vllm", lambda: None)
    assert isinstance(lab.open_server(1024, 128, 4096), kind)
    assert said in lab.who_answers()


def test_a_wish_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("COURSE_VLLM", "perhaps")
    with pytest.raises(ValueError, match="COURSE_VLLM is 'perhaps'; it may be live or saved"):
        lab.open_server(1024, 128, 4096)


def test_an_excerpt_has_the_lines_of_the_lab_and_no_others():
    said = lab._MADE + 'vllm:request_success_total{engine="0"} 1.0\n'
    assert [line.split("{")[0] for line in lab.excerpt(said).splitlines()] == [
        "vllm:kv_cache_usage_perc",
        "vllm:num_requests_waiting",
        "vllm:prefix_cache_hits_total",
    ]


# --- Right answers ---------------------------------------------------------------------------------------------------
def size(kv_bytes, block, longest):
    blocks = kv_bytes // (block * 23_040)
    return blocks, blocks * block, blocks / math.ceil(longest / block)


def read_metric(said, name):
    found = re.search(rf"^vllm:{name}\{{.*\}} (\S+)$", said, re.MULTILINE)
    return float(found[1]) if found else None


def hits(prompt, shared, block):
    return min(shared, prompt - 1) // block * block


run = lab.preemptions


@pytest.mark.parametrize(
    ("check", "answer"),
    [("check_size", size), ("check_read_metric", read_metric), ("check_hits", hits), ("check_run_both", run)],
)
def test_a_right_answer_passes_every_stage(check, answer, capsys):
    getattr(lab, check)(answer)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.endswith(": right.") for line in lines)


FUNCTIONS = ["check_size", "check_read_metric", "check_hits", "check_run_both"]


@pytest.mark.parametrize("check", FUNCTIONS)
def test_a_stub_stops_with_its_sentence(check):
    def untouched(*args):
        raise NotImplementedError("Write it.")

    with pytest.raises(NotImplementedError, match="Write it"):
        getattr(lab, check)(untouched)


@pytest.mark.parametrize("check", FUNCTIONS)
@pytest.mark.parametrize("constant", [None, 0, 17, {}, [], "46,592", (1, 2, 3), float("nan")])
def test_a_constant_is_told_so_in_one_line(check, constant, capsys):
    getattr(lab, check)(lambda *args: constant)
    assert "Not yet" in capsys.readouterr().out.splitlines()[-1]


# --- Wrong answers ---------------------------------------------------------------------------------------------------
def size_but(**changed):
    """A size with one mistake, as a function of bytes, block and longest."""

    def wrong(kv_bytes, block, longest):
        found = dict(zip(("blocks", "tokens", "concurrency"), size(kv_bytes, block, longest), strict=True))
        return tuple((found | {name: change(kv_bytes, block, longest) for name, change in changed.items()}).values())

    return wrong


def run_but(on_full, last=-1, free=True, count=1):
    """A run with one mistake in what happens when no block is free."""

    def wrong(pool, prompts, new_tokens):
        running, sent_away = [BlockTable(pool) for _ in prompts], 0
        for table, prompt in zip(running, prompts, strict=True):
            table.append(prompt)
        for _ in range(new_tokens - 1):
            for table in list(running):
                while table in running:
                    try:
                        table.append()
                        break
                    except OutOfBlocks:
                        gone = running.pop(last)
                        sent_away += count
                        if free:
                            gone.truncate(0)
                        if on_full == "once":
                            break
        return sent_away

    return wrong


def dies(pool, prompts, new_tokens):
    tables = [BlockTable(pool) for _ in prompts]
    for table, prompt in zip(tables, prompts, strict=True):
        table.append(prompt + new_tokens - 1)
    return 0


def first_word(said, name):
    return float(re.search(rf"^[^#\n]*{name}\S* (\S+)", said, re.MULTILINE)[1])


WRONG = [
    ("check_size", lambda b, s, n: b // (s * 23_040), "gives three numbers: blocks, tokens, concurrency"),
    ("check_size", size_but(blocks=lambda b, s, n: b / (s * 23_040)), "half a block is none"),
    ("check_size", size_but(blocks=lambda b, s, n: math.ceil(b / (s * 23_040))), "the last one is not whole"),
    ("check_size", size_but(blocks=lambda b, s, n: b // 23_040), "those are tokens; a block has room"),
    ("check_size", size_but(blocks=lambda b, s, n: b // (s * 11_520)), "rows of K and of V"),
    ("check_size", size_but(blocks=lambda b, s, n: b // (s * 69_120)), "9 query heads share 3 KV heads"),
    ("check_size", size_but(tokens=lambda b, s, n: b // 23_040), "vLLM counts whole blocks"),
    ("check_size", size_but(tokens=lambda b, s, n: b // (s * 23_040)), "those are blocks"),
    ("check_size", size_but(concurrency=lambda b, s, n: b // (s * 23_040) * s / n), "a sequence holds whole blocks"),
    ("check_size", size_but(concurrency=lambda b, s, n: int(size(b, s, n)[2])), "does not round down"),
    ("check_size", size_but(concurrency=lambda b, s, n: n / size(b, s, n)[1]), "pool by sequence"),
    ("check_size", lambda b, s, n: ("364", "46,592", "11.38"), "three numbers; yours are '364'"),
    ("check_size", lambda b, s, n: 1 // 0, "raised ZeroDivisionError"),
    ("check_read_metric", lambda said, name: str(read_metric(said, name)), "is text: make a number of it"),
    ("check_read_metric", first_word, "another pool: vllm: stands before a name"),
    (
        "check_read_metric",
        lambda said, name: (f := re.search(rf"^vllm:{name}.* (\S+)$", said, re.MULTILINE)) and float(f[1]),
        "a brace stands behind a name",
    ),
    (
        "check_read_metric",
        lambda said, name: (f := re.search(rf"^vllm:{name}\{{.*\}} ([\d.]+)", said, re.MULTILINE)) and float(f[1]),
        "8.5e-02 is one number",
    ),
    ("check_read_metric", lambda said, name: read_metric(said, name) or 0, "None, not 0"),
    ("check_blocks_at_end", 315 / 32, "a block is held whole"),
    ("check_blocks_at_end", 314 / 32, "round up"),
    ("check_blocks_at_end", 9, "not down"),
    ("check_blocks_at_end", 7, "the prompt alone"),
    ("check_blocks_at_end", 11, "round up once"),
    ("check_blocks_at_end", 20, "32 slots"),
    ("check_blocks_at_end", 314, "those are tokens"),
    ("check_blocks_at_end", 315, "never computed"),
    ("check_hits", lambda p, s, b: s, "found whole or not at all"),
    ("check_hits", lambda p, s, b: p, "not alike to the end"),
    ("check_hits", lambda p, s, b: math.ceil(s / b) * b, "round down"),
    ("check_hits", lambda p, s, b: s // b, "those are blocks; vLLM counts tokens"),
    ("check_hits", lambda p, s, b: s / b, "broken ones"),
    ("check_hits", lambda p, s, b: p - hits(p, s, b), "computed anew"),
    ("check_hits", lambda p, s, b: p // b * b, "what both have in common"),
    ("check_hits", lambda p, s, b: s - 1, "found by llama.cpp"),
    ("check_hits", lambda p, s, b: s // b * b, "something must be left to compute"),
    ("check_run_both", dies, "dies: out of blocks"),
    ("check_run_both", lambda *a: None, "is there a return"),
    ("check_run_both", lambda *a: 0, "you did not count it"),
    ("check_run_both", lambda *a: 1, "there is room for all of them"),
    ("check_run_both", run_but("again", last=0), "the first comer was sent away"),
    ("check_run_both", run_but("again", free=False), "gives all blocks back"),
    ("check_run_both", run_but("again", count=2), "counts once"),
    ("check_when", {"sequence of 4,096": "request", "prompt of 520": "request"}, "why should it wait"),
    ("check_when", {"sequence of 4,096": "start", "prompt of 520": "start"}, "nobody has asked yet"),
    ("check_when", {"sequence of 4,096": "start", "prompt of 520": "never"}, "may be 'start' or 'request'"),
    ("check_when", {"sequence": "start"}, "the keys are"),
    ("check_when", "start", "a dict is asked for, not str"),
    ("check_cells", 250, "in steps of 256"),
    ("check_cells", 1024, "for all four together"),
    ("check_cells", 1000, "before they are rounded up"),
    ("check_cells", 4000, "its share, not the whole"),
    ("check_found", 128, "that is vLLM, in whole blocks"),
    ("check_found", 139, "something must be left to compute"),
    ("check_found", 0, "stay where they are"),
    ("check_three", 1, "it is let in later"),
    ("check_three", 3, "only who runs can be sent away"),
    ("check_three", 0, "two of them do not fit"),
]


@pytest.mark.parametrize(("check", "answer", "message"), WRONG)
def test_a_wrong_answer_gets_the_line_meant_for_it(check, answer, message, capsys):
    getattr(lab, check)(answer)
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert "Not yet: " in last and message in last


@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        ("check_blocks_at_end", 10, "Right: 10 blocks."),
        ("check_when", {"sequence of 4,096": "start", "prompt of 520": "request"}, "Right: what is known early"),
        ("check_cells", 256, "Right: 256 cells."),
        ("check_found", 138, "Right: 138 tokens."),
        ("check_three", 2, "Right: 2 preemptions."),
    ],
)
def test_a_right_answer_is_called_right(check, answer, message, capsys):
    getattr(lab, check)(answer)
    assert message in capsys.readouterr().out


# --- The stretch, to the end of the queue ----------------------------------------------------------------------------
def queue(pool, prompts, new_tokens):
    """vLLM's scheduler with one pool: who runs first, then who waits, in order; nobody comes in where one was sent."""
    waiting, running, sent_away, last = [[n, 0] for n in prompts], [], 0, new_tokens - 1
    while waiting or running:
        before = sent_away
        for each in list(running):
            while each in running:
                try:
                    each[0].append()
                    each[2] += 1
                    break
                except OutOfBlocks:
                    table, prompt, done = running.pop()
                    table.truncate(0)
                    waiting.insert(0, [prompt, done + 1])  # with the token that was just chosen, and has no row yet
                    sent_away += 1
        running = [each for each in running if each[2] < last or each[0].truncate(0) is None]
        while waiting and before == sent_away:
            table, (prompt, done) = BlockTable(pool), waiting[0]
            if table.blocks_needed(prompt + done) > pool.num_free_blocks:
                break
            table.append(prompt + done)
            running.append([table, *waiting.pop(0)])
    return sent_away


@pytest.mark.parametrize(("requests", "expected"), [(1, 0), (2, 1), (3, 2)])
def test_the_whole_queue_sends_away_as_many_as_vllm(requests, expected):
    pool = BlockPool(16, 32)
    assert queue(pool, [200] * requests, 100) == expected
    assert pool.num_free_blocks == 16


def test_the_lab_says_what_it_installs_and_how_its_servers_are_set(tmp_path):
    prose = "\n".join(source(cell) for cell in read(MASTER).cells if cell.cell_type == "markdown")
    name, version = PACKAGE.split("==")
    assert f"`{name}` {version.rpartition('.')[0]}," in prose
    (tmp_path / "config.json").touch()
    options = VLLM(tmp_path)._options
    assert options[options.index("--kv-cache-metrics-sample") + 1] == "1.0" and "--kv-cache-metrics" in options
    assert "`--kv-cache-metrics-sample 1.0`" in prose and "no `kv_block_` metrics" in prose
    assert "separate streams" in prose and "With `--kv-unified` all share one pool of cells" in prose

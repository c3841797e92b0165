"""Lab 6: the evidence is what the service still does, its checks name wrong diagnoses, and its prose holds."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.arithmetic import MemoryBudget, MiB
from helpers.cache.block_pool import BlockPool, blocks_for
from helpers.cache.queueing import serve
from helpers.eviction import H2O, Compressor, StreamingLLM
from helpers.experiments import service
from helpers.experiments.service import Service, Settings
from helpers.models import grade, load_reasoner
from helpers.plots.blocks import blocks_over_steps, latency_by_request
from helpers.records import load_evidence
from helpers.records.measured import FOLDER, read
from helpers.records.service import TRACE_COLUMNS
from helpers.teaching.labs import lab_6 as lab
from helpers.teaching.labs import lab_6_runs as runs
from tests.house.notebooks import output_text, outputs
from tests.house.notebooks import read as read_notebook

EVIDENCE = load_evidence()
MASTER = Path(__file__).parents[2] / "labs" / "masters" / "lab_6_out_of_memory.ipynb"


@pytest.fixture(scope="module")
def course():
    return load_reasoner()


@pytest.fixture(scope="module")
def evening(course):
    return Service(course).run()


@pytest.fixture(scope="module")
def evicted(course):
    """Four requests at once that share the prefix and compress twice."""
    settings = Settings(share_prefix=True, compressor=lambda: Compressor(H2O(), budget=104, interval=56))
    return Service(course, settings, requests=4, every=0).run()


def last(running):
    return running[-1]


@pytest.fixture
def limited(preempted):
    """With a limit of 8 nobody is short of blocks: eight begin at once, and each of the others when one ends."""
    started = [14 * i if i < 8 else 224 + 14 * (i - 8) for i in range(16)]
    requests = [service.Request(None, 14 * i, first, finished=first + 223) for i, first in enumerate(started)]
    return replace(preempted, requests=requests, right=16)


@pytest.fixture(scope="module")
def preempted(course):
    return Service(course, Settings(who_goes=last)).run()


# --- The evidence is real --------------------------------------------------------------------------------------------
def test_the_service_dies_again_as_saved(evening):
    steps = [line for line in EVIDENCE.log if " step " in line]
    assert evening.log == steps
    assert evening.died_at == lab.DIED_AT and evening.right == 0
    assert evening.held[-1] == evening.num_blocks == lab.NUM_BLOCKS


def test_the_traces_come_out_again_as_saved(evening):
    came = [request for request in evening.requests if request.cache is not None]
    assert [request.arrived for request in came] == EVIDENCE.arrived
    assert len(came) == lab.STOPPED_WITH
    for request, trace in zip(came, EVIDENCE.traces, strict=True):
        assert request.trace.tokens == trace.tokens
        assert request.trace.prompt_length == trace.prompt_length
        for name in TRACE_COLUMNS:
            assert getattr(request.trace, name) == getattr(trace, name), name


def test_the_saved_file_says_how_it_was_made_and_is_small():
    saved = read("service")
    assert saved["command"] == "python -m helpers.experiments.service"
    assert saved["machine"]["torch"] and saved["date"]
    assert (FOLDER / "service.json").stat().st_size < 60_000
    assert EVIDENCE.pool_bytes == service.POOL_BYTES
    assert "torch" in EVIDENCE.made_on


def test_the_process_s_memory_in_the_log_is_what_was_weighed():
    lines = {"imports": 0, "weights": 1, "pool": 2, "ready": 3, "died": -1}
    for moment, index in lines.items():
        assert EVIDENCE.log[index].endswith(f"process memory {EVIDENCE.process_bytes[moment] / MiB:.1f} MiB")
    assert f"weights loaded, {EVIDENCE.weights_bytes / MiB:.2f} MiB" in EVIDENCE.log[1]
    assert f"192 blocks of 16 slots, {EVIDENCE.pool_bytes / MiB:.2f} MiB" in EVIDENCE.log[2]


def test_what_is_recorded_has_the_form_of_what_is_saved(monkeypatch):
    monkeypatch.setattr(service, "REQUESTS", 2)
    monkeypatch.setattr(service.Service, "run", lambda self, steps=None: evening_of_three_steps(self))
    found, saved = service.evening(), read("service")
    assert set(found) < set(saved)
    assert set(found["process_bytes"]) == set(saved["process_bytes"])
    assert [set(request) for request in found["requests"]] == [set(saved["requests"][0])]
    assert found["process_bytes"]["imports"] > 50 * MiB
    assert found["log"][-1].startswith("ERROR service stopped: process memory ")


RUN = Service.run


def evening_of_three_steps(self):
    return RUN(self, steps=3)


# --- The service -----------------------------------------------------------------------------------------------------
def test_everybody_asks_the_same_worksheet_for_another_name(course):
    sheets = service.questions(16)
    prompts = [course.prompt_ids(sheet)[0].tolist() for sheet in sheets]
    assert {len(prompt) for prompt in prompts} == {lab.PROMPT}
    assert len({tuple(prompt[:-1]) for prompt in prompts}) == 1
    assert len({prompt[-1] for prompt in prompts}) == 16
    for sheet in sheets:
        assert f"= {sheet.prompt.split()[-1]} {sheet.answer} ;" in sheet.thought
        assert grade(sheet, f"answer {sheet.prompt.split()[-1]} {sheet.answer}")


def test_a_request_that_is_answered_has_362_tokens_and_gives_all_blocks_back(course):
    report = Service(course, requests=2, every=3).run()
    assert report.right == 2 and report.died_at is None
    assert [request.trace.tokens_seen[-1] for request in report.requests] == [lab.LENGTH] * 2
    assert [request.trace.blocks_held[-1] for request in report.requests] == [lab.FINISHED] * 2
    assert report.held[-1] == 0 and report.peak == 2 * lab.FINISHED
    assert [request.finished for request in report.requests] == [223, 226]
    assert report.steps == 227
    assert str(report) == "all done after 227 steps; peak 46 of 192 blocks; 2 of 2 answers right"


def test_with_a_limit_the_others_wait_and_all_are_answered(course):
    report = Service(course, Settings(max_running=1), requests=2, every=0).run()
    assert [request.started for request in report.requests] == [0, 224]
    assert report.right == 2 and report.peak == lab.FINISHED
    assert "running  1, waiting  1" in report.log[0]


def counted(who):
    """As in lesson 06, which holds its lines to vLLM's own figures; ``who`` is the place of the one who goes."""

    def step(pool, waiting, running):
        for request in list(running):
            while request in running and request.table.blocks_needed(1) > pool.num_free_blocks:
                gone = [each for each in running if each.table.num_slots < each.end - 1][
                    who
                ]  # who is done leaves anyway
                running.remove(gone)
                waiting.insert(0, gone)
                gone.table.truncate(0)
            if request in running:
                request.table.append()
        while waiting and blocks_for(waiting[0].tokens, pool.block_size) <= pool.num_free_blocks:
            running.append(waiting.pop(0))
            running[-1].table.append(running[-1].tokens)

    return serve(step, BlockPool(192), arrivals=range(0, 224, 14), prompt=lab.PROMPT, answer=224)


def test_who_is_sent_away_is_as_lesson_06_counts_it(preempted):
    found = counted(-1)
    assert preempted.held == found.held and preempted.died_at is None and preempted.peak == 192
    for request, expected in zip(preempted.requests, found.requests, strict=True):
        assert (request.sent_away, request.read_again) == (expected.sent_away, expected.read_again)
    assert preempted.right == 16


def test_a_thought_that_is_read_again_goes_on_as_it_was(evening, preempted):
    """That evening's traces end with its death; up to there everybody said the same."""
    for before, after in zip(evening.requests, preempted.requests, strict=True):
        said = before.trace.tokens[0]
        assert after.trace.tokens[0][: len(said)] == said


def test_only_some_pay_and_nobody_as_much_as_with_the_limit(preempted):
    took = [request.finished - request.arrived + 1 for request in preempted.requests]
    assert took[:10] == [224] * 10 and max(took) < 300 and min(took[10:]) > 224


def test_to_send_the_first_away_takes_longer_than_the_limit():
    found = counted(0)
    assert 546 < len(found.held) < 555  # "some 550"
    assert sum(request.read_again for request in found.requests) > 2_000


def test_who_goes_must_pick_one_that_runs_and_one_alone_has_nobody_to_send(course, monkeypatch):
    monkeypatch.setattr(service, "POOL_BYTES", 20 * 16 * 2048)
    with pytest.raises(ValueError, match="who_goes gives 0, which is none of the requests that run"):
        Service(course, Settings(who_goes=lambda running: 0), requests=2, every=0).run()
    alone = Service(course, Settings(who_goes=last), requests=1).run()
    assert alone.died_at == 20 * 16 - lab.PROMPT + 1 and "out of blocks" in alone.log[-1]


def test_who_is_sent_away_comes_back_to_the_shared_prefix(course, monkeypatch):
    monkeypatch.setattr(service, "POOL_BYTES", 28 * 16 * 2048)
    report = Service(course, Settings(share_prefix=True, who_goes=last), requests=2, every=0).run(steps=160)
    first, second = report.requests
    assert report.died_at is None and (first.sent_away, second.sent_away) == (0, 1)
    [gone] = [line for line in report.log if "sent away" in line]
    assert gone.endswith("the request of step   0 is sent away with 134 rows")  # 272 less the prefix, which stays
    assert second.read_again == 0  # it still waits for the first to end


def test_forks_hold_the_prefix_once_and_answer_alike(course):
    report = Service(course, Settings(share_prefix=True), requests=2, every=0).run()
    assert report.right == 2
    assert report.peak == 9 + 2 * 15
    assert report.held[-1] == 9  # the service keeps the prefix
    alone = Service(course, requests=1).run()
    assert report.requests[0].trace.tokens == alone.requests[0].trace.tokens


def test_who_compresses_gives_blocks_back(evicted):
    assert evicted.died_at is None
    for request in evicted.requests:
        done = list(request.trace.compressions.values())
        assert [compression.tokens_evicted for compression in done] == [56] * len(done)
        assert len(done) >= 1 and request.trace.blocks_freed == 3 * len(done)


def test_without_compaction_nothing_comes_back_and_it_holds_as_much_as_without_eviction(course):
    def without():
        return Compressor(H2O(), budget=104, interval=56, compact=False)

    runs = [
        Service(course, Settings(share_prefix=True, compressor=make), requests=2, every=0).run(steps=170)
        for make in (None, without)
    ]
    assert runs[0].held == runs[1].held
    assert len(runs[1].requests[0].trace.compressions) == 1
    assert sum(request.trace.blocks_freed for request in runs[1].requests) == 0


def test_smaller_rows_make_more_blocks_of_the_same_bytes(course):
    blocks = {name: Settings(kv_format=name).num_blocks(course.shape) for name in ("fp16", "fp32", "q8_0", "fp8_e4m3")}
    assert blocks == {"fp16": 192, "fp32": 96, "q8_0": 361, "fp8_e4m3": 384}
    with_q8_0 = Service(course, Settings(kv_format="q8_0"), requests=1)
    assert service.POOL_BYTES - lab.Q8_0_BLOCK < with_q8_0.root.stats().bytes_reserved <= service.POOL_BYTES


def test_settings_refuse_what_cannot_be(course):
    with pytest.raises(ValueError, match="max_running is 0"):
        Settings(max_running=0)
    with pytest.raises(ValueError, match="each request needs a compressor of its own"):
        Settings(compressor=Compressor(H2O(), 104))
    with pytest.raises(ValueError, match="who_goes must be a function"):
        Settings(who_goes="the last")
    with pytest.raises(ValueError, match="choose who_goes or compressor"):
        Settings(who_goes=last, compressor=lambda: Compressor(H2O(), 104))


def test_an_admission_looks_at_the_prompt_alone(course, monkeypatch):
    """A pool with room for two prompts and not for two thoughts lets two in; the third waits."""
    monkeypatch.setattr(service, "POOL_BYTES", 20 * 16 * 2048)
    report = Service(course, requests=3, every=0).run()
    assert report.num_blocks == 20
    assert "running  2, waiting  1" in report.log[0]
    assert report.died_at == 22 and "out of blocks: 1 needed, 0 free, 20 held" in report.log[-1]
    assert str(report).startswith("died in step 22; peak 20 of 20 blocks")


# --- What the checks count with --------------------------------------------------------------------------------------
def test_the_checks_numbers_are_the_service_s(course):
    assert {trace.prompt_length for trace in EVIDENCE.traces} == {lab.PROMPT}
    assert Settings().num_blocks(course.shape) == lab.NUM_BLOCKS
    assert course.shape.bytes(16, kv_format="q8_0") == lab.Q8_0_BLOCK
    assert f"step {lab.DIED_AT:4}: out of blocks" in EVIDENCE.log[-2]
    assert (lab.FINISHED, lab.SHARED) == (23, 8)


def test_the_peak_of_sixteen_is_the_pool_s_own(course):
    """Four requests in step: the last to come to its largest meets the others one row below it, or compressed."""
    for budget, interval in ((104, 56), (60, 38), (61, 38)):
        settings = Settings(share_prefix=True, compressor=lambda b=budget, i=interval: Compressor(StreamingLLM(), b, i))
        report = Service(course, settings, requests=3, every=0).run(steps=budget + interval + 2)
        rows = lab.PROMPT + budget + interval
        expected = 9 + 2 * (-(-(rows - 1) // 16) - 8) + (-(-rows // 16) - 8)
        assert report.peak == expected
    assert lab.peak_of_sixteen(299) == 185 and lab.peak_of_sixteen(305) == 186 and lab.peak_of_sixteen(306) == 201


# --- Right answers ---------------------------------------------------------------------------------------------------
def read_line(line):
    found = re.search(r"step +(\d+): running +(\d+), waiting +(\d+),.*?([\d.]+)%", line)
    if not found:
        return None
    keys = ("step", "running", "waiting")
    return dict(zip(keys, map(int, found.groups()), strict=False)) | {"usage": float(found[4]) / 100}


def blocks_at(step):
    return sum(-(-(139 + step - 14 * i) // 16) for i in range(16) if 14 * i <= step)


PROCESS = EVIDENCE.process_bytes["died"]
REST = 9.79 * MiB
BUDGET = MemoryBudget(PROCESS - REST, 3.79 * MiB, 6 * MiB / 13, 13)


def make_compressor():
    return Compressor(H2O(), budget=104, interval=56)


RIGHT = [
    ("check_read_line", read_line, 3),
    ("check_budget", BUDGET, 4),
    ("check_blocks_at", blocks_at, 3),
    ("check_compressor", make_compressor, 3),
]


@pytest.mark.parametrize(("check", "answer", "stages"), RIGHT)
def test_a_right_answer_passes_every_stage(check, answer, stages, capsys):
    getattr(lab, check)(answer)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == stages and all(line.endswith(": right.") for line in lines)


@pytest.mark.parametrize("check", ["check_read_line", "check_blocks_at", "check_compressor"])
def test_a_stub_stops_with_its_sentence(check):
    def untouched(*args):
        raise NotImplementedError("Write it.")

    with pytest.raises(NotImplementedError, match="Write it"):
        getattr(lab, check)(untouched)


@pytest.mark.parametrize("check", ["check_read_line", "check_blocks_at", "check_compressor"])
@pytest.mark.parametrize("constant", [None, 0, 192, {}, [], "192"])
def test_a_constant_is_told_so_in_one_line(check, constant, capsys):
    getattr(lab, check)(lambda *args: constant)
    assert "Not yet" in capsys.readouterr().out.splitlines()[-1]


# --- Wrong diagnoses -------------------------------------------------------------------------------------------------
def changed(**terms):
    return replace(BUDGET, **{name: value * MiB if name != "sequences" else value for name, value in terms.items()})


def compressor(**options):
    return lambda: Compressor(H2O(), **{"budget": 104, "interval": 56} | options)


ONE, POLICY = make_compressor(), H2O()
TO_MB = 1e6 / MiB
WRONG = [
    ("check_read_line", lambda line: (found := read_line(line)) and found | {"usage": 100 * found["usage"]}, "a share"),
    ("check_read_line", lambda line: (r := read_line(line)) and {k: str(v) for k, v in r.items()}, "which is text"),
    (
        "check_read_line",
        lambda line: (r := read_line(line)) and r | {"running": r["waiting"], "waiting": r["running"]},
        "have changed places",
    ),
    ("check_read_line", lambda line: read_line(line) or {}, "says nothing about running and waiting: None, not {}"),
    ("check_read_line", lambda line: (r := read_line(line)) and tuple(r.values()), "gives a dict"),
    ("check_read_line", lambda line: {"step": int(line.split()[2][:-1])}, "the keys are step, running, waiting, usage"),
    (
        "check_read_line",
        lambda line: {"step": int(re.search(r"step +(\d+)", line)[1])} | (read_line(line) or {}),
        "raised TypeError",
    ),
    ("check_budget", (1, 2, 3), "a MemoryBudget is asked for, not tuple"),
    ("check_budget", MemoryBudget(361.2, 3.79, 6 / 13, 13), "yours are in MiB"),
    (
        "check_budget",
        MemoryBudget(*(term * TO_MB for term in (BUDGET.overhead, BUDGET.weights, BUDGET.cache_per_sequence)), 13),
        "you took MB, 10**6 bytes",
    ),
    (
        "check_budget",
        MemoryBudget(*(term * 1024 for term in (BUDGET.overhead, BUDGET.weights, BUDGET.cache_per_sequence)), 13),
        "you took GiB",
    ),
    ("check_budget", changed(weights=16.2), "what else came with them is overhead"),
    ("check_budget", changed(overhead=PROCESS / MiB), "take weights and pool off"),
    ("check_budget", changed(overhead=PROCESS / MiB - 3.79), "the pool is part of the process's memory"),
    ("check_budget", changed(overhead=PROCESS / MiB - 6), "the weights are part of the process's memory"),
    (
        "check_budget",
        changed(overhead=EVIDENCE.process_bytes["ready"] / MiB - 9.79),
        "that was when it was ready",
    ),
    ("check_budget", changed(overhead=300), "overhead is 300.00 MiB in your budget"),
    ("check_budget", changed(sequences=16), "16 were to come that evening, but 13 were running"),
    ("check_budget", changed(cache_per_sequence=6), "you gave it to each, 78 MiB in all"),
    ("check_culprit", "weights", "What stands still fills nothing up"),
    ("check_culprit", "overhead", "the largest need not be the one that grows"),
    ("check_culprit", "the pool", "you blame 'the pool'"),
    ("check_culprit", None, "you blame None"),
    ("check_blocks_at", lambda t: sum(range(t)), "work this step out by hand"),
    ("check_blocks_at", lambda t: sum(-(-(t - a) // 16) for a in range(0, t + 1, 14)), "the prompts are missing"),
    (
        "check_blocks_at",
        lambda t: sum(-(-(139 + t - a) // 16) for a in range(0, t, 14)),
        "reads its prompt in this step",
    ),
    ("check_blocks_at", lambda t: sum(-(-(139 + t - 14 * i) // 16) for i in range(16)), "not all of them have come"),
    ("check_blocks_at", lambda t: 16 * -(-(139 + t) // 16), "they do not come all at once"),
    ("check_blocks_at", lambda t: -(-sum(lab._rows_at(t)) // 16), "each request rounds up for itself"),
    ("check_blocks_at", lambda t: sum(rows // 16 for rows in lab._rows_at(t)), "round up, not down"),
    ("check_blocks_at", lambda t: sum(lab._rows_at(t)), "those are tokens"),
    ("check_blocks_at", lambda t: sum(-(-(rows + 1) // 16) for rows in lab._rows_at(t)), "one token too many"),
    ("check_blocks_at", lambda t: sum(-(-(rows - 1) // 16) for rows in lab._rows_at(t)), "one token too few"),
    ("check_blocks_at", lambda t: -(-(139 + t) // 16), "that is the first request alone"),
    ("check_blocks_at", lambda t: 1 // 0, "raised ZeroDivisionError"),
    ("check_death_step", 175, "the last step that still fits"),
    ("check_death_step", 177, "one step late"),
    ("check_death_step", 223, "the pool is full before that"),
    ("check_limit", 9, "9 x 23 = 207 blocks; there are 192. Round down"),
    ("check_limit", 192 / 23, "only whole requests run"),
    ("check_limit", 21, "that counts prompts alone, as the service did"),
    ("check_limit", 13, "so many were running when it died"),
    ("check_limit", 10, "would have got through that evening"),
    ("check_limit", 192 * 16 / 362, "that counts tokens"),
    ("check_limit", 7, "one more fits"),
    ("check_shared_peak", 368, "without sharing"),
    ("check_shared_peak", 240, "the prefix is held too"),
    ("check_shared_peak", 233, "each request copies it"),
    ("check_shared_peak", 248, "the service keeps the prefix's ninth block too"),
    ("check_shared_peak", 377, "count the prefix once"),
    ("check_shared_peak", 24, "that is one request"),
    ("check_q8_blocks", 384, "q8_0 takes 8.5 bits for a number, not 8"),
    ("check_q8_blocks", 6 * MiB / 17_408, "only whole blocks count"),
    ("check_q8_blocks", 102, "smaller rows make more blocks"),
    ("check_q8_blocks", 192, "in fp16"),
    ("check_q8_blocks", 6_000_000 // 17_408, "6 MiB, not 6 MB"),
    ("check_compressor", lambda: ONE, "a compressor and a policy of its own"),
    ("check_compressor", lambda: Compressor(POLICY, 104, 56), "make both inside the function"),
    ("check_compressor", lambda: H2O(), "gives a Compressor, not H2O"),
    ("check_compressor", compressor(compact=False), "evicted without compaction"),
    ("check_compressor", compressor(protect_prompt=False), "evicted and moved as well"),
    ("check_compressor", compressor(interval=64), "Sixteen and the prefix come to 201 of 192 blocks"),
    ("check_compressor", compressor(interval=128), "a thought has 223, so it never does"),
    ("check_compressor", compressor(budget=8), "raised ValueError: protect_recent is 16"),
]


@pytest.mark.parametrize(("check", "answer", "message"), WRONG)
def test_a_wrong_diagnosis_gets_the_line_meant_for_it(check, answer, message, capsys):
    getattr(lab, check)(answer)
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert "Not yet: " in last and message in last


@pytest.mark.parametrize(
    ("check", "answer", "message"),
    [
        ("check_culprit", "cache", "Right: the cache went from nothing to 192 blocks, 3,072 slots"),
        ("check_culprit", " Cache ", "Right"),
        ("check_death_step", 176, "Right: 176 steps."),
        ("check_limit", 8, "Right: 8 requests."),
        ("check_shared_peak", 249, "Right: 249 blocks."),
        ("check_q8_blocks", 361, "Right: 361 blocks."),
        ("check_compressor", compressor(interval=62), "Stage 3 of 3, sixteen in 192 blocks: right."),
    ],
)
def test_a_right_diagnosis_is_called_right(check, answer, message, capsys):
    getattr(lab, check)(answer)
    assert message in capsys.readouterr().out.splitlines()[-1]


def test_blocks_back_are_neither_tokens_nor_compressions(evicted, capsys):
    done = sum(len(request.trace.compressions) for request in evicted.requests)
    answers = {
        3 * done: "Right",
        56 * done: "those are evicted tokens; count the blocks that came back",
        3.5 * done: "were they side by side",
        done: "those are compressions",
        3 * done * 32_768: "those are bytes",
        3 * done / 4: "that is one request",
    }
    for answer, message in answers.items():
        lab.check_blocks_back(answer, evicted)
        assert message in capsys.readouterr().out


def test_the_stretch_wants_all_at_once_alive_unwaiting_and_right(course, evening, capsys):
    def said(report):
        runs.check_sixteen(report)
        return capsys.readouterr().out

    assert "to come at once: Service(course, mine, every=0)" in said(evening)
    report = Service(course, Settings(share_prefix=True), every=0).run(steps=1)
    assert "16 answers are wrong" in said(report)
    assert "it died in step 5, with 192 blocks" in said(replace(report, died_at=5))
    assert "Right: all at once, 16 right answers, peak 25 of 192 blocks" in said(replace(report, right=16))
    report.requests[3].started = 7
    report.requests[5].sent_away = 1
    assert "2 of 16 had to wait" in said(report)


# --- Sending away ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("who_goes", "message"),
    [
        (last, "Stage 3 of 3, the last of two: right."),
        (lambda running: max(running, key=lambda request: request.arrived), "right."),
        (lambda running: min(running, key=lambda request: len(request.trace.tokens[0])), "right."),
        (lambda running: running.pop(), "right."),
        (lambda running: running[0], "sends the first away: it is nearest to its answer"),
        (lambda running: running[1], "sends the one of step 14 away; somebody came later."),
        (lambda running: running[:1], "gives a list; one request is asked for."),
        (lambda running: len(running) - 1, "gives 2; the request itself is asked for, not its number."),
        (lambda running: None, "gives nothing back: is there a return?"),
        (lambda running: running.arrived, "raised AttributeError: 'list' object has no attribute 'arrived'"),
    ],
)
def test_who_goes_is_judged(who_goes, message, capsys):
    runs.check_who_goes(who_goes)
    assert message in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("latency", "message"),
    [
        (lambda r: r.finished - r.arrived + 1, "Stage 3 of 3, all of your run: right."),
        (lambda r: r.finished - r.arrived, "not 224: the step in which it came counts too"),
        (lambda r: r.finished, "that is the step of the answer; it came later than step 0"),
        (lambda r: r.finished - r.started + 1, "who waits at the gate is waiting too"),
        (lambda r: r.finished - r.started, "not 224: the step in which it came counts too"),
        (lambda r: None, "latency gives None; a number of steps is asked for."),
    ],
)
def test_a_latency_is_judged(latency, message, limited, capsys):
    runs.check_latency(latency, limited)
    assert message in capsys.readouterr().out.splitlines()[-1]


def test_answers_are_held_to_those_of_a_run_in_which_nobody_is_short(limited, preempted, capsys):
    def said(*arguments):
        runs.check_answers(*arguments)
        return capsys.readouterr().out

    assert said(preempted, limited) == "Right: 16 of 16 answers are right; where nobody is short of blocks, 16 are.\n"
    one_less = replace(preempted, right=15)
    assert said(one_less, limited).startswith("Not yet: 15 of 16") and "at least 16 are asked for." in said(
        one_less, limited
    )
    assert said(replace(preempted, right=12), limited, 3 / 4).startswith("Right: 12 of 16")
    assert "at least 12 are asked for. Keep more of each thought" in said(replace(preempted, right=11), limited, 3 / 4)
    assert "it died in step 5" in said(replace(preempted, died_at=5), limited, 3 / 4)


# --- The picture -----------------------------------------------------------------------------------------------------
def test_the_picture_draws_each_run_and_where_it_died():
    figure = blocks_over_steps({"one": [1, 3, 5], "two": [1, 2, 2, 0]}, 5, {"one": 2})
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    [ax] = figure.axes
    drawn = {line.get_label(): [list(map(float, data)) for data in line.get_data()] for line in ax.lines}
    assert drawn["one"] == [[0, 1, 2], [1, 3, 5]]
    assert drawn["two"] == [[0, 1, 2, 3], [1, 2, 2, 0]]
    assert drawn["out of blocks"] == [[2], [5]]
    assert set(drawn["the pool: 5 blocks"][1]) == {5}


def test_the_picture_of_latencies_has_a_dot_for_each_request():
    figure = latency_by_request({"one": [3, 4, 9], "two": [3, 3, 3]}, 3, "Who pays")
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    [ax] = figure.axes
    drawn = {line.get_label(): list(map(float, line.get_ydata())) for line in ax.lines}
    assert drawn == {"never waits: 3": [3, 3], "one": [3, 4, 9], "two": [3, 3, 3]}
    assert ax.get_title() == "Who pays" and ax.get_ylim()[1] > 9


# --- Prose -----------------------------------------------------------------------------------------------------------
def test_the_numbers_in_the_words_of_the_lab(preempted):
    process = {moment: value / MiB for moment, value in EVIDENCE.process_bytes.items()}
    assert round(process["weights"] - process["imports"]) == 16  # "16 MiB at a stroke"
    assert f"{process['died']:.1f}" == "371.0"  # the master's solution takes it from the log
    assert process["died"] - process["ready"] < 2  # "stood still all evening"
    assert (process["died"] - 9.79) / process["died"] > 0.95  # "nearly all"
    assert EVIDENCE.traces[0].tokens_seen[-1] == 315
    assert 16 * 23 - 361 == 7 and 249 - 192 == 57
    said = "\n".join(output_text(output) for _, _, output in outputs(read_notebook(MASTER)))
    assert "all done after 546 steps; peak 160 of 192 blocks; 16 of 16" in said and preempted.steps == 498
    assert 1.2 < 546 / 434 < 1.3  # "a quarter later"
    assert sum(request.read_again for request in preempted.requests) == 972
    gone = [line for line in preempted.log if "sent away" in line]
    assert gone[0].startswith("WARN  step  176") and "of step 168 is sent away with 146 rows" in gone[0]
    assert max(int(re.search(r"with (\d+) rows", line)[1]) for line in gone) + 1 == 203  # and the newest token
    assert 15 * 14 + 223 == 433
    assert all("waiting  0" in line for line in EVIDENCE.log if "waiting" in line)

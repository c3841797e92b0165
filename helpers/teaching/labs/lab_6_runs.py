"""Checks of lab 6 on whole runs: who is sent away, how long each request took, how many answers are right."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from helpers.experiments.service import Report, Request, questions
from helpers.measuring.trace import Trace
from helpers.records.service import EVERY, REQUESTS
from helpers.teaching.attempts import attempt, is_number, need
from helpers.teaching.checks import check_stages, in_one_line, stage

Function = Callable[..., Any]


# --- Part 5: send one away -------------------------------------------------------------------------------------------
def check_who_goes(who_goes: Function) -> None:
    """``who_goes(running)``: of the requests that run, the one that came last."""
    check_stages(
        stage("one of those that run", _goes, who_goes, [0, 14, 28]),
        stage("thirteen, as that evening", _goes, who_goes, [EVERY * i for i in range(13)]),
        stage("the last of two", _goes, who_goes, [84, 98]),
    )


def _request(arrived: int, step: int) -> Request:
    """A request in the middle of its thought: it has decoded a token in every step since it came."""
    trace = Trace(139, [[7] * (step - arrived + 1)])
    return Request(questions(1)[0], arrived, started=arrived, trace=trace)


def _goes(who_goes: Function, arrived: list[int]) -> None:
    running = [_request(came, arrived[-1] + 8) for came in arrived]
    case = f"who_goes, for requests of the steps {', '.join(map(str, arrived))},"
    found = attempt(case, who_goes, list(running))
    need(found is not None and found is not ..., f"{case} gives nothing back: is there a return?")
    need(not isinstance(found, list), f"{case} gives a list; one request is asked for.")
    known = any(found is request for request in running)
    need(known, f"{case} gives {found!r:.40}; the request itself is asked for, not its number.")
    need(
        found is not running[0],
        f"{case} sends the first away: it is nearest to its answer, and has the most rows to compute again.",
    )
    need(found is running[-1], f"{case} sends the one of step {found.arrived} away; somebody came later.")


def check_latency(latency: Function, report: Report) -> None:
    """``latency(request)``: steps from its arrival to its answer, both counted."""
    check_stages(
        stage("who never waited", _latency, latency, _ended(14, 14, 237)),
        stage("who waited at the gate", _latency, latency, _ended(28, 224, 447)),
        stage("all of your run", _latencies, latency, report),
    )


def _ended(arrived: int, started: int, finished: int) -> Request:
    return Request(questions(1)[0], arrived, started=started, finished=finished)


def _latency(latency: Function, request: Request) -> None:
    case = f"came in step {request.arrived}, let in in step {request.started}, answered in step {request.finished}"
    found = attempt(case, latency, request)
    right = request.finished - request.arrived + 1
    mistakes = {
        request.finished: "that is the step of the answer; it came later than step 0",
        request.finished - request.started + 1: "who waits at the gate is waiting too: count from its arrival",
        request.finished - request.started: "count from its arrival, and count that step too",
        right - 1: "the step in which it came counts too",
    }
    need(is_number(found), f"{case}: latency gives {found!r:.40}; a number of steps is asked for.")
    need(found == right, f"{case}: that is {found:g} in yours, not {right}: {mistakes.get(found, 'count again')}.")


def _latencies(latency: Function, report: Report) -> None:
    for request in report.requests:
        _latency(latency, request)


# --- Right answers ---------------------------------------------------------------------------------------------------
@in_one_line
def check_answers(report: Report, unhurried: Report, share: float = 1.0) -> str:
    """How many answers of a run are right, beside a run in which nobody was ever short of blocks.

    Args:
        report: the run that is judged.
        unhurried: the same sixteen, with blocks for everybody who was let in.
        share: of the answers that were right there, how many must be right here.
    """
    asked, least = len(report.requests), ceil(share * unhurried.right)
    need(report.died_at is None, f"it died in step {report.died_at}, with {report.num_blocks} blocks.")
    told = f"{report.right} of {asked} answers are right; where nobody is short of blocks, {unhurried.right} are"
    advice = "" if share == 1 else " Keep more of each thought: a larger budget, and a smaller interval for it."
    need(report.right >= least, f"{told}, and at least {least} are asked for.{advice}")
    return f"{told}."


@in_one_line
def check_sixteen(report: Any) -> str:
    """Sixteen at once: nobody dies, nobody waits, all answers right."""
    at_once = {request.arrived for request in report.requests} == {0} and len(report.requests) == REQUESTS
    waited = sum(request.started != request.arrived or request.sent_away > 0 for request in report.requests)
    need(at_once, f"{REQUESTS} requests are to come at once: Service(course, mine, every=0).")
    need(report.died_at is None, f"it died in step {report.died_at}, with {report.num_blocks} blocks.")
    need(not waited, f"{waited} of {len(report.requests)} had to wait.")
    wrong = len(report.requests) - report.right
    need(wrong <= 0, f"it lived, but {wrong} answers are wrong.")
    return f"all at once, {report.right} right answers, peak {report.peak} of {report.num_blocks} blocks."

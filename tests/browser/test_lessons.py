"""Lessons as a reader meets them: in JupyterLab, in a real browser, with every control turned.

Needs a Chromium (``chromium``, ``chromium-browser`` or ``google-chrome``, or the one that CHROMIUM names). A lesson
without a row in ``CONTROLS`` still has to run without an error.
"""

import re
from collections.abc import Callable
from functools import cache
from statistics import median, quantiles
from typing import Any, NamedTuple

from helpers.arithmetic.plan_report import report
from helpers.eviction import TriAttention
from helpers.experiments.windows import windows
from helpers.models import gold_ids, load_reasoner, load_smollm2, make_worksheets
from helpers.teaching import journal
from helpers.teaching.journal import Journal
from helpers.teaching.quiz import QUESTIONS
from helpers.widgets import blocks, floors, memory, mistakes, own_plan, planner, told_early
from helpers.widgets.compression import N_SHEETS, compression_frame
from helpers.widgets.living.attention_words import attend, verdict
from helpers.widgets.living.shared_heads import count
from helpers.widgets.living.stored_row import store
from tests.browser import jupyter

OVERHEADS = dict(planner.OVERHEADS)  # bytes, from the least to the most
PATIENCE = 180.0  # seconds for a run of worksheets that takes three on a free machine
# What the argument of a lesson's frame is called whose control has another label.
ARGUMENTS = {
    "weights": "weight_format",
    "KV format": "kv_format",
    "shared prefix": "shared",
    "second model": "second_model",
    "tokens/s wanted": "wanted",
    "tokens kept": "kept",
    "block size": "block_size",
    "asked for": "fact",
    "rows kept": "kept",
}


# --- A control, and what its caption must say ------------------------------------------------------------------------
@cache
def calibrated():
    """The reasoner's scores."""
    reasoner = load_reasoner()
    texts = gold_ids(reasoner, make_worksheets(32, 40, 11, held_out=False))
    return TriAttention.calibrate(reasoner.model, texts)


def compression_of(**values):
    return compression_frame(calibrated(), **values)


@cache
def reading():
    """What lesson 09's control reads, under which scores: SmolLM2, its policy, the text."""
    loaded = load_smollm2()
    policy = TriAttention.calibrate(loaded.model, windows(loaded, "course", 1, 512))
    return loaded, policy, windows(loaded, "english", 1, 384)


def floors_of(**values):
    return floors.floors_frame(*reading(), **values)


def run_worksheets(cell, move, picture_too):
    """As ``press_after``, the button that runs worksheets."""
    return press_after(cell, move, f"run {N_SHEETS} worksheets")


def read_a_text(cell, move, picture_too):
    """As ``press_after``, the button that reads a text."""
    return press_after(cell, move, "read 384 tokens")


def press_after(cell, move, name):
    """Move a control, see that nothing is drawn yet, press the button; milliseconds until the caption is there."""
    before = jupyter.caption(cell)
    move()
    cell.page.wait_for_timeout(100)
    assert jupyter.caption(cell) == before
    press = cell.get_by_role("button", name=name).click
    time = jupyter.turn(cell, press, picture_too=False, redraw=PATIENCE)
    done = cell.locator(".widget-hprogress, .jupyter-widget-hprogress").locator(".progress-bar")
    assert "100%" in done.get_attribute("style")
    return time


class Control(NamedTuple):
    """A group of controls of one lesson, found by the label that it is walked along first; no other group has it.

    ``frame`` gives picture and caption for the controls' values; ``walk``, ``still`` and what ``how`` holds are as
    ``turn_everything`` takes them.
    """

    lesson: str
    walk: tuple[str, ...]
    frame: Callable[..., tuple[Any, str]]
    still: tuple[str, ...] = ()
    how: dict[str, Any] = {}

    def values(self, cell):
        """What the controls say they are set to, as ``frame`` takes it."""
        return {ARGUMENTS.get(label, label): parse(text) for label, text in jupyter.settings(cell).items()}

    def check(self, cell):
        """The whole caption is the one that belongs to what the controls say."""
        try:
            said = self.frame(**self.values(cell))[1]
        except ValueError as error:
            said = f"Not possible: {error}."
        assert jupyter.caption(cell) == said

    def turn(self, page):
        """Milliseconds of every move of every control of the group."""
        cell = jupyter.find_control(page, self.walk[0])
        return jupyter.turn_everything(cell, self.check, self.walk, self.still, **self.how)


def parse(text):
    """The value that a control shows as ``text``: a number if it is one, an overhead, a share, or the words."""
    digits = text.replace(",", "")
    if text in OVERHEADS:
        return OVERHEADS[text]
    if text.endswith("%"):
        return int(text.removesuffix("%")) / 100
    return int(digits) if digits.isdigit() else {"nothing": 0}.get(text, text)


ENDS = jupyter.KINDS  # at both kinds' ends the picture may stay
SLOW = {"turn": run_worksheets, "n_steps": 10}
PLAN = Control("12", ("context",), own_plan.home_frame, ENDS)
CONTROLS = [
    Control("01", ("sequences",), memory.wall_frame, ("dropdown",)),
    Control("03", ("mistake",), mistakes.mistake_frame, ("dropdown",)),
    Control("04", ("sequences",), planner.plan_frame, ("slider",), how={"last": "End"}),  # alone, one shares nothing
    Control("06", ("prompt",), blocks.pool_frame, ("slider",)),
    Control("09", ("budget",), floors_of, how=SLOW | {"turn": read_a_text}),
    Control("10", ("asked for",), told_early.answer_frame),
    Control("10", ("budget",), compression_of, how=SLOW),
    PLAN,
]


# --- A living picture, and what it says after one move ----------------------------------------------------------------
class Living(NamedTuple):
    """A living picture of one lesson: what of it is moved, found by role and name, by which key, and what it then says.

    The figures are Python's, so what is said shows that the kernel was asked where the picture asks it.
    """

    lesson: str
    role: str
    name: str
    key: str
    said: str

    def turn(self, figure):
        """Press the key, and wait for the words."""
        figure.scroll_into_view_if_needed()
        line = figure.locator(".living-line", has_text=re.compile(r"\w"))  # the kernel has counted for it
        line.wait_for(timeout=1e3 * jupyter.REDRAW)
        assert self.said not in line.text_content()
        figure.get_by_role(self.role, name=self.name).first.press(self.key)
        figure.locator(".living-line", has_text=self.said).wait_for(timeout=1e3 * jupyter.REDRAW)


LIVING = [  # in each lesson from top to bottom
    Living("01", "slider", "the query", "ArrowUp", verdict(attend((0.5, -1.6))["shares"])),
    Living("01", "slider", "tokens written", "ArrowLeft", "191 tokens on 12 floors"),
    Living("02", "slider", "let them share", "ArrowRight", count("SmolLM2-135M", 3)["line"]),
    Living("04", "slider", "already in the cache", "ArrowLeft", "H200 64.8, M4 Max 128GB 7.4, Strix Halo 128GB 3.5."),
    Living("05", "radio", "q4_0", "ArrowRight", store("nvfp4", "second", 19, 1)["line"]),
    Living("05", "radio", "q4_0", "ArrowRight", store("nvfp4", "second", 19, 1)["line"]),
    Living("06", "slider", "tokens written", "ArrowRight", "42 tokens on 3 floors"),
    Living("06", "slider", "tokens written", "ArrowLeft", "41 tokens on 3 floors"),
    Living("07", "checkbox", "slide together", "Space", "94% of the rows evicted, 11 of 12 floors given back"),
    Living("07", "slider", "evict", "ArrowLeft", "89% of the rows evicted, 0 of 12 floors given back"),
    Living("08", "checkbox", "sliding window", "Space", "By place, 17 cells of the mask are wrong."),
    Living("08", "slider", "tiles read", "ArrowRight", "Tile 8 of 10."),
    Living("09", "slider", "how far ahead", "ArrowRight", "“sang”, asked from 3 tokens ahead"),
    Living("09", "checkbox", "slide together", "Space", "90% of the rows evicted, 0 of 12 floors given back"),
    Living("11", "slider", "evict", "ArrowLeft", "49% of the rows evicted"),
]


# --- What else a lesson does -----------------------------------------------------------------------------------------
def plays_its_story_by_itself(lesson):
    """From the end of the prompt to the end of the story; run again, it can be stopped."""
    cell = lesson.page.locator(".jp-CodeCell", has_text="plays=True").first
    line = cell.locator(".living-line")
    cell.get_by_text(re.compile("^192 tokens on 12 floors")).wait_for(timeout=1_000 * PATIENCE)
    cell.locator(".jp-InputArea-editor").click()
    lesson.page.keyboard.press("Control+Enter")
    cell.get_by_role("button", name="pause").click()
    stopped = line.text_content()
    assert 41 <= int(stopped.split()[0]) < 192
    lesson.page.wait_for_timeout(500)
    assert line.text_content() == stopped


def answers_a_question_now(lesson):
    cell = lesson.page.locator(".jp-CodeCell", has_text="bytes_back = ask").first
    said = cell.locator(".living-line").text_content()
    assert re.match(r"\d+ tokens on \d+ floors, .* MiB held\. Nobody leaves", said)
    assert int(said.split()[0]) > 36  # it read the question, and wrote


def shows_the_floors_that_are_left(lesson):
    """As a reader turns the second picture, it says what the answers in the fold say."""
    cell = lesson.page.locator(".jp-CodeCell", has_text="Garage(share=0.9)").first
    line, field = cell.locator(".living-line"), cell.locator("label", has_text="chosen by").locator("select")
    assert "0 of 12 floors given back" in line.text_content()
    field.select_option(label="StreamingLLM")
    line.get_by_text("10 of 12 floors given back").wait_for()
    field.select_option(label="TriAttention")
    cell.locator("label", has_text="who chooses").locator("select").select_option(label="all heads together")
    line.get_by_text("3 of 12 floors given back").wait_for()


def shows_a_guess_beside_the_result_and_keeps_it(lesson):
    field = lesson.page.get_by_placeholder("your guess").first
    field.fill("1,000")
    field.press("Enter")
    verdict = lesson.page.locator(jupyter.OUTPUT, has_text="You predicted 1,000 ").first
    verdict.wait_for()
    assert "Result: " in verdict.text_content()
    kept = Journal(lesson.folder.parent / journal.FILE).guesses()[-1]
    assert (kept.lesson, kept.guess, kept.after) == (lesson.name, 1000, True)
    assert f"You predicted 1,000 {kept.unit}. Result: {kept.result:,.10g}" in verdict.text_content()


def saves_the_plan_beside_the_lesson(lesson):
    cell = jupyter.find_control(lesson.page, "tokens kept")
    cell.get_by_role("button", name="save this plan").click()
    cell.get_by_text(re.compile("Written to my_plan.md")).wait_for()
    plan = own_plan.plan_of(**PLAN.values(cell))
    assert (lesson.folder / "my_plan.md").read_text(encoding="utf-8") == report(plan) + "\n"


def grades_the_quiz_with_reasons(lesson):
    """All right but the first; then the first too, graded anew in the same place."""
    cell = lesson.page.locator(".jp-CodeCell", has=lesson.page.get_by_role("button", name="How many are right?")).last
    boxes, count = cell.locator(".widget-radio-box"), len(QUESTIONS)
    assert boxes.count() == count
    for number, question in enumerate(QUESTIONS):
        choice = question.right if number else (question.right + 1) % len(question.options)
        boxes.nth(number).locator("input").nth(choice).check()
    button = cell.get_by_role("button", name="How many are right?")
    button.click()
    cell.get_by_text(f"{count - 1} of {count} right.").wait_for()
    assert "The answer is: it grows by the same number of bytes" in jupyter.caption(cell)
    boxes.first.locator("input").nth(QUESTIONS[0].right).check()
    button.click()
    cell.get_by_text(f"{count} of {count} right.").wait_for()
    assert cell.get_by_text(f"{count - 1} of {count} right.").count() == 0


MORE = {
    "00": [plays_its_story_by_itself, answers_a_question_now, shows_the_floors_that_are_left],
    "01": [shows_a_guess_beside_the_result_and_keeps_it],
    "12": [saves_the_plan_beside_the_lesson, grades_the_quiz_with_reasons],
}


def test_lesson(lesson, capsys):
    """It runs without an error, its controls say what is right wherever they stand, and it does what else it should."""
    with jupyter.screenshot_on_failure(lesson.page, lesson.name):
        assert jupyter.errors(lesson.page) == []
        for control in [each for each in CONTROLS if each.lesson == lesson.name[:2]]:
            times = control.turn(lesson.page)
            p95 = quantiles(times, n=20, method="inclusive")[-1]
            with capsys.disabled():
                print(f"\n{lesson.name}, {control.walk[0]}, {len(times)} moves:", end=" ")
                print(f"median {median(times):.0f} ms, 95th percentile {p95:.0f} ms")
        played = lesson.name.startswith("00")  # by MORE: its pictures move by themselves
        figures = [] if played else lesson.page.locator("figure.living").all()
        for figure, living in zip(figures, [each for each in LIVING if each.lesson == lesson.name[:2]], strict=True):
            living.turn(figure)
        for look in MORE.get(lesson.name[:2], ()):
            look(lesson)
        assert jupyter.errors(lesson.page) == []

"""The planner's page finds every answer that Python has computed, under the key by which Python wrote it."""

import importlib.util
from itertools import product

from helpers.arithmetic import CARDS
from helpers.arithmetic.plan import Plan
from tests.house.notebooks import REPO
from tests.widgets.living.node import answers_of

SITE = REPO / "site"
MODEL = "Llama-3.1-8B"


def load_answers():
    """The module of the site that computes what the page looks up."""
    spec = importlib.util.spec_from_file_location("planner_answers", SITE / "planner_answers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_finds_what_python_computed():
    answers = load_answers()
    cards = list(CARDS)[::5]
    plans = [Plan(MODEL, weights, card, cache, context) for card, weights, cache, context in
             product(cards, answers.WEIGHTS, answers.CACHES, answers.CONTEXTS)]  # fmt: skip
    kept = answers.answers(MODEL)
    assert len(kept) == len(CARDS) * len(plans) // len(cards)
    names = ("card", "weights", "cache", "context")
    choices = list(product(cards, answers.WEIGHTS, answers.CACHES, map(str, answers.CONTEXTS)))
    calls = [[kept, dict(zip(names, choice, strict=True))] for choice in choices[::7]]
    found = answers_of(SITE / "static" / "planner_look_up.js", "answerTo", calls)
    assert [answers.WORDS[each["fit"]] for each in found] == [plan.fit for plan in plans[::7]]
    assert [each["verdict"] for each in found] == [plan.verdict for plan in plans[::7]]

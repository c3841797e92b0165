"""What SmolLM2 says when it is asked for a fact told early, and which of its rows were left: recorded, to be turned."""

from __future__ import annotations

from helpers.plots import told_early as plots
from helpers.records.smollm2_sweep import EVERY_HEAD, NO_EVICTION
from helpers.records.told_early import ToldEarly, load_told_early
from helpers.widgets.page import Frame, choice, control

KEPT = {"half": 0.5, "a quarter": 0.25, "an eighth": 0.125}


def answer_frame(fact: str, policy: str, kept: str) -> Frame:
    """A conversation with all its rows and, under it, with some; what comes out of either.

    Args:
        fact: the word that answers.
        policy: whose choice of rows.
        kept: a key of ``KEPT``.
    """
    told = load_told_early()
    text, share = told.answers.index(fact), KEPT[kept]
    title = f"{kept} of the rows, chosen by {policy}"
    shown = [
        _ribbon(told, text, "all rows", NO_EVICTION),
        _ribbon(told, text, title[0].upper() + title[1:], policy, share),
    ]
    question, beginning = told.asked[text]
    caption = (
        f"Figure: one conversation with SmolLM2, {len(shown[0].left)} tokens up to the question “{question}”, in "
        f"reading order; a square is a token, and the darker it is, the more of the {told.n_heads} KV heads still have "
        f"its row. Outlined: “{told.told[text]}” With all rows SmolLM2 goes on “{shown[0].says}”, with {title} "
        f"“{shown[1].says}”. Recorded on {told.made_on}."
    )
    return plots.ribbons(told.told[text], beginning, shown), caption


def words_frame(kept: str) -> Frame:
    """What is said to all twelve questions, by policy, each head of each layer choosing for itself."""
    told = load_told_early()
    said = {"all rows": told.find(NO_EVICTION).said}
    said |= {policy: told.find(policy, KEPT[kept]).said for policy in told.policies}
    counts = ", ".join(f"{policy} {right_of(told, policy, KEPT[kept])}" for policy in told.policies)
    caption = (
        f"Figure: a table of words, what SmolLM2 answers to twelve questions, with all rows and with {kept} of them, "
        f"by policy; right ones white on blue, of wrong ones the first word. Right of {len(told.answers)}: {counts}. "
        f"Recorded on {told.made_on}."
    )
    return plots.words_said(said, told.answers), caption


def right_of(told: ToldEarly, policy: str, share: float = 1.0, mode: str = EVERY_HEAD) -> int:
    """How many of the facts are answered."""
    return sum(map(str.__eq__, told.find(policy, share, mode).said, told.answers))


def answer_control() -> None:
    """Show one conversation with its controls: the fact, the policy, the budget."""
    told = load_told_early()
    control(
        answer_frame,
        fact=choice("asked for", told.answers, "dentist"),
        policy=choice("policy", told.policies, "TriAttention"),
        kept=choice("rows kept", KEPT, "a quarter"),
    )


def _ribbon(told: ToldEarly, text: int, name: str, policy: str, share: float = 1.0) -> plots.Ribbon:
    found = told.find(policy, share)
    left = (found.heads_left[text] / told.n_heads).tolist()
    says = found.said[text]
    return plots.Ribbon(name, left, told.told_at[text], says, says == told.answers[text])

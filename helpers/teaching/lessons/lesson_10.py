"""Checks of lesson 10's exercises: which differences stand, and how safe a look-up must be."""

from __future__ import annotations

from typing import Any

from helpers.measuring.comparisons import paired_difference
from helpers.records.smollm2_sweep import load_smollm2_sweep
from helpers.records.sweep import load_sweep
from helpers.teaching.attempts import Complaint, need
from helpers.teaching.checks import Number, in_one_line

LOOKUPS = 56  # of a worksheet of 40 lines, on average: 1,805 in the 32 of the recall data

Difference = tuple[str, float, float]  # in words, its mean, and half the width of its 95% interval


def differences() -> dict[str, Difference]:
    """The claims of exercise 1, each with the paired difference that it rests on."""
    real, sheets = load_smollm2_sweep(), load_sweep()

    def less(task: str, one: tuple[str, str], other: tuple[str, str], share: float = 0.25) -> tuple[float, float]:
        first, second = (real.find(task, policy, share, mode) for policy, mode in (one, other))
        return first.more_than(second)

    alone = "per_layer_per_head"
    by_number, united = (sheets.find("TriAttention", 0.5, mode) for mode in ("per_head", "union"))
    points = [100 * part for part in paired_difference(by_number.right, united.right)]
    return {
        "a": (
            "a passage once more, half kept: TriAttention has a lower loss than SnapKV",
            *less("recall", ("TriAttention", alone), ("SnapKV", alone), share=0.5),
        ),
        "b": (
            "next word: SnapKV, not smoothed, has a lower loss than TriAttention",
            *less("english", ("SnapKV, not smoothed", alone), ("TriAttention", alone)),
        ),
        "c": (
            "twelve facts: TriAttention has a lower loss in union than in per_layer_per_head",
            *less("facts", ("TriAttention", "union"), ("TriAttention", alone)),
        ),
        "d": ("worksheets: TriAttention gets more right in per_head than in union", points[0], points[1]),
    }


def show_differences() -> None:
    """Print the claims, each with its difference."""
    for letter, (words, mean, half) in differences().items():
        digits, unit = (0, "points") if letter == "d" else (2 if abs(mean) > 0.1 else 3, "nats")
        print(f"{letter}) {words}: {mean:+.{digits}f} ± {half:.{digits}f} {unit}")


def stand() -> set[str]:
    """The claims whose interval leaves out 0."""
    return {letter for letter, (_, mean, half) in differences().items() if abs(mean) > half}


@in_one_line
def check_differences(answer: Any) -> str:
    """Which claims stand: their letters, as a string, a list or a set."""
    need(answer is not ..., 'replace the three dots by the letters of the claims that stand, such as "bd".')
    need(isinstance(answer, str | list | tuple | set), 'the answer is letters, such as "bd".')
    letters, right = {str(letter).strip().lower() for letter in answer} - {"", ","}, stand()
    unknown = letters - set(differences())
    need(not unknown, f"there is no claim {', '.join(sorted(unknown))}.")
    if wrong := sorted(letters - right):
        raise Complaint(f"{wrong[0]}) may be chance: its interval holds 0.")
    if missing := sorted(right - letters):
        raise Complaint(f"{missing[0]}) stands: its interval leaves out 0.")
    return "one that stands is far smaller than one that does not. Size alone decides nothing."


# Each look-up right with the same chance: the chance at which half of the worksheets come out right.
check_lookup = Number(100 * 0.5 ** (1 / LOOKUPS), "per cent") | {
    "give it in per cent, such as 95.5.": 0.5 ** (1 / LOOKUPS),
    "one look-up in two wrong: then hardly any worksheet would be right.": 50,
    "that shares the failures out evenly; chances of 56 look-ups multiply.": 100 * (1 - 0.5 / LOOKUPS),
    "that is how rarely it may fail; the answer is how often it is right.": 100 * (1 - 0.5 ** (1 / LOOKUPS)),
}

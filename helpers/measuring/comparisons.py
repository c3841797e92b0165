"""Comparisons of what was measured: shares with their intervals, paired differences, and how far a guess was off."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

Z_95 = statistics.NormalDist().inv_cdf(0.975)  # 1.96 standard errors to each side


class Answers:
    """What a record's worksheets add up to; its field ``right`` is True for each that came out right."""

    right: tuple[bool, ...]

    @property
    def share_right(self) -> float:
        """Share of worksheets that were right from the first token to the last."""
        return statistics.fmean(self.right)

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of ``share_right``."""
        return share_interval(self.right)


class Losses:
    """What a record's texts add up to; its field ``losses`` holds one per text, in nats per token."""

    losses: Sequence[float]

    @property
    def loss(self) -> float:
        """Mean over the texts, in nats per token."""
        return statistics.fmean(self.losses)

    def more_than(self, other: Losses) -> tuple[float, float]:
        """By how much the loss is above another's on the same texts, and half the width of the 95% interval."""
        return paired_difference(self.losses, other.losses)


def share_interval(right: Sequence[bool]) -> tuple[float, float]:
    """95% interval of a share of independent trials, after Wilson (1927): right even near 0 and 1."""
    count, share = len(right), sum(right) / len(right)
    spread = Z_95 * math.sqrt(share * (1 - share) / count + (Z_95 / (2 * count)) ** 2)
    middle, scale = share + Z_95**2 / (2 * count), 1 + Z_95**2 / count
    return (middle - spread) / scale, (middle + spread) / scale


def paired_difference(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Mean of ``one`` less ``other`` over the same trials, and half the width of its 95% interval.

    The same worksheets for both, so that hard and easy ones fall out of the difference.
    """
    return mean_interval([a - b for a, b in zip(one, other, strict=True)])


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean of a few trials, and half the width of its 95% interval, by Student's t.

    Of 8 trials 2.36 standard errors to each side, not 1.96: their own spread is a guess too.

    Raises:
        ValueError: if there are fewer than 4 values, for which the formula of t is too coarse.
    """
    if len(values) < 4:
        raise ValueError(f"values has {len(values)} of them; an interval of their mean needs 4 or more")
    mean, error = statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))
    return mean, student_t(len(values) - 1) * error


def student_t(freedom: int) -> float:
    """The 97.5% point of Student's t, to 1% from 3 degrees of freedom on (Abramowitz and Stegun, 26.7.5)."""
    z = Z_95
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def how_far(guess: float, value: float) -> str:
    """How far a positive guess lies from a positive value, in words: ``2.5 times too high``, ``0.31% too low``."""
    direction = "high" if guess > value else "low"
    ratio = max(guess / value, value / guess)
    if ratio >= 1.5:
        return f"{ratio:,.3g} times too {direction}"
    return f"{100 * abs(guess - value) / value:.2g}% too {direction}"


def factor_off(guess: float, value: float) -> float:
    """How many times too high or too low a guess is: 1 where it is equal, infinite where no factor leads there."""
    if guess == value:
        return 1.0
    same_sign = guess > 0 < value or guess < 0 > value
    return max(guess / value, value / guess) if same_sign else math.inf

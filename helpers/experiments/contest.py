"""A contest of eviction policies: the same worksheets for all of them, answers and freed blocks counted."""

from __future__ import annotations

from dataclasses import dataclass

from helpers.decoding.judged import Exam
from helpers.eviction import Compressor, Policy
from helpers.measuring.comparisons import Answers
from helpers.models.loading import Loaded
from helpers.models.worksheets import make_worksheets

N_LINES, INTERVAL = 40, 32  # as in lesson 10


@dataclass(frozen=True)
class Verdict(Answers):
    """What a policy achieved.

    Attributes:
        name: the policy's.
        budget: rows of the thought that were kept.
        selection: the mode in which heads chose.
        seed: of the worksheets.
        right: per worksheet, whether every token of thought and answer was right.
        lookups, lookups_right: values restated in all the thoughts, and how many of them were right.
        blocks_freed: blocks given back, per worksheet.
    """

    name: str
    budget: int
    selection: str
    seed: int
    right: tuple[bool, ...]
    lookups: int
    lookups_right: int
    blocks_freed: float

    @property
    def answers(self) -> int:
        """Worksheets that were right from the first token to the last."""
        return sum(self.right)

    def __str__(self) -> str:
        said = f"{self.answers} of {len(self.right)} right, {self.blocks_freed:.1f} blocks freed per worksheet"
        return f"{self.name}, {self.budget} rows kept, {self.selection}: {said}"


class Contest:
    """Worksheets of one length with their prompts read; every policy goes on from there, under the same rules.

    Args:
        course: the reasoner.
        count: how many worksheets.
        seed: which ones.
        held_out: False for worksheets to practise on, which nobody is judged by.

    Attributes:
        exam: the worksheets with their prompts read.
        sheets: the worksheets.
        prompt_tokens, thought_tokens: tokens of each prompt, and of each thought with its answer.
    """

    def __init__(self, course: Loaded, count: int, seed: int, held_out: bool = True) -> None:
        self.exam, self.seed = Exam(course, make_worksheets(count, N_LINES, seed, held_out)), seed
        self.sheets = self.exam.sheets
        self.prompt_tokens, self.thought_tokens = self.exam.prompt_length, self.exam.decoded_length

    def judge(
        self, policy: Policy, budget: int, selection: str = "shared", compact: bool = True, name: str = ""
    ) -> Verdict:
        """Replay all worksheets under a policy.

        A replay is right to the last token exactly if the model, left to itself, would have written it so.

        Args:
            policy: what scores the rows.
            budget: rows of the thought to keep.
            selection: one of ``SELECTIONS``.
            compact: slide the survivors together.
            name: of the policy; its class's without one.

        Raises:
            ValueError: as ``Compressor`` does.
        """
        exam = self.exam
        judged = exam.judge(Compressor(policy, budget, INTERVAL, selection, compact))
        lookups, lookups_right = sum(map(len, exam.lookups)), sum(exam.lookups_right(judged))
        freed = judged.trace.blocks_freed / len(exam.sheets)
        counts = tuple(judged.sheets_right), lookups, lookups_right, freed
        return Verdict(name or type(policy).__name__, budget, selection, self.seed, *counts)

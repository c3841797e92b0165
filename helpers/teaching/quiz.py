"""Ten questions that close the last lesson; three of them end the first, so that a reader sees what has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        text: what is asked.
        options: the answers offered, each with what to say to whoever chooses it.
        right: the place of the right one.
    """

    text: str
    options: tuple[tuple[str, str], ...]
    right: int


def grade(questions: Sequence[Question], chosen: Sequence[int | None]) -> int:
    """How many of the questions are right; None stands for one left open."""
    return sum(choice == question.right for choice, question in zip(chosen, questions, strict=True))


def explain(question: Question, choice: int | None) -> str:
    """What to say about the choice made in a question."""
    answer, why = question.options[question.right]
    if choice is None:
        return f"Left open. The answer is: {answer}. {why}"
    if choice == question.right:
        return f"Right. {why}"
    return f"No. {question.options[choice][1]} The answer is: {answer}. {why}"


QUESTIONS: tuple[Question, ...] = (
    Question(
        "A model thinks for 1,000 tokens. What does its KV cache do meanwhile?",
        (
            (
                "it grows for every token, and shrinks when a line of thought is done",
                "Nothing is given back meanwhile.",
            ),
            ("it grows by the same number of bytes for every token", "Each token adds one K and one V row per layer."),
            ("it grows fast for hard words and slowly for easy ones", "A row has one size, whatever the word."),
            ("it stays as large as it was after the prompt", "The thought's tokens are looked back at too."),
        ),
        1,
    ),
    Question(
        "Two models have equally many layers, and the same head_dim. Which number decides whose cache is larger?",
        (
            ("the KV heads", "Only KV heads keep rows; query heads share them."),
            ("the query heads", "Query heads ask. They keep nothing."),
            ("the hidden size", "The cache keeps rows of head_dim numbers; the hidden size is not in the formula."),
            ("the parameters", "A small model can keep more than a large one."),
        ),
        0,
    ),
    Question(
        "A model and its cache fit into memory. What limits how fast one sequence can decode?",
        (
            ("the speed of arithmetic", "One token takes few operations; the numbers must be fetched first."),
            ("the size of the vocabulary", "That is one matrix among hundreds."),
            ("how fast weights and cache can be read", "Each token reads all of both once: bandwidth over bytes."),
            ("the length of the prompt alone", "The prompt counts as part of the cache, but weights are read as well."),
        ),
        2,
    ),
    Question(
        "How many bits does Q8_0 take per number?",
        (
            ("8.5", "32 numbers of 8 bits share one scale of 16."),
            ("8.0", "The scale that a group of 32 shares takes room too."),
            ("9.0", "One scale of 16 bits serves 32 numbers, not 16."),
            ("16.0", "That is fp16."),
        ),
        0,
    ),
    Question(
        "A server frees half of its blocks. What does nvidia-smi show?",
        (
            ("half the memory in use", "nvidia-smi sees the whole pool, which the server reserved when it started."),
            ("as much memory in use as before", "The pool was reserved at the start; blocks come and go inside it."),
            ("more memory in use, for the copies", "Copies are made inside the pool as well."),
            ("it depends on the block size", "Blocks of any size lie inside the same reserved pool."),
        ),
        1,
    ),
    Question(
        "Nine tokens in ten are evicted at random, one choice for all heads, blocks of 16. How many blocks come back?",
        (
            ("90%", "A block comes back when all of its tokens are gone, not nine in ten."),
            ("50%", "The chance that all 16 tokens of a block are evicted is 0.9 to the power of 16."),
            (
                "18.5%",
                "0.9 to the power of 16: all its tokens must be among the evicted. So in a pool that gives blocks back "
                "from anywhere, as ours does; vLLM's gives none back from the middle of a full layer's table.",
            ),
            ("none at all", "That is nearly so when every head chooses for itself; here all choose together."),
        ),
        2,
    ),
    Question(
        "The same, but each of 8 KV heads chooses its own tenth. How many of 1,000 blocks come back?",
        (
            ("about 900", "That is the share of evicted rows. A block holds the rows of all heads."),
            ("about 185", "That is for one choice; now 8 choices must all leave the block empty."),
            ("about 23", "185 divided by 8; but chances multiply, they are not shared out."),
            ("almost surely none", "All 16 rows of all 8 heads must be gone: 0.9 to the power of 128."),
        ),
        3,
    ),
    Question(
        "The notes in a cache are shuffled, the key and the value of a token together. What does the model write next?",
        (
            (
                "nonsense, since word order is lost",
                "A cached key has been turned by its position: the order is in the note.",
            ),
            (
                "the same as without shuffling",
                "Attention adds over notes, and each key carries its position in itself.",
            ),
            ("the same only if no note was evicted", "Evicted or not, a sum over notes does not ask for their order."),
            ("an error: slots must stand in order", "A block table may list blocks in any order."),
        ),
        1,
    ),
    Question(
        "What does TriAttention need to score a cached key?",
        (
            ("the attention weights of all steps so far", "That is H2O; fast kernels never store them."),
            ("the attention weights of the last few queries", "That is SnapKV."),
            ("the key, and the mean query measured beforehand", "From it follows the mean query of the future."),
            ("the key, and the position where it was written", "The key has been turned by its position already."),
        ),
        2,
    ),
    Question(
        "'10.7 times less KV memory and 2.5 times faster': what was measured?",
        (
            ("both at once, on one run", "The speed was had by filling the freed memory with more sequences."),
            ("a ratio of token counts, and a speed at the largest batch", "32,768 over 3,072, and 563.5 over 222.8."),
            ("memory shown by nvidia-smi, and latency", "Neither: a pool never moves, and it is throughput."),
            ("an average over many tasks", "It is one model, one card and one budget."),
        ),
        1,
    ),
)

# What limits the speed, what comes back when all heads choose together, and what order matters to: each can be guessed.
OPENING: tuple[Question, ...] = (QUESTIONS[2], QUESTIONS[5], QUESTIONS[7])

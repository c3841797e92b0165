"""What SmolLM2 is asked, with eviction and without: English it has not seen, a passage once more, a fact told early.

Each task is a batch of texts of one length, and the places in them whose loss is counted: places late enough for rows
to have been evicted before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import torch

from helpers.experiments.windows import windows
from helpers.models.loading import Loaded, load_smollm2
from helpers.records.texts import read_text

WINDOWS, WINDOW, COUNTED_FROM = 8, 768, 448
RECALLS, PASSAGE, BETWEEN, CUE = 10, 160, 640, 10  # tokens; the first of the repeated passage only say that it comes
CONVERSATION = 640  # tokens
FACTS = (  # what is told, what is asked much later, how the answer begins, and how it must go on
    ("My cat is called Biscuit.", "What is my cat called?", "Your cat is called", " Biscuit"),
    ("I grew up in Norway.", "In which country did I grow up?", "You grew up in", " Norway"),
    ("My sister works as a dentist.", "What is my sister's job?", "Your sister works as a", " dentist"),
    (
        "I keep the spare key under the flowerpot.",
        "Where is the spare key?",
        "The spare key is under the",
        " flowerpot",
    ),
    ("My favourite fruit is the mango.", "What is my favourite fruit?", "Your favourite fruit is the", " mango"),
    ("The meeting is on Saturday.", "On which day is the meeting?", "The meeting is on", " Saturday"),
    ("I am learning to play the violin.", "Which instrument do I learn?", "You are learning to play the", " violin"),
    ("My brother lives in Chicago.", "Where does my brother live?", "Your brother lives in", " Chicago"),
    ("I was born in April.", "In which month was I born?", "You were born in", " April"),
    ("My neighbour's dog is called Pepper.", "What is my neighbour's dog called?", "The dog is called", " Pepper"),
    ("I am allergic to peanuts.", "What am I allergic to?", "You are allergic to", " peanuts"),
    ("Our train leaves from platform nine.", "From which platform do we leave?", "You leave from platform", " nine"),
)


@dataclass(frozen=True)
class Task:
    """Texts to be read, and what of them is counted.

    Attributes:
        token_ids: ``[texts, length]``.
        counted: True for each token whose loss counts, bool ``[texts, length]``.
    """

    token_ids: torch.Tensor
    counted: torch.Tensor


@cache
def smollm2() -> Loaded:
    """SmolLM2, once per process, on one thread: as many processes as cores are quicker than threads that wait."""
    loaded = load_smollm2()
    torch.set_num_threads(1)
    return loaded


@cache
def calibration_text() -> torch.Tensor:
    """A text of another kind, none of the tasks': the course in other words, ``[1, tokens]``."""
    return _tokens("course")[None]


@cache
def english() -> Task:
    """The next word in English prose: windows of it, the loss of their later part."""
    token_ids = windows(smollm2(), "english", WINDOWS, WINDOW)
    counted = torch.zeros_like(token_ids, dtype=torch.bool)
    counted[:, COUNTED_FROM:] = True
    return Task(token_ids, counted)


@cache
def recall() -> Task:
    """A passage, other text, and the passage once more: the loss of the second time."""
    text = _tokens("english")
    stride = len(text) // RECALLS  # passages apart from each other; what stands between is what follows in the text
    length = PASSAGE + BETWEEN
    starts = [i * stride for i in range(RECALLS)]
    around = [torch.cat([text, text])[start : start + length] for start in starts]
    token_ids = torch.stack([torch.cat([part, part[:PASSAGE]]) for part in around])
    counted = torch.zeros_like(token_ids, dtype=torch.bool)
    counted[:, length + CUE :] = True
    return Task(token_ids, counted)


@cache
def facts() -> Task:
    """Facts told at the beginning of a conversation and asked for at its end: the loss of the word that answers."""
    texts = [_conversation(smollm2().tokenizer, *fact, seed=i) for i, fact in enumerate(FACTS)]
    token_ids, answers = (torch.stack(of_all) for of_all in zip(*texts, strict=True))
    return Task(token_ids, answers)


TASKS = {"english": english, "recall": recall, "facts": facts}


def _conversation(
    tokenizer: Any, told: str, question: str, beginning: str, answer: str, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """One conversation of ``CONVERSATION`` tokens, and which of them are the answer's."""
    turns = [
        ("user", told),
        ("assistant", "Thank you for telling me."),
        ("user", "Here is something that I have read.\n\nTEXT"),
        ("assistant", "That was interesting to read."),
        ("user", question),
    ]
    messages = [{"role": role, "content": content} for role, content in turns]
    written = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) + beginning
    before, after = (_ids(tokenizer, part) for part in written.split("TEXT"))
    wanted = _ids(tokenizer, answer)
    room = CONVERSATION - len(before) - len(after) - len(wanted)
    start = seed * len(_tokens("english")) // len(FACTS)
    between = torch.tensor(list(islice(_tokens("english").tolist() * 2, start, start + room)))
    token_ids = torch.cat([before, between, after, wanted])
    return token_ids, torch.arange(CONVERSATION) >= CONVERSATION - len(wanted)


@cache
def _tokens(name: str) -> torch.Tensor:
    return _ids(smollm2().tokenizer, read_text(name))


def _ids(tokenizer: Any, text: str) -> torch.Tensor:
    return tokenizer(text, return_tensors="pt", add_special_tokens=False, verbose=False).input_ids[0]

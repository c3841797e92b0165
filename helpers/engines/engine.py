"""What every engine beside the course has in common: it is started, asked, read in its own words, and stopped.

An engine runs in a process of its own, perhaps on another Python with other packages, and is spoken to through whatever
door it has (HTTP, files, pipes). So nothing here holds a tensor or a model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

Prompt = str | Sequence[int] | list[dict[str, str]]  # text, token ids, or chat messages


@dataclass(frozen=True)
class KVRoom:
    """The room that an engine has set aside for rows of K and V; MiB as printed, to two digits.

    Attributes:
        cells: tokens that one cache has room for.
        caches: caches of that size side by side, one per sequence; 1 where all sequences share one.
        kv_mib: MiB of all caches together.
        k_mib, v_mib: its two halves; None where an engine does not tell them apart.
    """

    cells: int
    caches: int
    kv_mib: float
    k_mib: float | None = None
    v_mib: float | None = None

    @property
    def tokens(self) -> int:
        """Tokens that there is room for, all sequences together."""
        return self.cells * self.caches


@dataclass(frozen=True)
class Figures:
    """What an engine says of itself; None for what it does not say.

    Attributes:
        room: the room for rows of K and V.
        compute_mib: MiB of the buffers in which a step computes.
        model_mib: MiB of the weights.
        decode_speed: tokens per second while the last answer was decoded; None before the first.
        words: the engine's own lines that the figures were read from.
    """

    room: KVRoom
    compute_mib: float | None
    model_mib: float | None
    decode_speed: float | None
    words: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """What an engine answered to one prompt, by greedy decoding.

    Attributes:
        text: the answer, special tokens left out.
        tokens: its token ids, the one that ended it included.
        ended: True where the model ended it, False where ``max_tokens`` or the room did.
        prompt_tokens: tokens of the prompt, those included whose rows were there already.
        reused_tokens: of these, tokens whose rows were still there from the prompt before.
        prefill_speed, decode_speed: tokens per second, as the engine says; None where it does not, and the latter for
            fewer than two tokens.
        likeliest: for each token, the likeliest tokens in its place with their log-probabilities (nats), best first.
    """

    text: str
    tokens: tuple[int, ...]
    ended: bool
    prompt_tokens: int
    reused_tokens: int
    prefill_speed: float | None
    decode_speed: float | None
    likeliest: tuple[dict[int, float], ...] = ()


class Engine(ABC):
    """An engine beside the course. ``with SomeEngine(...) as engine:`` starts it and stops it in any case.

    What holds for all: nothing is run before ``start``; ``start`` and ``stop`` may be called twice and then do nothing;
    after ``stop``, or when this process ends in whatever way, the engine's process is gone and its memory free.
    """

    @abstractmethod
    def start(self) -> Self:
        """Start the engine, and return once it can be asked.

        Raises:
            ModuleNotFoundError: if the engine is not installed, with the command that installs it.
            ValueError: in one line, if it cannot run what it was given.
        """

    @abstractmethod
    def ask(self, prompt: Prompt, max_tokens: int) -> Answer:
        """Answer a prompt with at most so many tokens, greedily.

        Raises:
            ValueError: in one line, in the engine's words, if it refuses the prompt.
            RuntimeError: if it is not running.
        """

    @abstractmethod
    def figures(self) -> Figures:
        """What the engine says of itself. They stay readable after ``stop``.

        Raises:
            RuntimeError: if it was never started.
        """

    @abstractmethod
    def stop(self) -> None:
        """End the engine's process and free its memory."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

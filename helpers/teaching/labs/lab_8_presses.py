"""KVPress as lab 8 asks it: running beside the notebook where it is installed, and otherwise what it said once."""

from __future__ import annotations

import linecache
import os
from dataclasses import dataclass
from typing import Any

from helpers.engines.kvpress import COMMAND, KVPress, is_installed
from helpers.experiments.kvpress_rows import QUESTIONS, once, triattention, while_decoding
from helpers.measuring.press_run import PressRun
from helpers.models import smollm2
from helpers.records import load_kvpress_rows

ENVIRONMENT_VARIABLE = "COURSE_KVPRESS"  # "live" insists on KVPress, "record" plays what it said; unset, what is there
FEW, NEXT_TO_NONE = 30, 3  # rows on which two programs may differ by the rounding of near ties


class Presses:
    """Answers of KVPress, by the name of what was asked.

    Args:
        engine: KVPress, started; None to play the record.
    """

    def __init__(self, engine: KVPress | None) -> None:
        self.engine, self._asked = engine, {}

    @property
    def source(self) -> str:
        """Where the answers come from, in a sentence."""
        if self.engine is not None:
            versions = " and ".join(f"{name} {version}" for name, version in self.engine.versions.items())
            return f"KVPress runs beside this notebook: {versions}."
        record = load_kvpress_rows()
        said = f"KVPress {record.facts['versions']['kvpress']} said on {record.facts['date']}"
        return f"KVPress does not run here ({COMMAND} installs it). You see what {said}, on another machine."

    def run(self, name: str) -> PressRun:
        """What a press did to the text of the lab.

        Raises:
            ValueError: if nothing of that name is asked in this lab.
        """
        if name not in QUESTIONS:
            raise ValueError(f"name is {name!r}; it may be {', '.join(QUESTIONS)}")
        if self.engine is None:
            return load_kvpress_rows().runs[name]
        if name not in self._asked:
            self._asked[name] = self.engine.run(**QUESTIONS[name]())
        return self._asked[name]

    def run_own(self, press: type, decoding: bool = False) -> PressRun:
        """What a press does that the reader wrote: KVPress gets the text of its cell. Without KVPress, what ours did.

        Raises:
            ValueError: in one line, if KVPress cannot run it.
        """
        if self.engine is None:
            return self.run("TriAttention, decoding" if decoding else "TriAttention")
        asked = triattention(source_of(press))
        return self.engine.run(**while_decoding(asked) if decoding else once(asked))


def open_presses() -> Presses:
    """KVPress, started where it is installed, and a sentence that says whether it is."""
    wanted = os.environ.get(ENVIRONMENT_VARIABLE) or ("live" if is_installed() else "record")
    if wanted not in ("live", "record"):
        raise ValueError(f"{ENVIRONMENT_VARIABLE} is {wanted!r}; it may be live or record")
    presses = Presses(KVPress(smollm2.convert()).start() if wanted == "live" else None)
    print(presses.source)
    return presses


def source_of(press: type) -> str:
    """The text of the cell that defines a class.

    Raises:
        ValueError: if it has none, as a class that was not written in a cell or a file.
    """
    functions = [value for value in vars(press).values() if hasattr(value, "__code__")]
    lines = linecache.getlines(functions[0].__code__.co_filename) if functions else []
    if not lines:
        raise ValueError(f"{press.__name__} has no text that could be sent to KVPress; write it in a cell")
    return "".join(lines)


@dataclass(frozen=True)
class Match:
    """How far two sides keep the same rows.

    Attributes:
        rows: rows that each side keeps, all heads of all layers together.
        differ: how many of one side's the other does not keep.
    """

    rows: int
    differ: int

    @property
    def share(self) -> float:
        """Share of rows that both keep."""
        return 1 - self.differ / self.rows

    def __str__(self) -> str:
        """In words that rounding, which differs between processors, does not change."""
        if self.differ <= NEXT_TO_NONE:
            return f"all {self.rows:,} rows are the same, but for {NEXT_TO_NONE} at most"
        if self.differ <= FEW:
            return f"of {self.rows:,} rows a few differ, {FEW} at most"
        return f"of {self.rows:,} rows {self.share:.0%} are the same"


def compare(ours: PressRun, theirs: PressRun) -> Match:
    """How far the rows of two runs are the same, head by head.

    Raises:
        ValueError: if they keep other numbers of rows.
    """
    if ours.rows_kept != theirs.rows_kept:
        raise ValueError(f"one side keeps {ours.rows_kept:,} rows and the other {theirs.rows_kept:,}")
    return Match(ours.rows_kept, ours.rows_kept - sum(ours.in_common(theirs).values()))


class ScorerPress:
    """Stands in for KVPress's class of this name, which is in another environment: a press that scores rows.

    There ``score`` is called in each layer after the text is read, and the rows with the lowest scores go.
    """

    compression_ratio = 0.0

    def score(
        self, module: Any, hidden_states: Any, keys: Any, values: Any, attentions: Any, kwargs: dict[str, Any]
    ) -> Any:
        """Scores ``[batch, n_kv_heads, rows]`` of keys ``[batch, n_kv_heads, rows, head_dim]``; higher stays."""
        raise NotImplementedError("a press must write score(...)")

"""Claims in the lessons: recorded where they are taught, collected and judged where the course ends.

A lesson records what it measured (``record``); the values travel in the cell's saved output. The last lesson collects
them from the notebooks (``recorded``) and judges them. The claims themselves stand in ``verdicts``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from IPython.display import display

from helpers.teaching.verdicts import CLAIMS, EVIDENCE, FAILS, HOLDS, IN_PART, OPEN, Verdict

__all__ = [
    "CLAIMS",
    "FAILS",
    "HOLDS",
    "IN_PART",
    "MIME",
    "OPEN",
    "judge",
    "record",
    "recorded",
    "table_by_evidence",
    "verdict_table",
]

MIME = "application/vnd.kv-memory.claim+json"
DIGITS = 4  # of a float that is kept: those that every processor finds, and as many as a verdict tells
Values = dict[str, Any]


def record(claim: str, **values: Any) -> None:
    """Note what this cell found about a claim, in the cell's output: whole numbers as they are, floats to four digits.

    Raises:
        ValueError: if there is no such claim, or the values are not those that its verdict needs.
    """
    if claim not in CLAIMS:
        raise ValueError(f"claim is {claim!r}; it may be {', '.join(CLAIMS)}")
    if set(values) != set(CLAIMS[claim].needs):
        raise ValueError(f"claim {claim} needs {', '.join(CLAIMS[claim].needs)}; got {', '.join(values)}")
    values = {name: _rounded(value) for name, value in values.items()}
    text = f"Noted for lesson 12 (claim {claim})."  # in a reader's way where it is more: the values are in the output
    display({MIME: {"claim": claim, "values": values}, "text/plain": text}, raw=True)


def recorded(folder: str | Path) -> dict[str, Values]:
    """The values that the notebooks in a folder hold in their saved outputs, by claim."""
    found: dict[str, Values] = {}
    for path in sorted(Path(folder).glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                note = output.get("data", {}).get(MIME)
                if note:
                    found[note["claim"]] = note["values"]
    return found


def judge(claim: str, values: dict[str, Values]) -> Verdict:
    """The verdict on a claim and why, from the recorded values; "not settled" where its lesson has not been run.

    Nor is it where a notebook was saved by an older course, whose verdict needed other values.
    """
    if claim not in values:
        return OPEN, "no lesson has recorded a value yet"
    if set(values[claim]) != set(CLAIMS[claim].needs):
        return OPEN, "recorded by an older lesson; run its lesson again"
    return CLAIMS[claim].judge(**values[claim])


def verdict_table(values: dict[str, Values]) -> str:
    """All claims with their verdicts, as a table in Markdown."""
    lines = ["| claim | as told | verdict | whose evidence | what the lessons found |", "|---|---|---|---|---|"]
    for name, claim in CLAIMS.items():
        verdict, why = judge(name, values)
        lines.append(f"| {name} | {claim.told} | **{verdict}** | {', '.join(claim.evidence)} | {why} |")
    return "\n".join(lines)


def table_by_evidence(values: dict[str, Values]) -> str:
    """The claims by whose evidence their verdicts rest on, and by verdict, as a table in Markdown.

    A claim stands in each row whose evidence it needs.
    """
    verdicts = {name: judge(name, values)[0] for name in CLAIMS}
    shown = [verdict for verdict in (HOLDS, IN_PART, FAILS, OPEN) if verdict in verdicts.values()]
    lines = [f"| whose evidence | {' | '.join(shown)} |", "|---" * (1 + len(shown)) + "|"]
    for kind in EVIDENCE:
        cells = (
            ", ".join(name for name, claim in CLAIMS.items() if kind in claim.evidence and verdicts[name] == verdict)
            for verdict in shown
        )
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value

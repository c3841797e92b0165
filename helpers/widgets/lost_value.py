"""A thought of the reasoner at the place where it fails: the value that it needed, and what it wrote instead."""

from __future__ import annotations

from html import escape

from IPython.display import display

from helpers.models.worksheets import Worksheet

LINE = 11  # words of a line of the thought, its semicolon included


def lost_value(sheet: Worksheet, completion: str) -> tuple[int, int]:
    """Where the value stood last, and where a wrong one was written in its place: two places in the thought.

    Args:
        sheet: the worksheet, with its right thought.
        completion: what was written instead.

    Raises:
        ValueError: if the completion does not first go wrong at a value that the thought had written before.
    """
    right, wrote = sheet.thought.split(), completion.split()
    place = next((i for i, words in enumerate(zip(right, wrote, strict=False)) if words[0] != words[1]), -1)
    written = [i for i, uses in sheet.needed.items() if place in uses and i < place]
    if not written:
        raise ValueError("the completion does not go wrong at a value that was written before")
    return max(written), place


def show_lost_value(sheet: Worksheet, completion: str, visible: int) -> None:
    """Show the thought up to the line that goes wrong: what was out of view is pale, the lost value is marked.

    Args:
        sheet: as for ``lost_value``.
        completion: likewise.
        visible: words of the thought that the model could see, the newest.
    """
    source, place = lost_value(sheet, completion)
    words = completion.split()[: (place // LINE + 1) * LINE]
    plain = [f"[{word}]" if i in (source, place) else word for i, word in enumerate(words)]
    rich = [f"<mark><b>{word}</b></mark>" if i in (source, place) else escape(word) for i, word in enumerate(words)]
    first = place - visible  # the first word in view
    plain[first], rich[first] = f"| {plain[first]}", f"</span>{rich[first]}"
    said = (
        f"Figure: the thought, line by line. When the model writes the last marked value, it sees only the {visible} "
        f"words before it; what is {{}} is out of view. It writes {words[place]}. It needed {words[source]}, written "
        f"{place - source} words earlier. Its answer is {completion.split()[-1]}; the right answer is {sheet.answer}."
    )
    html = f'<pre><span style="opacity:.6">{_lines(rich)}</pre><p>{said.format("pale")}</p>'
    text = f"{_lines(plain)}\n\n{said.format('left of the bar')}"
    display({"text/html": html, "text/plain": text}, raw=True)


def _lines(words: list[str]) -> str:
    return "\n".join(" ".join(words[i : i + LINE]) for i in range(0, len(words), LINE))

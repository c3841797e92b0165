"""An entry by its name, in any letter case; else one line with the closest name."""

from difflib import get_close_matches
from typing import TypeVar

Entry = TypeVar("Entry")


def find(kind: str, name: str, entries: dict[str, Entry]) -> Entry:
    """Return the entry called `name`; a KeyError would print its message in quotes, hence ValueError."""
    names = {key.lower(): key for key in entries}
    if name.lower() in names:
        return entries[names[name.lower()]]
    closest = _closest(name.lower(), list(names))
    raise ValueError(f"no {kind} {name!r}; the closest is {names[closest]!r}; there are: {', '.join(entries)}")


def _closest(wanted: str, names: list[str]) -> str:
    """Return the most similar name, among those that contain every word of `wanted` where there are such.

    By spelling alone, "h100" would be nearest to "h200" and "llama 70b" to "llama-2-7b".
    """
    words = wanted.replace("-", " ").split()
    containing = [name for name in names if all(word in name for word in words)]
    return get_close_matches(wanted, containing or names, n=1, cutoff=0.0)[0]

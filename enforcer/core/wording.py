"""How messages show what an operator wrote, and guess what was meant.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

SHOWN = 60  # characters of operator input in a message: enough to find it again


def quoted(text: str) -> str:
    """Return *text* in double quotes, shortened, and safe to print on a terminal."""
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return f'"{printable(shown)}"'


def described(value: object) -> str:
    """Return what *value*, of a YAML document, is in a word: never more than a line."""
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence):
        return "a list"
    return "nothing" if value is None else str(value)


def printable(text: str) -> str:
    """Return *text* with what a terminal might obey, or hide, written as escapes."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def counted(count: int, one: str, several: str = "") -> str:
    """Return *count* of something, which is called *one* and *several*: by default with an s."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of *known* that *word* is most likely a misspelling of."""
    matches = difflib.get_close_matches(word[:SHOWN], list(known), n=1)
    return matches[0] if matches else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a hint for the unknown *word*: the nearest of *known*, or all of them."""
    known = tuple(known)
    match = nearest(word, known)
    return f"did you mean {match}?" if match else f"known here: {', '.join(known) or 'none'}"


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")

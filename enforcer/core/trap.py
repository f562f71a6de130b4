"""What `enforcer policy lint` finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that is valid, and will not do what was meant.

    Attributes:
        path: of the file.
        line: 1-based; 0 when the file as a whole is meant.
        key: in it, such as ``hosts[2]``; may be empty.
        reason: what happens.
        hint: the remedy.
    """

    path: str
    line: int
    key: str
    reason: str
    hint: str

    def __str__(self) -> str:
        place = ":".join(map(str, filter(None, (self.path, self.line))))
        return ": ".join(filter(None, (place, self.key, f"{self.reason} ({self.hint})")))

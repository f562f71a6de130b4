"""What is wrong at the moment, for whoever runs this machine. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something an operator should know, and what to do about it."""

    text: str
    hint: str | None = None

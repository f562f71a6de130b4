"""What a check found out.

The vocabulary follows what a probe can know: supported and unsupported are conclusive, and
anything that kept the probe from finding out is inconclusive, never one of the two.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Outcome(enum.Enum):
    """The three things a check can say."""

    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Result:
    """The answer of one check.

    Attributes:
        id: the check's name, stable over releases.
        outcome: what it found.
        detail: what was found where, in a line; lower case, no full stop.
        remedy: what to do about it; None when there is nothing to do.
    """

    id: str
    outcome: Outcome
    detail: str
    remedy: str | None = None

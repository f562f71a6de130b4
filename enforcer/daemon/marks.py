"""The marks of first SYNs: which one the programs set, and which the ruleset in force accepts."""

from __future__ import annotations

import secrets
from collections.abc import Sequence


class Marks:
    """Two nonces at any time, so that programs and ruleset need not change at the same moment.

    Args:
        inherited: those of a killed predecessor, whose ruleset is in force until ours is; one
            alone of version 0.1.0, none without a predecessor. The last is set first: sockets
            that still try under the policy before have the other.

    Attributes:
        accepted: by the ruleset in force; programs may go on to the second at any time.
        setting: what the programs set.
    """

    def __init__(self, inherited: Sequence[int]) -> None:
        first, second = (_new_nonce(), _new_nonce(), *inherited)[-2:]
        self.accepted = (first, second)
        self.setting = second

    @property
    def other(self) -> int:
        """Of the two that are accepted, the one that the programs don't set."""
        first, second = self.accepted
        return second if self.setting == first else first

    def renew(self) -> None:
        """Set the second, which no socket has had before; `next` then forgets the first."""
        self.setting = self.accepted[1]

    def keep(self) -> None:
        """Set the first, which sockets that still try may have."""
        self.setting = self.accepted[0]

    def next(self) -> tuple[int, int]:
        """Return what the next ruleset is to accept; `accepted` is it once that is in force."""
        return self.accepted if self.setting == self.accepted[0] else (self.setting, _new_nonce())


def _new_nonce() -> int:
    return secrets.randbelow((1 << 32) - 1) + 1  # never 0, the mark of everybody

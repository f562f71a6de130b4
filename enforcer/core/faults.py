"""What is wrong with a part of a policy, before it is known which part of which file.

Pure: no I/O, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing wrong.

    Attributes:
        at: the keys and indices that lead from the part to it.
        reason: what is wrong.
        hint: what to write instead.
    """

    at: tuple[str | int, ...]
    reason: str
    hint: str


class Faulty(ValueError):
    """A part of a policy is not what it must be.

    Attributes:
        faults: everything wrong with it, at least one.
    """

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(fault.reason for fault in faults))
        self.faults = faults

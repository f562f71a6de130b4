"""What was denied lately: one record for each asker and destination in ten seconds.

Pure: no I/O, no clock; every `now` is wall clock, in seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from enforcer.core.addresses import Address
from enforcer.core.destinations import Destination
from enforcer.core.owners import Owner
from enforcer.core.policy import Mode

# What is denied is tried again at once, and again: that is one event to whoever reads of it.
WINDOW_S = 10.0
# A page of them for a person, an hour's for a collector that comes by; a kilobyte each.
MAX_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something that was denied; what is equal in all this is the same again.

    Attributes:
        host: the name last answered for the address; empty where none was.
        destination: where it went.
        source: for whom it was forwarded; None if this machine asked itself.
        interface: by which it came in then; empty otherwise.
        uid: of the socket; None where there is none, or nobody says.
        pid: of the process that connected; None where it is not known.
    """

    host: str
    destination: Destination
    source: Address | None = None
    interface: str = ""
    uid: int | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of whose policy it was, when it was.

    Attributes:
        mode: in audit mode nothing was denied, and would have been.
    """

    organization: str
    mode: Mode


@dataclass(frozen=True, slots=True)
class Details:
    """What else is known of who asked: looked up once for a record.

    Attributes:
        process: what it is called; empty where nobody knows.
        executable: path of what the process runs, as its mount namespace has it; empty likewise.
        owner: what it belongs to.
    """

    process: str = ""
    executable: str = ""
    owner: Owner | None = None


@dataclass(frozen=True, slots=True)
class Denial:
    """One attempt, and how often it was made in a window of WINDOW_S.

    Attributes:
        number: of the record; later ones have larger numbers.
        revision: larger than that of all that was told before. A record is told when it
            begins, and if there was more of it, again when its window is over.
        first: when, wall clock in seconds since the epoch.
        last: likewise.
        count: of packets.
        over: nothing is added any more.
    """

    number: int
    revision: int
    attempt: Attempt
    verdict: Verdict
    details: Details
    first: float
    last: float
    count: int = 1
    over: bool = False


class Denials:
    """The last MAX_KEPT records."""

    def __init__(self) -> None:
        self._kept: dict[int, Denial] = {}  # by number, oldest first
        self._open: dict[Attempt, int] = {}  # likewise
        self._ended: list[Denial] = []  # and not told yet
        self._number = 0
        self.revision = 0

    def add(
        self, attempt: Attempt, verdict: Verdict, details: Callable[[], Details], now: float
    ) -> Denial | None:
        """Count *attempt*; return the record that it begins, if it does.

        Args:
            attempt: that was denied.
            verdict: of the policy in force, another one of which begins a record as well.
            details: finds them out; only called for a new record.
            now: when.
        """
        number = self._open.get(attempt)
        if number is not None:
            same = self._kept[number]
            if same.verdict == verdict and not self._is_over(same, now):
                self._kept[number] = replace(same, last=now, count=same.count + 1)
                return None
            self._close(number)
        self._number += 1
        self.revision += 1
        begun = Denial(self._number, self.revision, attempt, verdict, details(), now, now)
        self._kept[begun.number] = begun
        self._open[attempt] = begun.number
        if len(self._kept) > MAX_KEPT:
            oldest = self._kept.pop(next(iter(self._kept)))
            if self._open.get(oldest.attempt) == oldest.number:
                del self._open[oldest.attempt]
        return begun

    def over(self, now: float) -> tuple[Denial, ...]:
        """Close the records whose window is over; return those with more than was told, once."""
        for number in tuple(self._open.values()):
            if not self._is_over(self._kept[number], now):
                break
            self._close(number)
        told, self._ended = tuple(self._ended), []
        return told

    def next_over(self) -> float | None:
        """Return when the oldest window that is open ends; None if none is."""
        number = next(iter(self._open.values()), None)
        return None if number is None else self._kept[number].first + WINDOW_S

    def since(self, then: float) -> tuple[Denial, ...]:
        """Return the records that were added to after *then*, oldest first."""
        return tuple(each for each in self._kept.values() if each.last > then)

    def after(self, revision: int) -> tuple[Denial, ...]:
        """Return what is told after *revision*, in its order."""
        told = (each for each in self._kept.values() if each.revision > revision)
        return tuple(sorted(told, key=lambda each: each.revision))

    def shift(self, by_s: float) -> None:
        """Say all of it as much later: the wall clock was set ahead by *by_s* seconds."""
        for number, each in self._kept.items():
            self._kept[number] = replace(each, first=each.first + by_s, last=each.last + by_s)

    def __iter__(self) -> Iterator[Denial]:
        return iter(self._kept.values())

    @staticmethod
    def _is_over(denial: Denial, now: float) -> bool:
        # A clock that was put back ends a window too, if nobody has told of it.
        return not 0 <= now - denial.first < WINDOW_S

    def _close(self, number: int) -> None:
        denial = replace(self._kept[number], over=True)
        del self._open[denial.attempt]
        if denial.count > 1:
            self.revision += 1
            denial = replace(denial, revision=self.revision)
            self._ended.append(denial)
        self._kept[number] = denial

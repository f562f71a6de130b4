"""What of a run was right, what was excused and by which event, and what was wrong. Pure.

Nothing here comes from the daemon: connections are told by who opened them and by the world
they arrived in, and what was cut by who cut it and saw it whole again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from chaos.kinds import DENIED, KINDS, KNOWN, PERMITTED, SWINGS, Kind, kind_of


class Cut(Enum):
    """What an event cut, by which it excuses something."""

    TABLE = "the table"  # whatever leaves, leaves
    BEGUN = "what began then"  # it lives until it is ended
    LEARNING = "the programs"  # what was not known before is not learned
    RESOLVER = "the resolvers"  # the new one is not trusted yet
    LINK = "the link"
    POLICY = "the policy"  # of a swinging kind, either is right


@dataclass(frozen=True)
class Window:
    """Something was cut, in monotonic seconds, from just before to when it was seen whole again.

    Attributes:
        places: where from.
        bound_s: it must not last longer; None: that is up to the event.
    """

    cut: Cut
    places: tuple[str, ...]
    began: float
    ended: float
    bound_s: float | None
    event: int

    @property
    def lasted_s(self) -> float:
        """How long it was."""
        return self.ended - self.began


@dataclass(frozen=True)
class Attempt:
    """A connection that the client has to account for.

    Attributes:
        again: it went to an address that its kind had before.
        live: it was there before, and should have been of use now.
    """

    place: str
    kind: Kind
    family: int
    began: float
    ended: float
    address: str
    again: bool
    outcome: str
    live: bool = False

    @property
    def made(self) -> bool:
        """Whether it was made, or was of use."""
        return self.outcome.startswith(("connected", "echoed"))

    @property
    def name(self) -> str:
        """The kind, in reports."""
        return self.kind.name + " again" * self.again + " live" * self.live


@dataclass(frozen=True)
class Arrival:
    """A first SYN in the world."""

    at: float
    address: str


@dataclass(frozen=True)
class Swing:
    """From *began* on, in monotonic seconds, the kind *permitted* of SWINGS is."""

    began: float
    permitted: Kind


@dataclass(frozen=True)
class Fault:
    """What must not be.

    Attributes:
        what: ``passed`` for what was denied, ``failed`` for what was permitted.
        window: that excuses it; None: nothing does.
    """

    what: str
    where: str
    at: float
    kind: str
    address: str
    outcome: str
    window: Window | None


PASSED, FAILED = "passed", "failed"


class Judge:
    """Knows what was cut when, and which swinging kind was permitted when."""

    def __init__(self, windows: Sequence[Window], swings: Sequence[Swing]) -> None:
        self._windows = windows
        self._swings = swings

    def faults(self, attempts: Sequence[Attempt], arrivals: Sequence[Arrival]) -> tuple[Fault, ...]:
        """Return what must not be, excused or not, by time."""
        found = [f for each in attempts if (f := self._failed(each))]
        found += [f for each in attempts if (f := self._passed(each))]
        found += [f for each in arrivals if (f := self._arrived(each))]
        return tuple(sorted(found, key=lambda fault: fault.at))

    def _failed(self, attempt: Attempt) -> Fault | None:
        if attempt.outcome in {"connected", "echoed"} or attempt.again:
            return None
        if not self._permitted(attempt.kind, attempt.began, attempt.ended):
            return None
        cuts = _needed(attempt)
        window = self._window(cuts, attempt.began, attempt.ended, attempt.place)
        return _fault(FAILED, attempt, window)

    def _passed(self, attempt: Attempt) -> Fault | None:
        if not attempt.made or not self._denied(attempt.kind, attempt.began, attempt.ended):
            return None
        cuts = {Cut.TABLE, Cut.BEGUN} if attempt.live else {Cut.TABLE}
        window = self._window(cuts, attempt.began, attempt.ended, attempt.place)
        return _fault(PASSED, attempt, window)

    def _arrived(self, arrival: Arrival) -> Fault | None:
        kind = kind_of(arrival.address)
        name = kind.name if kind else "nothing known"
        if kind and not self._denied(kind, arrival.at, arrival.at):
            return None
        window = self._window({Cut.TABLE}, arrival.at, arrival.at)
        return Fault(PASSED, "world", arrival.at, name, arrival.address, "arrived", window)

    def _permitted(self, kind: Kind, began: float, ended: float) -> bool:
        return kind in PERMITTED or self._swung(began, ended) is kind

    def _denied(self, kind: Kind, began: float, ended: float) -> bool:
        if kind in DENIED:
            return True
        swung = self._swung(began, ended)
        return kind in SWINGS and swung is not None and swung is not kind

    def _swung(self, began: float, ended: float) -> Kind | None:
        """Return which swinging kind was permitted all the time; None when that changed."""
        if self._window({Cut.POLICY}, began, ended):
            return None
        before = [swing.permitted for swing in self._swings if swing.began <= began]
        return before[-1] if before else None

    def _window(
        self, cuts: Collection[Cut], began: float, ended: float, place: str | None = None
    ) -> Window | None:
        for window in self._windows:
            overlaps = began <= window.ended and ended >= window.began
            if window.cut in cuts and overlaps and place in (None, *window.places):
                return window
        return None


def _needed(attempt: Attempt) -> Collection[Cut]:
    """Return what *attempt* could not do without."""
    if attempt.live:
        return {Cut.LINK}
    if attempt.kind is not KNOWN:
        return {Cut.LINK, Cut.LEARNING, Cut.RESOLVER}
    # Linux takes an interface's queues away with its clsact qdisc (net/sched/sch_api.c,
    # qdisc_graft): what leaves at that moment is lost, but nothing is refused.
    return {Cut.LINK} if attempt.outcome == "ECONNREFUSED" else {Cut.LINK, Cut.LEARNING}


def _fault(what: str, attempt: Attempt, window: Window | None) -> Fault:
    at, name = attempt.began, attempt.name
    return Fault(what, attempt.place, at, name, attempt.address, attempt.outcome, window)


def read_attempt(place: str, line: str) -> Attempt:
    """Return the attempt that a line of a prober or keeper in *place* tells of."""
    kind, family, began, ended, address, outcome = line.rstrip("\n").split(" ", 5)
    return Attempt(
        place=place,
        kind=KINDS[kind],
        family=int(family),
        began=float(began),
        ended=float(ended),
        address=address.rstrip("*+"),
        again=address.endswith("*"),
        outcome=outcome,
        live=address.endswith("+"),
    )


def read_arrival(line: str) -> Arrival:
    """Return the arrival that a line of the witness tells of."""
    at, address = line.split()
    return Arrival(float(at), address)

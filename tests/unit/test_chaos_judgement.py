"""What a run of `./dev chaos` excuses, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaos.judgement import (
    FAILED,
    PASSED,
    Arrival,
    Attempt,
    Cut,
    Judge,
    Swing,
    Window,
    read_arrival,
    read_attempt,
)
from chaos.kinds import BARE, FRESH, KINDS, KNOWN, OTHER, SWINGS, Kind, kind_of
from chaos.world import PLACES

FIRST, SECOND = SWINGS
# The first swinging kind is permitted until the reload from 50 to 51.
JUDGE = Judge(
    (
        Window(Cut.TABLE, PLACES, 10.0, 11.0, 5.0, 0),
        Window(Cut.LEARNING, ("container",), 20.0, 21.0, 5.0, 1),
        Window(Cut.RESOLVER, PLACES, 30.0, 31.0, 5.0, 2),
        Window(Cut.LINK, PLACES, 40.0, 41.0, None, 3),
        Window(Cut.POLICY, PLACES, 50.0, 51.0, None, 4),
        Window(Cut.BEGUN, PLACES, 10.0, 11.5, 5.0, 0),
    ),
    (Swing(0.0, FIRST), Swing(51.0, SECOND)),
)
FINE = None
EXCUSED, WRONG = True, False


def attempt(
    kind: Kind, began: float, outcome: str, place: str = "host", *, again: bool = False
) -> Attempt:
    """Return one that took a tenth of a second."""
    return Attempt(place, kind, 4, began, began + 0.1, kind.address(4, 7), again, outcome)


def live(kind: Kind, began: float, outcome: str) -> Attempt:
    """Return one that was there before."""
    return replace(attempt(kind, began, outcome), live=True)


@pytest.mark.parametrize(
    ("tried", "what", "judged"),
    [
        (attempt(KNOWN, 5, "connected"), FAILED, FINE),
        (attempt(KNOWN, 5, "ECONNREFUSED"), FAILED, WRONG),
        (attempt(FRESH, 5, "connected late"), FAILED, WRONG),
        (attempt(FRESH, 5, "query unanswered"), FAILED, WRONG),
        (attempt(BARE, 5, "ECONNREFUSED"), PASSED, FINE),
        (attempt(BARE, 5, "ETIMEDOUT"), PASSED, FINE),
        (attempt(BARE, 5, "connected"), PASSED, WRONG),
        (attempt(OTHER, 5, "connected late"), PASSED, WRONG),
        # Without a table all passes, and nothing fails for that.
        (attempt(BARE, 10.5, "connected"), PASSED, EXCUSED),
        (attempt(BARE, 9.95, "connected"), PASSED, EXCUSED),
        (attempt(BARE, 11.01, "connected"), PASSED, WRONG),
        (attempt(FRESH, 10.5, "ECONNREFUSED"), FAILED, WRONG),
        # Without programs on the bridge a container's names are not learned.
        (attempt(FRESH, 20.5, "ECONNREFUSED", "container"), FAILED, EXCUSED),
        (attempt(FRESH, 20.5, "ECONNREFUSED", "host"), FAILED, WRONG),
        (attempt(KNOWN, 20.5, "ECONNREFUSED", "container"), FAILED, WRONG),
        (attempt(KNOWN, 20.5, "connected late", "container"), FAILED, EXCUSED),
        (attempt(BARE, 20.5, "connected", "container"), PASSED, WRONG),
        (attempt(FRESH, 30.5, "query EPERM"), FAILED, EXCUSED),
        (attempt(KNOWN, 30.5, "ETIMEDOUT"), FAILED, WRONG),
        (attempt(KNOWN, 40.5, "ENETUNREACH"), FAILED, EXCUSED),
        (attempt(BARE, 40.5, "connected"), PASSED, WRONG),
        (attempt(FIRST, 5, "ECONNREFUSED"), FAILED, WRONG),
        (attempt(SECOND, 5, "connected"), PASSED, WRONG),
        (attempt(FIRST, 50.5, "ECONNREFUSED"), FAILED, FINE),
        (attempt(FIRST, 50.5, "connected"), PASSED, FINE),
        (attempt(FIRST, 52, "connected"), PASSED, WRONG),
        (attempt(FIRST, 52, "connected", again=True), PASSED, WRONG),
        (attempt(SECOND, 52, "ECONNREFUSED"), FAILED, WRONG),
        # What an address was before, it need not be for the same name again.
        (attempt(SECOND, 52, "ECONNREFUSED", again=True), FAILED, FINE),
        (live(KNOWN, 5, "echoed"), FAILED, FINE),
        (live(KNOWN, 5, "ECONNRESET"), FAILED, WRONG),
        (live(KNOWN, 40.5, "no echo"), FAILED, EXCUSED),
        (live(KNOWN, 20.5, "no echo"), FAILED, WRONG),
        # What a reload takes away takes its connections with it.
        (live(FIRST, 52, "echoed"), PASSED, WRONG),
        (live(FIRST, 52, "ECONNRESET"), PASSED, FINE),
        # What began without a table is ended after there is one again.
        (live(SECOND, 11.2, "echoed"), PASSED, EXCUSED),
        (live(SECOND, 11.6, "echoed"), PASSED, WRONG),
        (attempt(SECOND, 11.2, "connected"), PASSED, WRONG),
    ],
)
def test_an_attempt_is_judged_by_what_was_cut(
    tried: Attempt, what: str, judged: bool | None
) -> None:
    """Only by an event that cut what it needed, where it was, while it lasted."""
    faults = JUDGE.faults([tried], [])
    if judged is FINE:
        assert faults == ()
    else:
        (fault,) = faults
        assert fault.what == what
        assert (fault.window is not None) is judged


@pytest.mark.parametrize(
    ("at", "kind", "judged"),
    [
        (5, BARE, WRONG),
        (5, OTHER, WRONG),
        (10.5, OTHER, EXCUSED),
        (40.5, OTHER, WRONG),
        (5, FIRST, FINE),
        (5, SECOND, WRONG),
        (50.5, FIRST, FINE),
        (52, FIRST, WRONG),
    ],
)
def test_a_packet_in_the_world_is_judged_by_its_moment(
    at: float, kind: Kind, judged: bool | None
) -> None:
    """What arrives is proof, whatever its client says."""
    faults = JUDGE.faults([], [Arrival(at, kind.address(6, 9))])
    if judged is FINE:
        assert faults == ()
    else:
        assert [fault.window is not None for fault in faults] == [judged]


def test_a_packet_to_nowhere_known_is_a_fault() -> None:
    """Nobody probes it: it shows a hole in the run, or in the firewall."""
    (fault,) = JUDGE.faults([], [Arrival(5.0, "198.51.100.1")])
    assert fault.kind == "nothing known"


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize("number", [0, 1, 4711, (1 << 32) - 1])
def test_an_address_tells_its_kind(kind: Kind, number: int) -> None:
    """Whatever its number."""
    assert kind_of(kind.address(4, number)) is kind
    assert kind_of(kind.address(6, number)) is kind


def test_lines_of_the_scripts_are_read() -> None:
    """As chaos/inside writes them."""
    read = read_attempt("host", "swing-a 6 1.5 2.5 2001:db8:5:a::1* query unanswered\n")
    assert read == Attempt(
        "host", FIRST, 6, 1.5, 2.5, "2001:db8:5:a::1", again=True, outcome="query unanswered"
    )
    kept = read_attempt("host", "known 4 1.5 2.5 198.18.0.1+ ECONNRESET\n")
    assert (kept.address, kept.live, kept.name) == ("198.18.0.1", True, "known live")
    assert read_arrival("3.25 198.18.128.1\n") == Arrival(3.25, "198.18.128.1")

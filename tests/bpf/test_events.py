"""Events on their way through a real ring: whole, in order, and counted where they are lost."""

from __future__ import annotations

import select

import pytest

from enforcer.abi import Stat
from enforcer.edge import cpus
from enforcer.edge.programs import Programs
from tests.bpf.conftest import told
from tests.bpf.messages import answer, query
from tests.bpf.test_learning import ask, reply

# As large as a packet that BPF_PROG_TEST_RUN takes, a page, can bring.
LARGE = 3500

pytestmark = pytest.mark.root


def answered(programs: Programs, count: int, size: int = 0) -> list[bytes]:
    """Let *count* answers arrive, padded to *size*; return what is on the wire."""
    wires = []
    for n in range(count):
        asked = query("registry.test")
        asked.id = n
        wire = answer(asked, f"registry.test. {60 + n} IN A 203.0.113.1").to_wire()
        wire += bytes(max(0, size - len(wire)))
        ask(programs, asked)
        reply(programs, wire)
        wires.append(wire)
    return wires


@pytest.mark.parametrize("size", [0, 511, 1000, LARGE])
def test_events_survive_many_turns_of_the_ring(programs: Programs, size: int) -> None:
    """More than a ring holds, read in between: each comes whole, wherever it wraps."""
    for _ in range(40):
        assert [event.wire for event in programs.drain()] == []
        wires = answered(programs, 30, size)
        # They may be on several CPUs' rings, each in its own order.
        assert sorted(event.wire for event in programs.drain()) == sorted(wires)


def test_a_full_ring_loses_events_counts_them_and_goes_on(programs: Programs) -> None:
    """What is lost shows in status; the ring is good for the next event."""
    before = programs.stats()[Stat.LOST]
    sent = len(answered(programs, 400, LARGE))
    lost = programs.stats()[Stat.LOST] - before
    assert lost > 0
    assert len(programs.drain()) == sent - lost
    wires = answered(programs, 3)
    assert sorted(event.wire for event in programs.drain()) == sorted(wires)


def test_what_a_limit_left_is_announced() -> None:
    """The kernel tells a wake-up once: without another, the rest of a flood would lie there."""
    programs = told()
    readable = select.poll()
    for fd in programs.open_events():
        readable.register(fd, select.POLLIN)
    try:
        assert readable.poll(0) == []
        answered(programs, 10)
        taken, rounds = 0, 0
        while readable.poll(0):
            events = programs.drain(2)
            assert len(events) <= max(2, len(cpus.online()))
            taken += len(events)
            rounds += 1
        assert taken == 10
        assert rounds > 1
    finally:
        programs.close()


def test_hushed_rings_keep_answers_and_announce_only_a_pile() -> None:
    """Who drains by the clock is not woken, and misses nothing, a flood least of all."""
    programs = told()
    readable = select.poll()
    for fd in programs.open_events():
        readable.register(fd, select.POLLIN)
    try:
        programs.hush()
        quiet = answered(programs, 10)
        assert readable.poll(0) == []
        answered(programs, 400, LARGE)  # more than half of every ring
        assert readable.poll(0) != []
        assert {event.wire for event in programs.drain()} >= set(quiet)
        readable.poll(0)
        programs.announce()
        assert readable.poll(0) == []
        answered(programs, 1)
        assert readable.poll(0) != []
        assert len(programs.drain()) == 1
    finally:
        programs.close()

"""The kernel's parser and user space's on one message, and what they make of it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from enforcer.core.addresses import Address, learnable
from enforcer.core.answers import parse
from enforcer.core.grants import Grants
from enforcer.core.hosts import Host
from enforcer.edge.programs import Programs
from enforcer.errors import MalformedAnswer
from tests.bpf.conftest import GRACE_S, GRANTS, MIN_TTL_S, OWN, RESOLVERS
from tests.bpf.corpus.wire import A, Message, Name
from tests.bpf.run import run, udp

CLIENT, PORT = "192.0.2.2", 40000
QUERY = Message(Name((b"registry", b"test")), A, flags=0x0100).to_wire()
SLACK_S = 1e-3  # of an end in nanoseconds that became a float

# (address, port) -> seconds from the arrival of the message
Opened = dict[tuple[Address, int], float]


class Disagreement(AssertionError):
    """The kernel let through what user space would not, or less of a plain message."""


@dataclass(frozen=True)
class Outcome:
    """What a message opened, by either side."""

    learned: Opened
    opened: Opened


class Parsers:
    """Both parsers, told the same policy.

    Args:
        programs: loaded, with the grants of conftest.py; what they hold is forgotten.
    """

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        programs.forget(programs.learned())
        programs.drain()
        self._grants = Grants(Host(g.pattern, g.ports, g.private, "") for g in GRANTS)
        self._own = frozenset({ip_address(OWN)})

    def check(self, wire: bytes, *, plain: bool = False) -> Outcome:
        """Give *wire* to both.

        The kernel may learn less than user space opens, and no longer; of a plain
        message it learns all. What it leaves out must have come to user space.

        Raises:
            Disagreement: it isn't so.
        """
        learned, passed_on = self._learn(wire)
        opened = self._open(wire)
        for key, lifetime_s in learned.items():
            if key not in opened:
                raise Disagreement(f"the kernel alone learned {_text(learned, opened)}")
            if lifetime_s > opened[key] + SLACK_S:
                raise Disagreement(f"the kernel keeps longer: {_text(learned, opened)}")
        if opened and not passed_on and _is_hostname(wire):
            raise Disagreement(f"user space never saw the message: {_text(learned, opened)}")
        if plain and learned.keys() != opened.keys():
            raise Disagreement(f"the kernel missed some: {_text(learned, opened)}")
        if plain and any(abs(learned[k] - opened[k]) > SLACK_S for k in learned):
            raise Disagreement(f"lifetimes differ: {_text(learned, opened)}")
        return Outcome(learned, opened)

    def _learn(self, wire: bytes) -> tuple[Opened, bool]:
        """Return what the kernel learns, and whether it passes the message on."""
        programs = self._programs
        query = wire[:2] + QUERY[2:]
        run(programs.dns_query, udp(CLIENT, PORT, RESOLVERS[0], 53, query))
        run(programs.dns_answer, udp(RESOLVERS[0], 53, CLIENT, PORT, wire))
        learned = programs.learned()
        programs.forget(learned)
        events = programs.drain()
        if learned and not events:
            raise Disagreement(f"the kernel learned {sorted(map(str, learned))} silently")
        if events and events[0].wire != wire:
            raise Disagreement("the kernel passed on another message")
        return {key: end - events[0].time for key, end in learned.items()}, bool(events)

    def _open(self, wire: bytes) -> Opened:
        """Return what user space opens."""
        try:
            answer = parse(wire)
        except MalformedAnswer:
            return {}
        grant = self._grants.match(answer.qname)
        if grant is None:
            return {}
        lifetime_s = max(answer.ttl_s, MIN_TTL_S) + GRACE_S
        return {
            (address, port): lifetime_s
            for address in answer.addresses
            if learnable(address, private=grant.private, own=self._own)
            for port in grant.ports
        }


def minimise(parsers: Parsers, wire: bytes, *, plain: bool) -> bytes:
    """Return a shorter message, with more zeros in it, on which they disagree too.

    A plain message is returned as it is: nothing tells whether a part of it is plain.
    """
    if plain:
        return wire

    def disagree(candidate: bytes) -> bool:
        try:
            parsers.check(candidate)
        except Disagreement:
            return True
        return False

    size = len(wire) // 2
    while size:
        place = 0
        while place < len(wire):
            for candidate in (
                wire[:place] + wire[place + size :],
                wire[:place] + bytes(len(wire[place : place + size])) + wire[place + size :],
            ):
                if candidate != wire and len(candidate) >= 12 and disagree(candidate):
                    wire = candidate
                    break
            else:
                place += size
        size //= 2
    return wire


def _is_hostname(wire: bytes) -> bool:
    """Tell whether the kernel matches the QNAME: host name characters, not compressed."""
    place = 12
    while place < len(wire) and (size := wire[place]):
        label = wire[place + 1 : place + 1 + size].lower()
        if size > 63 or label.strip(b"abcdefghijklmnopqrstuvwxyz0123456789-_"):
            return False
        place += 1 + size
    return True


def _text(learned: Opened, opened: Opened) -> str:
    def listed(pairs: Opened) -> str:
        return ", ".join(
            f"{a} port {p} for {s:.3f} s" for (a, p), s in sorted(pairs.items(), key=str)
        )

    return f"kernel [{listed(learned)}], user space [{listed(opened)}]"

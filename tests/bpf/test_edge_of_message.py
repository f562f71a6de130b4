"""Answers as long as messages are read, 4,096 octets: what the walk meets at their end.

An offset of 4,096 becomes 0 where the verifier wants it masked. There stands the
header, whose id a client chooses: here one that would be read as the owner of a record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

import pytest

from enforcer.core import answers
from enforcer.core.interfaces import LOOPBACK, Interface, Program
from enforcer.edge.filters import Filters
from enforcer.edge.programs import Programs
from enforcer.errors import MalformedAnswer
from tests.bpf.conftest import LOOPBACK_INDEX, told
from tests.bpf.messages import learned
from tests.lab.guarded import udp
from tests.lab.namespace import Namespace
from tests.lab.topology import topology

pytestmark = pytest.mark.root

RESOLVER = "127.0.0.1"
MESSAGE_MAX = 4096  # bpf/abi.h
CNAME, AAAA, IN = 5, 28, 1
HEADER, RECORD_FIXED, QUESTION_FIXED = 12, 12, 4
PERMITTED = b"\x08registry\x04test\0"
ZONE = b"\x03cdn\x04test\0"
# Of an alias that comes first, its target.
TARGET = HEADER + len(PERMITTED) + QUESTION_FIXED + RECORD_FIXED
ID = 0xC000 | TARGET


def record(kind: int, data: bytes, owner: int = TARGET, size: int | None = None) -> bytes:
    """Return a record with the name at *owner*, which says that its data has *size* octets."""
    length = len(data) if size is None else size
    return struct.pack("!HHHIH", 0xC000 | owner, kind, IN, 60, length) + data


def name(size: int) -> bytes:
    """Return a name of *size* octets that refers to no other."""
    labels, rest = b"", size - 1
    while rest > 64:
        labels, rest = labels + b"\x3f" + b"x" * 63, rest - 64
    return labels + bytes([rest - 1]) + b"y" * (rest - 1) + b"\0"


def alias(target: bytes, owner: int = HEADER) -> bytes:
    """Return a record of the chain."""
    return record(CNAME, target, owner)


def addresses(count: int) -> tuple[bytes, ...]:
    """Return as many records of the first alias' target."""
    base = int(IPv6Address("2a00:1450:4001::"))
    return tuple(record(AAAA, IPv6Address(base + n).packed) for n in range(1, count + 1))


def message(*records: bytes, count: int | None = None, of: bytes = PERMITTED) -> bytes:
    """Return an answer about the name *of*, which says that it has *count* records."""
    said = len(records) if count is None else count
    header = struct.pack("!HHHHHH", ID, 0x8180, 1, said, 0, 0)
    return header + of + struct.pack("!HH", AAAA, IN) + b"".join(records)


def behind(of: bytes, aliases: int) -> int:
    """Return where the target of the last of *aliases* is, each of 255 octets, of the name *of*."""
    first = HEADER + len(of) + QUESTION_FIXED + RECORD_FIXED
    return first + (aliases - 1) * (RECORD_FIXED + 255)


# A name as long as names get, and as many aliases of it as are followed, reach the end.
LONG = name(255 - len(ZONE) + 1)[:-1] + ZONE
CHAIN = message(*(alias(name(255), 12 if n == 0 else behind(LONG, n)) for n in range(14)), of=LONG)
LAST = behind(LONG, 14)
ROOM = MESSAGE_MAX - len(CHAIN) - RECORD_FIXED


def chained(end: bytes) -> bytes:
    """Return a chain of aliases whose last target fills the message and ends with *end*."""
    labels = name(ROOM - len(end) + 1)[:-1]
    last = alias(labels + end, LAST)
    return CHAIN[:7] + bytes([CHAIN[7] + 1]) + CHAIN[8:] + last


@pytest.fixture(scope="module")
def host() -> Iterator[Namespace]:
    """Return a machine: BPF_PROG_TEST_RUN takes no packet of more than a page."""
    with topology() as net:
        yield net.host


@pytest.fixture(scope="module")
def attached(host: Namespace) -> Iterator[Programs]:
    """Return programs on the loopback of the machine, where a resolver answers."""
    programs = told()
    programs.set_resolvers({ip_address(RESOLVER): LOOPBACK_INDEX})
    programs.open_events()

    def attach() -> None:
        filters = Filters()
        on_loopback = {
            Program.DNS_QUERY: programs.dns_query,
            Program.DNS_ANSWER: programs.dns_answer,
        }
        filters.attach(Interface(1, LOOPBACK), on_loopback)
        filters.close()

    host.call(attach)
    yield programs
    programs.close()


@pytest.fixture
def programs(attached: Programs) -> Programs:
    """Return them with nothing learned and no event waiting."""
    attached.forget(attached.learned())
    attached.drain()
    return attached


def answered(host: Namespace, wire: bytes) -> None:
    """Ask on *host* what *wire* is about, and have it answer."""
    question = wire[HEADER : wire.index(b"\0", HEADER) + 1 + QUESTION_FIXED]
    asked = struct.pack("!HHHHHH", ID, 0x0100, 1, 0, 0, 0) + question
    with udp(host, RESOLVER, (RESOLVER, 53)) as server, udp(host, RESOLVER) as client:
        client.sendto(asked, (RESOLVER, 53))
        _, who = server.recvfrom(MESSAGE_MAX)
        server.sendto(wire, who)
        assert client.recv(2 * MESSAGE_MAX) == wire


def opened(wire: bytes) -> int:
    """Return how many addresses user space takes from *wire*."""
    try:
        return len(answers.parse(wire, cut=False).addresses)
    except MalformedAnswer:
        return 0


WHOLE = message(alias(name(21)), *addresses(144))
# Where the message ends, the walk is in the middle of something.
BEYOND = {
    "one more record": message(alias(name(21)), *addresses(144), count=146),
    "a record cut by the end": message(alias(name(25)), *addresses(144))[:MESSAGE_MAX],
    "data that ends behind the end": message(
        alias(name(21)), *addresses(143), record(AAAA, bytes(16), size=17)
    ),
    "a label that goes on": chained(b"\x3f"),
    "half a pointer": chained(b"\xc0"),
    "a name without an end": chained(b"\x01a"),
}


def test_records_that_end_with_the_message_are_all_learned(
    host: Namespace, programs: Programs
) -> None:
    """The last octet of the last one is the last of all that is read."""
    assert len(WHOLE) == MESSAGE_MAX
    answered(host, WHOLE)
    assert len(learned(programs)) == opened(WHOLE) == 144
    (event,) = programs.drain()
    assert (event.wire, event.cut, event.unusual) == (WHOLE, False, False)


@pytest.mark.parametrize("wire", BEYOND.values(), ids=list(BEYOND))
def test_what_does_not_end_with_the_message_is_left_to_user_space(
    host: Namespace, programs: Programs, wire: bytes
) -> None:
    """Nothing of it is learned; user space reads nothing in it either."""
    assert len(wire) == MESSAGE_MAX
    answered(host, wire)
    assert learned(programs) == set()
    assert opened(wire) == 0
    (event,) = programs.drain()
    assert (event.wire, event.cut, event.unusual) == (wire, False, True)


def test_a_chain_that_ends_with_the_message_is_followed(
    host: Namespace, programs: Programs
) -> None:
    """It leads to no address, which is an answer like others."""
    wire = chained(b"\0")
    assert len(wire) == MESSAGE_MAX
    answered(host, wire)
    (event,) = programs.drain()
    assert (event.wire, event.unusual) == (wire, False)


def test_a_longer_message_is_passed_on_cut(host: Namespace, programs: Programs) -> None:
    """All that is read of it would be an answer by itself."""
    answered(host, WHOLE + b"\0")
    assert learned(programs) == set()
    (event,) = programs.drain()
    assert (event.wire, event.cut, event.unusual) == (WHOLE, True, True)

"""What the kernel learns from a DNS answer, packet in, map out."""

from __future__ import annotations

import time
from ipaddress import ip_address

import dns.flags
import dns.message
import dns.name
import pytest

from enforcer.abi import Stat
from enforcer.edge.programs import Programs
from tests.bpf.conftest import GRACE_S, LOOPBACK_INDEX, MIN_TTL_S, OWN, RESOLVERS
from tests.bpf.messages import answer, learned, query
from tests.bpf.run import ip, run, udp

pytestmark = pytest.mark.root

CLIENTS = {4: "192.0.2.2", 6: "2001:db8::2"}
PORT = 40000
PASS = -1  # TC_ACT_UNSPEC: whatever else is attached decides


def ask(programs: Programs, asked: dns.message.QueryMessage, family: int = 4) -> None:
    """Let the query leave."""
    resolver = RESOLVERS[0 if family == 4 else 1]
    frame = udp(CLIENTS[family], PORT, resolver, 53, asked.to_wire())
    assert run(programs.dns_query, frame) == PASS


def reply(programs: Programs, wire: bytes, family: int = 4) -> None:
    """Let the answer arrive."""
    resolver = RESOLVERS[0 if family == 4 else 1]
    assert run(programs.dns_answer, udp(resolver, 53, CLIENTS[family], PORT, wire)) == PASS


LEARNED = [
    ("A", ["registry.test. 60 IN A 203.0.113.1"], {("203.0.113.1", 443)}),
    ("AAAA", ["registry.test. 60 IN AAAA 2001:db8:1::1"], {("2001:db8:1::1", 443)}),
    (
        "A",
        ["registry.test. 60 IN A 203.0.113.1 203.0.113.2 203.0.113.3"],
        {("203.0.113.1", 443), ("203.0.113.2", 443), ("203.0.113.3", 443)},
    ),
    (
        "A",
        [
            "registry.test. 60 IN CNAME a.far.example.",
            "a.far.example. 60 IN CNAME b.example.",
            "b.example. 60 IN A 203.0.113.9",
        ],
        {("203.0.113.9", 443)},
    ),
    (
        "A",
        ["registry.test. 60 IN CNAME test.", "test. 60 IN A 203.0.113.10"],
        {("203.0.113.10", 443)},
    ),
]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("kind", "records", "expected"), LEARNED)
def test_addresses_of_a_permitted_name_are_learned(
    programs: Programs, kind: str, records: list[str], expected: set[tuple[str, int]], family: int
) -> None:
    """A, AAAA and CNAME chains over IPv4 and IPv6 are learned in the kernel."""
    asked = query("registry.test", kind)
    ask(programs, asked, family)
    reply(programs, answer(asked, *records).to_wire(), family)
    assert learned(programs) == expected


REJECTED = [
    ("loopback", ["registry.test. 60 IN A 127.0.0.1"]),
    ("cloud metadata", ["registry.test. 60 IN A 169.254.169.254"]),
    ("RFC 1918", ["registry.test. 60 IN A 10.1.2.3"]),
    ("CGNAT", ["registry.test. 60 IN A 100.64.1.2"]),
    ("multicast", ["registry.test. 60 IN A 224.0.0.1"]),
    ("broadcast", ["registry.test. 60 IN A 255.255.255.255"]),
    ("an address of this machine", [f"registry.test. 60 IN A {OWN}"]),
    ("IPv6 loopback", ["registry.test. 60 IN AAAA ::1"]),
    ("IPv6 link-local", ["registry.test. 60 IN AAAA fe80::1"]),
    ("unique local", ["registry.test. 60 IN AAAA fd00::1"]),
    ("IPv4-mapped", ["registry.test. 60 IN AAAA ::ffff:203.0.113.1"]),
    ("another owner", ["other.test. 60 IN A 203.0.113.1"]),
    (
        "beside the chain",
        ["registry.test. 60 IN CNAME a.example.", "other.example. 60 IN A 203.0.113.1"],
    ),
]


@pytest.mark.parametrize(("why", "records"), REJECTED)
def test_other_addresses_are_not_learned(programs: Programs, why: str, records: list[str]) -> None:
    """What a permitted name must not open stays closed."""
    asked = query("registry.test", "ANY")
    ask(programs, asked)
    reply(programs, answer(asked, *records).to_wire())
    assert learned(programs) == set(), why


def test_another_class_is_not_learned(programs: Programs) -> None:
    """An A record of class CHAOS holds no Internet address."""
    asked = query("registry.test")
    wire = bytearray(answer(asked, "registry.test. 60 IN A 203.0.113.1").to_wire())
    wire[-11] = 3  # CH, in the last record: class, TTL, RDLENGTH and four octets
    ask(programs, asked)
    reply(programs, bytes(wire))
    assert learned(programs) == set()


def test_a_private_host_may_have_private_addresses_on_all_its_ports(programs: Programs) -> None:
    """`private` opens RFC 1918, but neither loopback nor link-local."""
    asked = query("inside.test")
    ask(programs, asked)
    records = "inside.test. 60 IN A 10.1.2.3 127.0.0.1 169.254.169.254"
    reply(programs, answer(asked, records).to_wire())
    assert learned(programs) == {("10.1.2.3", 443), ("10.1.2.3", 5000)}


NAMES = [
    ("registry.test", True),
    ("REGISTRY.Test", True),
    ("registry.test.evil.example", False),
    ("aregistry.test", False),
    ("a.registry.test", False),
    ("registry.tes", False),
    ("cdn.test", False),
    ("a.cdn.test", True),
    ("a.b.c.cdn.test", True),
    ("acdn.test", False),
    (f"{'x' * 63}.{'y' * 63}.{'z' * 63}.{'w' * 52}.cdn.test", True),
    (r"a\.cdn.test", False),
    (r"a\003cdn.test", False),
]


@pytest.mark.parametrize(("name", "expected"), NAMES)
def test_names_match_as_the_policy_means_them(
    programs: Programs, name: str, expected: bool
) -> None:
    """Exact names match themselves, wildcards all below, in any case; nothing else does."""
    asked = query(name)
    ask(programs, asked)
    reply(programs, answer(asked, f"{name}. 60 IN A 203.0.113.1").to_wire())
    assert bool(learned(programs)) == expected


def test_only_the_answer_to_a_remembered_query_is_learned(programs: Programs) -> None:
    """Unasked, wrong id, wrong port, wrong resolver: not learned. One answer a query."""
    asked = query("registry.test")
    wire = answer(asked, "registry.test. 60 IN A 203.0.113.1").to_wire()
    reply(programs, wire)
    assert learned(programs) == set()
    ask(programs, asked)
    reply(programs, b"\xff\xff" + wire[2:])
    run(programs.dns_answer, udp(RESOLVERS[0], 53, CLIENTS[4], PORT + 1, wire))
    run(programs.dns_answer, udp("192.0.2.66", 53, CLIENTS[4], PORT, wire))
    run(programs.dns_answer, udp(RESOLVERS[0], 5353, CLIENTS[4], PORT, wire))
    assert learned(programs) == set()
    reply(programs, wire)
    assert learned(programs) == {("203.0.113.1", 443)}
    second = answer(asked, "registry.test. 60 IN A 203.0.113.2").to_wire()
    reply(programs, second)
    assert learned(programs) == {("203.0.113.1", 443)}


def test_a_query_to_another_resolver_is_not_remembered(programs: Programs) -> None:
    """Only trusted resolvers count, whoever claims to answer for them."""
    before = programs.stats()[Stat.QUERIES]
    run(
        programs.dns_query,
        udp(CLIENTS[4], PORT, "192.0.2.66", 53, query("registry.test").to_wire()),
    )
    assert programs.stats()[Stat.QUERIES] == before


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [(0, MIN_TTL_S), (59, MIN_TTL_S), (61, 61), (3600, 3600), (2**31 - 1, 86400)],
)
def test_the_lifetime_is_the_ttl_raised_to_the_minimum_and_the_grace(
    programs: Programs, ttl: int, expected: int
) -> None:
    """max(TTL, min_ttl) + grace, from the arrival of the answer."""
    asked = query("registry.test")
    ask(programs, asked)
    reply(programs, answer(asked, f"registry.test. {ttl} IN A 203.0.113.1").to_wire())
    left = programs.learned()[ip_address("203.0.113.1"), 443] - time.monotonic()
    assert expected + GRACE_S - 5 < left <= expected + GRACE_S


def test_the_smallest_ttl_of_the_chain_counts(programs: Programs) -> None:
    """An alias that lives 100 s does not make an address live 1,000 s."""
    asked = query("registry.test")
    ask(programs, asked)
    records = ("registry.test. 100 IN CNAME x.example.", "x.example. 1000 IN A 203.0.113.1")
    reply(programs, answer(asked, *records).to_wire())
    left = programs.learned()[ip_address("203.0.113.1"), 443] - time.monotonic()
    assert left <= 100 + GRACE_S


def test_the_whole_answer_reaches_user_space(programs: Programs) -> None:
    """The event carries the message byte for byte."""
    asked = query("registry.test")
    wire = answer(asked, "registry.test. 60 IN A 203.0.113.1").to_wire()
    ask(programs, asked)
    reply(programs, wire)
    (event,) = programs.drain()
    assert event.wire == wire
    assert not event.unusual


def test_an_unusual_answer_is_left_to_user_space(programs: Programs) -> None:
    """An owner that is not compressed is not learned here, but passed on as unusual."""
    asked = query("registry.test")
    ask(programs, asked)
    head = answer(asked).to_wire()
    record = dns.name.from_text("registry.test").to_digestable() + bytes.fromhex(
        "0001 0001 0000003c 0004"
    )
    reply(programs, head[:6] + b"\0\1" + head[8:] + record + ip_address("203.0.113.1").packed)
    assert learned(programs) == set()
    (event,) = programs.drain()
    assert event.unusual


@pytest.mark.parametrize("rcode", [1, 2, 3, 5])
def test_an_error_opens_nothing(programs: Programs, rcode: int) -> None:
    """Records beside an RCODE other than NOERROR are not believed."""
    asked = query("registry.test")
    ask(programs, asked)
    reply(programs, answer(asked, "registry.test. 60 IN A 203.0.113.1", rcode=rcode).to_wire())
    assert learned(programs) == set()


def test_a_truncated_answer_opens_nothing_and_is_passed_on(programs: Programs) -> None:
    """User space looks a truncated name up itself."""
    asked = query("registry.test")
    ask(programs, asked)
    message = answer(asked, "registry.test. 60 IN A 203.0.113.1")
    message.flags |= dns.flags.TC
    reply(programs, message.to_wire())
    assert learned(programs) == set()
    assert len(programs.drain()) == 1


def test_every_cut_of_an_answer_is_survived(programs: Programs) -> None:
    """However short a message is cut, only whole records of it are learned."""
    asked = query("registry.test")
    wire = answer(asked, "registry.test. 60 IN A 203.0.113.1 203.0.113.2").to_wire()
    for size in range(len(wire)):
        ask(programs, asked)
        reply(programs, wire[:size])
        # The records are shuffled: one of the two may be whole.
        assert len(learned(programs)) <= (size >= len(wire) - 16)
        programs.forget(programs.learned())


def test_fragments_and_other_protocols_are_let_be(programs: Programs) -> None:
    """A fragment, TCP, and nonsense pass untouched."""
    asked = query("registry.test")
    wire = answer(asked, "registry.test. 60 IN A 203.0.113.1").to_wire()
    datagram = udp(RESOLVERS[0], 53, CLIENTS[4], PORT, wire)[34:]
    for protocol, fragment in ((17, 0x2000), (17, 1), (6, 0), (47, 0)):
        ask(programs, asked)
        frame = ip(RESOLVERS[0], CLIENTS[4], protocol, datagram, fragment)
        assert run(programs.dns_answer, frame) == PASS
    assert run(programs.dns_answer, bytes(14)) == PASS
    assert learned(programs) == set()


def test_a_hundred_addresses_are_learned(programs: Programs) -> None:
    """A large answer is learned whole."""
    asked = query("registry.test")
    addresses = [f"203.0.113.{n}" for n in range(1, 101)]
    ask(programs, asked)
    reply(programs, answer(asked, f"registry.test. 60 IN A {' '.join(addresses)}").to_wire())
    assert learned(programs) == {(address, 443) for address in addresses}


@pytest.mark.parametrize("family", [4, 6])
def test_nothing_is_learned_on_the_loopback_of_a_resolver_elsewhere(
    programs: Programs, family: int
) -> None:
    """A socket that may bind to any address answers there in its name."""
    asked = query("registry.test", "A")
    replied = answer(asked, "registry.test. 60 IN A 203.0.113.1").to_wire()
    try:
        for facing in (LOOPBACK_INDEX + 1, 0, LOOPBACK_INDEX):
            assert learned(programs) == set()
            programs.set_resolvers({ip_address(each): facing for each in RESOLVERS})
            ask(programs, asked, family)
            reply(programs, replied, family)
        assert learned(programs) == {("203.0.113.1", 443)}
    finally:
        programs.set_resolvers({ip_address(each): LOOPBACK_INDEX for each in RESOLVERS})

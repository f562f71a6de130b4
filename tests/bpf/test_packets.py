"""Which packets an answer is found in: headers before it, fragments, lengths that lie."""

from __future__ import annotations

import socket
import struct

import pytest

from enforcer.edge.programs import Programs
from tests.bpf.conftest import RESOLVERS
from tests.bpf.messages import answer, learned, query
from tests.bpf.run import ip, run, udp

pytestmark = pytest.mark.root

CLIENTS = {4: "192.0.2.2", 6: "2001:db8::2"}
PORT = 40067
ETHERNET = 14
ASKED = query("registry.test")
ANSWER = answer(ASKED, "registry.test. 60 IN A 203.0.113.1").to_wire()
LEARNED = {("203.0.113.1", 443)}
# Extension headers (RFC 8200 section 4), the number of the first and then each: the
# next header, and what follows it.
PAD = bytes.fromhex("0104 00000000")
HOP_BY_HOP, ROUTING, FRAGMENT, ESP, AUTHENTICATION, NONE, DESTINATION = 0, 43, 44, 50, 51, 59, 60


def datagram(body: bytes = ANSWER, size: int | None = None) -> bytes:
    """Return a UDP datagram to the client, which claims to have *size* octets."""
    claimed = 8 + len(body) if size is None else size
    return struct.pack("!HHHH", 53, PORT, claimed, 0) + body


def extended(*kinds: int, transport: int = socket.IPPROTO_UDP, fragment: int = 0) -> bytes:
    """Return extension headers of *kinds*, without the number of the first."""
    parts: list[bytes] = []
    for following in (*kinds[1:], transport):
        kind = kinds[len(parts)]
        rest = struct.pack("!BHI", 0, fragment, 1) if kind == FRAGMENT else b"\0" + PAD
        parts.append(bytes([following]) + rest)
    return b"".join(parts)


def arrive(
    programs: Programs, family: int, protocol: int, payload: bytes, fragment: int = 0
) -> None:
    """Let a query leave and an IP packet from its resolver arrive."""
    client, resolver = CLIENTS[family], RESOLVERS[0 if family == 4 else 1]
    run(programs.dns_query, udp(client, PORT, resolver, 53, ASKED.to_wire()))
    run(programs.dns_answer, ip(resolver, client, protocol, payload, fragment))


WALKED = [
    (HOP_BY_HOP,),
    (DESTINATION,),
    (FRAGMENT,),  # the only one: RFC 6946
    (HOP_BY_HOP, DESTINATION),
    (HOP_BY_HOP, DESTINATION, FRAGMENT, DESTINATION),
]
REFUSED = [
    (ROUTING,),
    (HOP_BY_HOP, ROUTING),
    (AUTHENTICATION,),
    (ESP,),
    (NONE,),
    (135,),  # mobility
    (DESTINATION,) * 5,
]


@pytest.mark.parametrize("kinds", WALKED)
def test_options_before_the_datagram_are_walked(programs: Programs, kinds: tuple[int, ...]) -> None:
    """IPv6 extension headers that change nothing about the datagram."""
    arrive(programs, 6, kinds[0], extended(*kinds) + datagram())
    assert learned(programs) == LEARNED


@pytest.mark.parametrize("kinds", REFUSED)
def test_other_headers_before_the_datagram_are_refused(
    programs: Programs, kinds: tuple[int, ...]
) -> None:
    """What leads elsewhere, can't be read or has no end is not searched for an answer."""
    arrive(programs, 6, kinds[0], extended(*kinds) + datagram())
    assert learned(programs) == set()
    assert programs.drain() == ()


def test_headers_that_end_beyond_the_packet_are_refused(programs: Programs) -> None:
    """An extension header that says it is longer than everything there is."""
    headers = bytes([socket.IPPROTO_UDP, 255]) + PAD
    arrive(programs, 6, DESTINATION, headers + datagram())
    assert learned(programs) == set()


@pytest.mark.parametrize("size", [4, 40])
def test_ipv4_options_are_passed_over(programs: Programs, size: int) -> None:
    """The header says how long it is."""
    client, resolver = CLIENTS[4], RESOLVERS[0]
    run(programs.dns_query, udp(client, PORT, resolver, 53, ASKED.to_wire()))
    frame = ip(resolver, client, socket.IPPROTO_UDP, datagram(), options=b"\x01" * size)
    run(programs.dns_answer, frame)
    assert learned(programs) == LEARNED


@pytest.mark.parametrize("words", range(5))
def test_an_ipv4_header_can_not_be_shorter_than_itself(programs: Programs, words: int) -> None:
    """With IHL 3 the addresses are the datagram's header: the ports of the attacker's choice."""
    client, resolver = CLIENTS[4], RESOLVERS[0]
    run(programs.dns_query, udp(client, PORT, resolver, 53, ASKED.to_wire()))
    frame = bytearray(ip(resolver, client, socket.IPPROTO_UDP, datagram()))
    frame[ETHERNET] = 0x40 + words
    frame[ETHERNET + words * 4 : ETHERNET + words * 4] = b""
    run(programs.dns_answer, bytes(frame))
    assert learned(programs) == set()
    assert programs.drain() == ()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("size", [64, len(datagram()), 1000])
def test_a_first_fragment_is_passed_on_cut(programs: Programs, family: int, size: int) -> None:
    """It says what was asked, and the rest is not here: user space looks the name up."""
    if family == 4:
        arrive(programs, 4, socket.IPPROTO_UDP, datagram(size=size), fragment=0x2000)
    else:
        headers = extended(FRAGMENT, fragment=1)
        arrive(programs, 6, FRAGMENT, headers + datagram(size=size))
    assert learned(programs) == set()
    (event,) = programs.drain()
    assert (event.cut, event.unusual, event.wire) == (True, True, ANSWER)


@pytest.mark.parametrize("more", [0, 1])
def test_a_later_fragment_is_let_be(programs: Programs, more: int) -> None:
    """It has no ports: what stands in their place is anybody's."""
    arrive(programs, 4, socket.IPPROTO_UDP, datagram(), fragment=more << 13 | 7)
    headers = extended(FRAGMENT, fragment=7 << 3 | more)
    arrive(programs, 6, FRAGMENT, headers + datagram())
    assert learned(programs) == set()
    assert programs.drain() == ()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("size", [0, 7, 8 + len(ANSWER) + 1, 0xFFFF])
def test_a_datagram_that_says_more_or_less_than_there_is_is_refused(
    programs: Programs, family: int, size: int
) -> None:
    """The kernel drops it too."""
    arrive(programs, family, socket.IPPROTO_UDP, datagram(size=size))
    assert learned(programs) == set()
    assert programs.drain() == ()


def test_a_datagram_ends_where_it_says(programs: Programs) -> None:
    """A record behind its end, in what the IP packet has left, is not learned."""
    body = answer(ASKED, "registry.test. 60 IN A 203.0.113.1").to_wire()
    arrive(programs, 4, socket.IPPROTO_UDP, datagram(body, 8 + len(body) - 1))
    assert learned(programs) == set()


def test_a_frame_s_padding_is_no_part_of_the_packet(programs: Programs) -> None:
    """The IP header says where it ends, not the frame."""
    client, resolver = CLIENTS[4], RESOLVERS[0]
    run(programs.dns_query, udp(client, PORT, resolver, 53, ASKED.to_wire()))
    frame = ip(resolver, client, socket.IPPROTO_UDP, datagram(ANSWER[:-16], 8 + len(ANSWER)))
    run(programs.dns_answer, frame + ANSWER[-16:])
    assert learned(programs) == set()


@pytest.mark.parametrize(
    "ethertype", [b"\x81\x00", b"\x88\xa8", b"\x88\x47", b"\x08\x06", b"\x86\xdd", b"\x88\xb5"]
)
def test_what_is_not_ip_by_its_type_is_not_read_as_ip(programs: Programs, ethertype: bytes) -> None:
    """The first octets of a VLAN tag, of MPLS or of a private protocol can be those of IPv4."""
    client, resolver = CLIENTS[4], RESOLVERS[0]
    run(programs.dns_query, udp(client, PORT, resolver, 53, ASKED.to_wire()))
    frame = bytearray(udp(resolver, 53, client, PORT, ANSWER))
    frame[12:14] = ethertype
    run(programs.dns_answer, bytes(frame))
    assert learned(programs) == set()
    assert programs.drain() == ()
    frame[12:14] = b"\x08\x00"
    run(programs.dns_answer, bytes(frame))
    assert learned(programs) == LEARNED


def test_a_query_with_edns_and_a_cookie_is_remembered(programs: Programs) -> None:
    """Only the question counts, whatever follows it, up to the largest datagram."""
    client, resolver = CLIENTS[4], RESOLVERS[0]
    asked = ASKED.to_wire()
    # OPT (RFC 6891): a padding option of 1,200 octets (RFC 7830)
    option = struct.pack("!HH", 12, 1200) + bytes(1200)
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(option)) + option
    message = asked[:10] + b"\0\1" + asked[12:] + opt
    run(programs.dns_query, udp(client, PORT, resolver, 53, message))
    run(programs.dns_answer, udp(resolver, 53, client, PORT, ANSWER))
    assert learned(programs) == LEARNED

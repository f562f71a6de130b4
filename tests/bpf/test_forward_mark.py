"""Which forwarded packets get the nonce."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from enforcer.abi import Stat
from enforcer.edge.programs import Programs
from tests.bpf.conftest import GRACE_S, LOOPBACK_INDEX, MIN_TTL_S, NONCE, RESOLVERS
from tests.bpf.messages import answer, learned, query
from tests.bpf.run import TcpFlag, ip, mark_of, run, tcp, udp

pytestmark = pytest.mark.root

CONTAINERS = {4: "172.30.0.2", 6: "fd30::2"}
LEARNED = {4: "203.0.113.1", 6: "2001:db8:1::1"}
OTHERS = {4: "203.0.113.2", 6: "2001:db8:1::2"}
PORT = 50123
ETHERNET = 14
UNSPEC, SHOT = -1, 2  # linux/pkt_cls.h: TC_ACT_*
both_families = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture
def taught(programs: Programs) -> Programs:
    """The programs with one address of each family learned for port 443."""
    client, resolver = "192.0.2.2", RESOLVERS[0]
    for family, kind in ((4, "A"), (6, "AAAA")):
        asked = query("registry.test", kind)
        answered = answer(asked, f"registry.test. 60 IN {kind} {LEARNED[family]}")
        run(programs.dns_query, udp(client, PORT, resolver, 53, asked.to_wire()))
        run(programs.dns_answer, udp(resolver, 53, client, PORT, answered.to_wire()))
    assert learned(programs) == {(address, 443) for address in LEARNED.values()}
    return programs


def syn(family: int, address: str, port: int = 443, flags: TcpFlag = TcpFlag.SYN) -> bytes:
    """Return a container's first segment to *address*."""
    return tcp(CONTAINERS[family], PORT, address, port, flags=flags)


@both_families
def test_a_first_syn_to_a_learned_address_is_marked(taught: Programs, family: int) -> None:
    """And counted."""
    before = taught.stats()[Stat.MARKED]
    assert mark_of(taught.forward_mark, syn(family, LEARNED[family])) == NONCE
    assert taught.stats()[Stat.MARKED] == before + 1


@both_families
def test_another_address_or_port_is_not_marked(taught: Programs, family: int) -> None:
    """Only (address, port) as learned."""
    assert mark_of(taught.forward_mark, syn(family, OTHERS[family])) == 0
    assert mark_of(taught.forward_mark, syn(family, LEARNED[family], 8443)) == 0


@both_families
@pytest.mark.parametrize(
    "flags",
    [
        TcpFlag.ACK,
        TcpFlag.SYN | TcpFlag.ACK,
        TcpFlag.SYN | TcpFlag.FIN,
        TcpFlag.SYN | TcpFlag.RST,
        TcpFlag.RST,
        TcpFlag.FIN,
        TcpFlag(0),
    ],
)
def test_only_a_first_syn_is_marked(taught: Programs, family: int, flags: TcpFlag) -> None:
    """The ruleset would refuse the others."""
    assert mark_of(taught.forward_mark, syn(family, LEARNED[family], flags=flags)) == 0


@both_families
@pytest.mark.parametrize("mark", [1, NONCE ^ 1, NONCE, 0xFFFFFFFF])
def test_a_mark_of_somebody_else_stays(taught: Programs, family: int, mark: int) -> None:
    """It routes for them."""
    assert mark_of(taught.forward_mark, syn(family, LEARNED[family]), mark) == mark
    assert mark_of(taught.forward_mark, syn(family, OTHERS[family]), mark) == mark


@both_families
def test_another_protocol_is_not_marked(taught: Programs, family: int) -> None:
    """UDP to the same address and port is no way in."""
    frame = udp(CONTAINERS[family], PORT, LEARNED[family], 443, bytes(32))
    assert mark_of(taught.forward_mark, frame) == 0


@pytest.fixture
def short_lived(programs: Programs) -> Iterator[Programs]:
    """The programs with lifetimes of nothing."""
    programs.configure(nonce=NONCE, other_nonce=0, min_ttl_s=0, grace_s=0)
    yield programs
    programs.configure(nonce=NONCE, other_nonce=0, min_ttl_s=MIN_TTL_S, grace_s=GRACE_S)


def test_an_expired_address_is_not_marked(short_lived: Programs) -> None:
    """It stays in the map until something else needs the room."""
    client, resolver = "192.0.2.2", RESOLVERS[0]
    asked = query("registry.test")
    answered = answer(asked, f"registry.test. 0 IN A {LEARNED[4]}")
    run(short_lived.dns_query, udp(client, PORT, resolver, 53, asked.to_wire()))
    run(short_lived.dns_answer, udp(resolver, 53, client, PORT, answered.to_wire()))
    assert learned(short_lived) == {(LEARNED[4], 443)}
    assert mark_of(short_lived.forward_mark, syn(4, LEARNED[4])) == 0


def test_a_syn_with_ipv4_options_is_not_marked(taught: Programs) -> None:
    """One of them is a source route, which leads on from the destination."""
    segment = syn(4, LEARNED[4])[ETHERNET + 20 :]
    source_route = bytes.fromhex("83 07 04 cb007102 00")
    for options in (source_route, b"\x01\x01\x01\x00"):
        frame = ip(CONTAINERS[4], LEARNED[4], 6, segment, options=options)
        assert mark_of(taught.forward_mark, frame) == 0


@pytest.mark.parametrize("kind", [0, 43, 44, 60])
def test_a_syn_behind_ipv6_extension_headers_is_not_marked(taught: Programs, kind: int) -> None:
    """A routing header leads on; no client sends the others."""
    segment = syn(6, LEARNED[6])[ETHERNET + 40 :]
    frame = ip(CONTAINERS[6], LEARNED[6], kind, struct.pack("!BxHI", 6, 0, 0) + segment)
    assert mark_of(taught.forward_mark, frame) == 0


@pytest.mark.parametrize("fragment", [0x2000, 0x2001, 1])
def test_a_fragment_is_not_marked(taught: Programs, fragment: int) -> None:
    """Its ports may not be those of the packet it becomes."""
    segment = syn(4, LEARNED[4])[ETHERNET + 20 :]
    frame = ip(CONTAINERS[4], LEARNED[4], 6, segment, fragment)
    assert mark_of(taught.forward_mark, frame) == 0


@both_families
def test_every_cut_of_a_syn_is_survived(taught: Programs, family: int) -> None:
    """A frame too short for its headers is not marked."""
    frame = syn(family, LEARNED[family])
    for size in range(len(frame) - 20, len(frame)):
        assert mark_of(taught.forward_mark, frame[:size]) == 0


@both_families
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_what_is_sent_in_the_name_of_a_resolver_elsewhere_ends(
    taught: Programs, family: int, protocol: str
) -> None:
    """A cache on the machine may be waiting for its answer, and hand on what it is told."""
    resolver = next(each for each in RESOLVERS if ip_address(each).version == family)
    forged = {
        "udp": udp(resolver, 53, LEARNED[family], PORT, b"answer"),
        "tcp": tcp(resolver, 53, LEARNED[family], PORT, flags=TcpFlag.SYN),
    }[protocol]
    try:
        for facing, verdict in ((LOOPBACK_INDEX, UNSPEC), (LOOPBACK_INDEX + 1, SHOT), (0, SHOT)):
            taught.set_resolvers({ip_address(each): facing for each in RESOLVERS})
            assert run(taught.forward_mark, forged) == verdict
            assert (
                run(taught.forward_mark, udp(CONTAINERS[family], 53, LEARNED[family], PORT, b""))
                == UNSPEC
            )
    finally:
        taught.set_resolvers({ip_address(each): LOOPBACK_INDEX for each in RESOLVERS})

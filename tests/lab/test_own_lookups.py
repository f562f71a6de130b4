"""The daemon's own lookups take an answer from the interface that faces the resolver alone."""

from __future__ import annotations

import asyncio
import socket
import threading
from ipaddress import ip_address
from pathlib import Path

import dns.message
import dns.name
import dns.rrset
import pytest

from enforcer.edge.resolver import LookupResult, Resolver
from tests.lab.connect import attempt
from tests.lab.daemon import running
from tests.lab.forge import IPV6_FREEBIND
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED
from tests.lab.topology import UPLINK

pytestmark = pytest.mark.root

RESOLVER, HOST = "10.77.0.1", "10.77.0.2"
RESOLVER6, HOST6 = "fd77::1", "fd77::2"
FORGED = "198.18.66.66"
# As /proc/net/udp and udp6 write the resolver's address and port.
PEER, PEER6 = "01004D0A:0035", "000077FD000000000000000001000000:0035"


def asking(lab: Lab, table: str, peer: str) -> list[int]:
    """Return the ports of the host that ask *peer*, as any user can find them out."""
    lines = Path(f"/proc/{lab.net.host.pid}/net/{table}").read_text("utf-8").splitlines()[1:]
    rows = [line.split() for line in lines]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[2] == peer]


def forged_answer(query: dns.message.QueryMessage) -> bytes:
    """Return what leads the name elsewhere."""
    response = dns.message.make_response(query)
    question = query.question[0]
    if question.rdtype == dns.rdatatype.A:
        response.answer.append(dns.rrset.from_text(question.name, 300, "IN", "A", FORGED))
    return response.to_wire()


def forge(lab: Lab, query: dns.message.QueryMessage) -> None:
    """Answer *query* from the container, in the resolver's name, to whatever port asked."""

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((RESOLVER, 53))
            for port in asking(lab, "udp", PEER):
                sender.sendto(forged_answer(query), (HOST, port))

    lab.net.container.call(send)


def forge_inside(lab: Lab, query: dns.message.QueryMessage) -> None:
    """Do so from the host itself, where a socket may have anybody's IPv6 address."""

    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            sender.bind((RESOLVER6, 53))
            for port in asking(lab, "udp6", PEER6):
                sender.sendto(forged_answer(query), (HOST6, port))

    lab.net.host.call(send)


@pytest.mark.parametrize(
    ("device", "taken"), [(None, {FORGED}), (UPLINK, set())], ids=["any interface", "bound"]
)
def test_an_answer_from_a_bridge_is_not_taken(
    lab: Lab, device: str | None, taken: set[str]
) -> None:
    """A container that guessed port and id could have had any address permitted."""
    lab.net.host.sysctl("net.ipv4.conf.all.rp_filter=0")
    lab.net.container.ip(f"address add {RESOLVER}/32 dev lo")
    lab.nameserver.script(ALLOWED.name, lambda query: forge(lab, query))

    async def lookup() -> LookupResult:
        resolver = Resolver((ip_address(RESOLVER),), device=lambda _: device, timeout_s=0.5)
        return await resolver.lookup(dns.name.from_text(ALLOWED.name))

    result = lab.net.host.call(lambda: asyncio.run(lookup()))
    assert {str(a) for answer in result.answers for a in answer.addresses} == taken
    # Without the forgery the same lookup works.
    lab.nameserver.remove(ALLOWED.name)
    lab.nameserver.add(ALLOWED.name, *ALLOWED.addresses)
    result = lab.net.host.call(lambda: asyncio.run(lookup()))
    found = {str(a) for answer in result.answers for a in answer.addresses}
    assert found == set(ALLOWED.addresses)


@pytest.mark.parametrize(
    ("device", "taken"), [(None, {FORGED}), (UPLINK, set())], ids=["any interface", "bound"]
)
def test_an_answer_of_the_machine_itself_is_not_taken(
    lab: Lab, device: str | None, taken: set[str]
) -> None:
    """What goes to an own IPv6 address counts as come in by that address's interface.

    A process with no right but that to port 53 could have answered: where
    net.ipv4.ip_unprivileged_port_start is lowered, anybody's.
    """
    lab.nameserver.script(ALLOWED.name, lambda query: forge_inside(lab, query))

    async def lookup() -> LookupResult:
        resolver = Resolver((ip_address(RESOLVER6),), device=lambda _: device, timeout_s=0.5)
        return await resolver.lookup(dns.name.from_text(ALLOWED.name))

    result = lab.net.host.call(lambda: asyncio.run(lookup()))
    assert {str(a) for answer in result.answers for a in answer.addresses} == taken


def test_the_daemon_takes_no_answer_from_a_bridge(lab: Lab, policy: str) -> None:
    """Its lookups are bound to the interface that faces the resolver, as it was found."""
    lab.net.host.sysctl("net.ipv4.conf.all.rp_filter=0")
    lab.net.container.ip(f"address add {RESOLVER}/32 dev lo")
    forged = threading.Event()

    def script(query: dns.message.QueryMessage) -> None:
        forge(lab, query)
        if query.question[0].rdtype == dns.rdatatype.A:
            forged.set()

    lab.nameserver.script(ALLOWED.name, script)
    with running(lab.net, f"{policy}resolvers: [{RESOLVER}]\n"):
        assert forged.is_set(), "the daemon did not ask"
        assert attempt(lab.net.host, FORGED).outcome == "ECONNREFUSED"

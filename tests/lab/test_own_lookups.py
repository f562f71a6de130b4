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
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED
from tests.lab.topology import UPLINK

pytestmark = pytest.mark.root

RESOLVER, HOST = "10.77.0.1", "10.77.0.2"
FORGED = "198.18.66.66"
# As /proc/net/udp writes the resolver's address and port.
PEER = "01004D0A:0035"


def forge(lab: Lab, query: dns.message.QueryMessage) -> None:
    """Answer *query* from the container, in the resolver's name, to whatever port asked."""
    table = Path(f"/proc/{lab.net.host.pid}/net/udp").read_text("utf-8").splitlines()[1:]
    rows = [line.split() for line in table]
    ports = [int(row[1].rpartition(":")[2], 16) for row in rows if row[2] == PEER]
    response = dns.message.make_response(query)
    question = query.question[0]
    if question.rdtype == dns.rdatatype.A:
        response.answer.append(dns.rrset.from_text(question.name, 300, "IN", "A", FORGED))

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((RESOLVER, 53))
            for port in ports:
                sender.sendto(response.to_wire(), (HOST, port))

    lab.net.container.call(send)


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

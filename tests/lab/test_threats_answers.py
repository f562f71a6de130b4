"""Ways round, by answers: forged ones, ones to oneself, and records nobody asked for."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from ipaddress import ip_address

import dns.message
import dns.name
import dns.rrset
import pytest

from tests.lab.conftest import FRESH_ZONE
from tests.lab.forge import forge_datagram, forge_segment
from tests.lab.lab import Lab
from tests.lab.messages import answer, ask, family, framed, kind, question
from tests.lab.namespace import Namespace
from tests.lab.registry import ALLOWED
from tests.lab.threats import Labs, both_families, reaches
from tests.lab.topology import RESOLVERS
from tests.lab.wait import until

pytestmark = pytest.mark.root

from_either_resolver = pytest.mark.parametrize("resolver", RESOLVERS, ids=["by v4", "by v6"])
_NOBODY = 65534
_ASKED_WITHIN_S = 5
# By the version of their addresses.
HOST, CONTAINER = ("10.77.0.2", "fd77::2"), ("172.30.0.2", "fd30::2")
BRIDGE_ADDRESS = ("172.30.0.1", "fd30::1")

# An answer to oneself in a network of one's own, where the resolver's address is too.
_OWN_WORLD = """
import socket, subprocess, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
at_once = ["nodad"] if family == socket.AF_INET6 else []
subprocess.run(["ip", "address", "add", sys.argv[1], "dev", "lo", *at_once], check=True)
server, client = (socket.socket(family, socket.SOCK_DGRAM) for _ in "ab")
server.bind((sys.argv[1], 53))
client.settimeout(2)
server.settimeout(2)
for left in reversed(range(5)):  # the first may come before its route is there
    client.sendto(bytes.fromhex(sys.argv[2]), (sys.argv[1], 53))
    try:
        query, asked = server.recvfrom(512)
        break
    except TimeoutError:
        assert left
server.sendto(bytes.fromhex(sys.argv[3]), asked)
assert client.recv(512)
"""


@both_families
@from_either_resolver
def test_a_network_of_ones_own_with_the_resolvers_address(
    labs: Labs, name: str, resolver: str, evil: str
) -> None:
    """Any user makes one (`unshare -Urn`); its answers pass no interface of the machine."""
    asked = question(name, evil)
    wires = (asked.to_wire().hex(), answer(asked, name, evil).to_wire().hex())

    def gets_out(lab: Lab) -> bool:
        program = (sys.executable, "-c", _OWN_WORLD, resolver, *wires)
        unshare = ("unshare", "--user", "--map-root-user", "--net")
        lab.net.host.run(*unshare, *program, user=_NOBODY)
        return reaches(lab, "host", "tcp", evil)

    labs.refute(gets_out)


@both_families
@from_either_resolver
@pytest.mark.parametrize("mistake", ["id", "port", "unasked", "name"])
def test_a_forged_answer_from_the_network(
    labs: Labs, mistake: str, name: str, resolver: str, evil: str
) -> None:
    """From the resolver's address and port, but not the answer to what was asked."""
    own = HOST[":" in resolver]

    def gets_out(lab: Lab) -> bool:
        with lab.net.host.call(lambda: socket.socket(family(own), socket.SOCK_DGRAM)) as sock:
            sock.settimeout(2)
            sock.bind((own, 0))
            port = sock.getsockname()[1]
            asked = question(name, evil)
            # The true one never comes; the forged one is sent in its place.
            lab.nameserver.silence(name)
            if mistake != "unasked":
                sock.sendto(asked.to_wire(), (resolver, 53))
                _until_asked(lab, name, evil)
            forged = answer(asked, name, evil)
            if mistake == "id":
                forged.id ^= 1
            elif mistake == "name":
                other = question(ALLOWED.name, evil)
                other.id = asked.id
                forged = answer(other, "other.example", evil)
            target = port + 1 if mistake == "port" else port
            forge_datagram(lab.net.world, (resolver, 53), (own, target), forged.to_wire())
            if mistake != "port":
                assert sock.recv(4096)
        return reaches(lab, "host", "tcp", evil)

    labs.refute(gets_out)


@both_families
@from_either_resolver
@pytest.mark.parametrize("asked_before", [True, False], ids=["asked", "unasked"])
def test_a_forged_answer_from_a_container(
    labs: Labs, name: str, resolver: str, evil: str, *, asked_before: bool
) -> None:
    """With the resolver's address as its source, to a query it asked itself or to none.

    It comes in by the container's bridge, where no resolver is.
    """
    version = ":" in resolver

    def gets_out(lab: Lab) -> bool:
        lab.nameserver.silence(name)
        asked, container = question(name, evil), lab.net.container
        with container.call(lambda: socket.socket(family(resolver), socket.SOCK_DGRAM)) as sock:
            sock.bind((CONTAINER[version], 0))
            if asked_before:
                sock.sendto(asked.to_wire(), (resolver, 53))
                _until_asked(lab, name, evil)
            port = sock.getsockname()[1]
        forged = answer(asked, name, evil).to_wire()
        for target in (HOST[version], BRIDGE_ADDRESS[version]):
            forge_datagram(container, (resolver, 53), (target, port), forged)
        return reaches(lab, "container", "tcp", evil)

    labs.refute(gets_out)


@both_families
@from_either_resolver
@pytest.mark.parametrize("origin", ["world", "container"])
@pytest.mark.parametrize("asked_before", [True, False], ids=["asked", "unasked"])
def test_a_forged_segment(
    labs: Labs, origin: str, name: str, resolver: str, evil: str, *, asked_before: bool
) -> None:
    """DNS over TCP, from the resolver's address and port, out of the order of its connection.

    To a connection whose query waits for the true answer, or to none.
    """
    version = ":" in resolver

    def gets_out(lab: Lab) -> bool:
        lab.nameserver.silence(name)
        asked, host = question(name, evil), lab.net.host
        with host.call(lambda: socket.socket(family(resolver), socket.SOCK_STREAM)) as sock:
            sock.bind((HOST[version], 0))
            if asked_before:
                sock.connect((resolver, 53))
                sock.send(framed(asked.to_wire()))
                _until_asked(lab, name, evil)
            forged = framed(answer(asked, name, evil).to_wire())
            target = (HOST[version], sock.getsockname()[1])
            sender: Namespace = getattr(lab.net, origin)
            # Four of the four thousand million places in a connection.
            for sequence in (0, 1, 1 << 31, (1 << 32) - 1):
                forge_segment(sender, (resolver, 53), target, sequence, forged)
            return reaches(lab, "host", "tcp", evil)

    labs.refute(gets_out)


def _until_asked(lab: Lab, name: str, address: str) -> None:
    until(lambda: lab.nameserver.queries[name, kind(address)] > 0, _ASKED_WITHIN_S, "the query")


def _in_additional(query: dns.message.QueryMessage, _: str, evil: str) -> dns.message.Message:
    response = dns.message.make_response(query)
    owner = query.question[0].name
    response.additional.append(dns.rrset.from_text(owner, 300, "IN", kind(evil), evil))
    return response


def _in_authority(query: dns.message.QueryMessage, _: str, evil: str) -> dns.message.Message:
    response = dns.message.make_response(query)
    owner = query.question[0].name
    response.authority.append(dns.rrset.from_text(owner, 300, "IN", kind(evil), evil))
    return response


def _of_another(query: dns.message.QueryMessage, name: str, evil: str) -> dns.message.Message:
    response = answer(query, name, ALLOWED.addresses[":" in evil])
    response.answer.append(dns.rrset.from_text("other.example.", 300, "IN", kind(evil), evil))
    return response


def _of_the_zone(query: dns.message.QueryMessage, name: str, evil: str) -> dns.message.Message:
    # Its owner is a pointer into QNAME, like those of the records that count.
    response = answer(query, name, ALLOWED.addresses[":" in evil])
    zone = dns.name.from_text(FRESH_ZONE)
    response.answer.append(dns.rrset.from_text(zone, 300, "IN", kind(evil), evil))
    return response


@both_families
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("origin", ["host", "container"])
@pytest.mark.parametrize("where", [_in_additional, _in_authority, _of_another, _of_the_zone])
def test_records_that_were_not_asked_for(
    labs: Labs,
    where: Callable[[dns.message.QueryMessage, str, str], dns.message.Message],
    origin: str,
    name: str,
    evil: str,
    *,
    tcp: bool,
) -> None:
    """An answer opens what the name led to, step by step, and nothing beside it.

    An owner written in full is no plain form whoever it is: only one that points, as
    the zone's does, shows that owners are compared.
    """

    def gets_out(lab: Lab) -> bool:
        lab.nameserver.script(name, lambda query: where(query, name, evil))
        namespace: Namespace = getattr(lab.net, origin)
        assert ip_address(evil).packed in ask(namespace, name, evil, tcp=tcp)
        return reaches(lab, origin, "tcp", evil)

    labs.refute(gets_out)

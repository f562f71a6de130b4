"""What passes for a reply: only an answer to what came from outside, or was permitted.

Connection tracking calls everything established that was answered once, wherever.
Each test makes such an entry on a way that is not judged, shows that it would open
the way out, and that it does not.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import pytest

from enforcer.core.interfaces import DEFAULT_EXEMPT, LOOPBACK
from enforcer.core.ruleset import FULL
from tests.lab.forge import forge_datagram
from tests.lab.guarded import Host, connect, connected, element, goes_on, udp
from tests.lab.second import ADDRESSES as SECOND
from tests.lab.second import second_container
from tests.lab.topology import BRIDGE, Topology

pytestmark = pytest.mark.root

TRUSTING = replace(FULL, ct_label=False)
NOBODY = 65534
EVIL = ("198.18.66.66", "2001:db8::66:66")
OWN = ("10.77.0.2", "fd77::2")
PORT, EVIL_PORT = 1234, 4444
both_families = pytest.mark.parametrize("version", [0, 1], ids=["v4", "v6"])

# Arguments: own address, somebody else's. Any user may bind to the latter (IPV6_FREEBIND).
_ANSWER_YOURSELF = """
import socket, sys
own, evil = sys.argv[1:]
ours, theirs = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in "ab")
ours.bind((own, 1234))
ours.settimeout(2)
theirs.setsockopt(socket.IPPROTO_IPV6, 78, 1)
theirs.bind((evil, 4444))
theirs.sendto(b"forged", (own, 1234))
assert ours.recv(100) == b"forged"
ours.sendto(b"out", (evil, 4444))
"""


@contextlib.contextmanager
def listening(net: Topology, address: str) -> Iterator[socket.socket]:
    """Yield a socket of *address* in the world."""
    with udp(net.world, address, (address, EVIL_PORT)) as sock:
        sock.settimeout(0.5)
        yield sock


def test_a_user_that_answers_itself_gets_no_way_out(net: Topology, host: Host) -> None:
    """Any user could bind to another's IPv6 address and make it look like a peer."""
    program = (sys.executable, "-c", _ANSWER_YOURSELF, OWN[1], EVIL[1])
    with listening(net, EVIL[1]) as evil:
        host.enforce(capabilities=TRUSTING)
        net.host.run(*program, user=NOBODY)
        assert evil.recv(100) == b"out"
        net.host.run("conntrack", "-F")
        host.enforce()
        refused = net.host.run(*program, user=NOBODY, check=False)
        assert "PermissionError" in refused.stderr
        with pytest.raises(TimeoutError):
            evil.recv(100)


def test_a_question_to_a_bridge_answered_there_gets_no_way_out(net: Topology, host: Host) -> None:
    """A process that binds to a bridge asks there; a container answers in another's name."""
    with (
        listening(net, EVIL[0]) as evil,
        udp(net.host, OWN[0], (OWN[0], PORT)) as asking,
    ):
        for capabilities, gets_out in ((TRUSTING, True), (FULL, False)):
            net.host.run("conntrack", "-F")
            host.enforce(capabilities=capabilities)
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, BRIDGE.encode())
            asking.sendto(b"question", (EVIL[0], EVIL_PORT))
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"")
            forge_datagram(net.container, (EVIL[0], EVIL_PORT), (OWN[0], PORT), b"forged")
            assert asking.recv(100) == b"forged"
            if gets_out:
                asking.sendto(b"out", (EVIL[0], EVIL_PORT))
                assert evil.recv(100) == b"out"
            else:
                with pytest.raises(PermissionError):
                    asking.sendto(b"out", (EVIL[0], EVIL_PORT))


@both_families
@pytest.mark.parametrize("helper", ["host", "second container"])
def test_a_container_with_a_forged_source_gets_no_way_out(
    net: Topology, host: Host, version: int, helper: str
) -> None:
    """Whoever answers it, on the machine or in another container, answers nobody."""
    with contextlib.ExitStack() as stack:
        target, where = OWN[version], net.host
        if helper != "host":
            target, where = SECOND[version], stack.enter_context(second_container(net))
        evil = stack.enter_context(listening(net, EVIL[version]))
        server = stack.enter_context(udp(where, target, (target, PORT)))
        for capabilities, gets_out in ((TRUSTING, True), (FULL, False)):
            net.host.run("conntrack", "-F")
            host.enforce(capabilities=capabilities)
            forge_datagram(net.container, (EVIL[version], EVIL_PORT), (target, PORT), b"forged")
            assert server.recvfrom(100)[0] == b"forged"
            with contextlib.suppress(PermissionError):
                server.sendto(b"out", (EVIL[version], EVIL_PORT))
            if gets_out:
                assert evil.recv(100) == b"out"
            else:
                with pytest.raises(TimeoutError):
                    evil.recv(100)


@both_families
def test_what_goes_on_inside_stays_as_it_was(net: Topology, host: Host, version: int) -> None:
    """The machine to itself and to a container, a container to the machine and another."""
    host.enforce()
    inside = (("172.30.0.2", "fd30::2")[version], OWN[version], ("127.0.0.1", "::1")[version])
    with second_container(net) as second:
        for client, server, address in (
            (net.host, net.host, inside[1]),
            (net.host, net.host, inside[2]),
            (net.host, net.container, inside[0]),
            (net.container, net.host, inside[1]),
            (net.container, second, SECOND[version]),
            (second, net.container, inside[0]),
        ):
            with connected(client, server, address, 8080) as (asks, answers):
                asks.send(b"question")
                assert answers.recv(100) == b"question"
                answers.send(b"answer")
                assert asks.recv(100) == b"answer"
    assert host.denied() == 0


@both_families
def test_a_live_connection_of_a_container_outlives_its_element(
    net: Topology, host: Host, version: int
) -> None:
    """Coming in by a bridge makes it no connection of the inside."""
    address = ("198.18.0.5", "2001:db8::5")[version]
    host.enforce(element(address, 8443))
    with connected(net.container, net.world, address, 8443) as (client, server):
        host.firewall.delete([(ip_address(address), 8443)])
        client.send(b"still there")
        assert server.recv(100) == b"still there"


@both_families
@pytest.mark.parametrize("exempt", [DEFAULT_EXEMPT, (LOOPBACK,)], ids=["exempt", "guarded"])
def test_containers_are_answered(
    net: Topology, host: Host, version: int, exempt: tuple[str, ...]
) -> None:
    """By the machine, also behind a bridge of which nobody knows the name."""
    host.enforce(exempt=exempt)
    with connected(net.container, net.host, OWN[version], PORT) as ends:
        assert goes_on(ends)


@both_families
def test_who_is_refused_from_outside_hears_of_it(net: Topology, host: Host, version: int) -> None:
    """A reset by somebody's firewall, or by ours to whom the machine forwards for, is a reply."""
    host.enforce()
    net.host.nft(
        "table inet lab_other {\nchain input {\ntype filter hook input priority 0\n"
        f"tcp dport {PORT} reject with tcp reset\n}}\n}}"
    )
    try:
        assert connect(net.world, OWN[version], PORT) == "ECONNREFUSED"
        assert host.denied() == 0
    finally:
        net.host.nft("delete table inet lab_other")
    beyond, way = (("203.0.113.7", "10.77.0.2"), ("2001:db9::7", "fd77::2"))[version]
    net.world.ip(f"route add {beyond} via {way}")
    try:
        assert connect(net.world, beyond, PORT) == "ECONNREFUSED"
        assert host.denied() == 1
    finally:
        net.world.ip(f"route del {beyond}")

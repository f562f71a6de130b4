"""The ruleset against real packets: who gets through, who is refused, how fast."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_address

import pytest

from enforcer.core.policy import Mode
from enforcer.core.ruleset import FULL, compile_ruleset
from enforcer.errors import DatapathError
from tests.lab.guarded import (
    AT_ONCE_S,
    NO_CT,
    NONCE,
    PAIRS,
    PROBE,
    Host,
    connect,
    connected,
    element,
    listener,
    udp,
)
from tests.lab.namespace import Namespace
from tests.lab.topology import BRIDGE, UPLINK, Topology

pytestmark = pytest.mark.root

PERMITTED = tuple(element(permitted) for permitted, _ in PAIRS)
both_families = pytest.mark.parametrize(("permitted", "other"), PAIRS, ids=["v4", "v6"])


def test_control(net: Topology) -> None:
    """With no ruleset all these connections work, so a refusal means something."""
    for namespace in (net.host, net.container):
        for pair in PAIRS:
            for address in pair:
                for port in (53, 443, 5000):
                    assert connect(namespace, address, port, mark=NONCE + 1) == "connected"


@pytest.mark.parametrize("origin", ["host", "container"])
@both_families
def test_only_what_is_permitted_connects(
    net: Topology, host: Host, origin: str, permitted: str, other: str
) -> None:
    """From the host and from a container: the address and port of an element, nothing else."""
    host.enforce(*PERMITTED)
    namespace: Namespace = getattr(net, origin)
    assert connect(namespace, permitted) == "connected"
    assert connect(namespace, other) == "ECONNREFUSED"
    assert connect(namespace, permitted, 5000) == "ECONNREFUSED"
    assert host.denied() == 2


@both_families
def test_a_container_behind_no_exempt_interface_is_refused_at_once(
    net: Topology, host: Host, permitted: str, other: str
) -> None:
    """Our own refusals get out also where the way back is judged."""
    host.enforce(*PERMITTED, exempt=("lo",))
    assert connect(net.container, permitted) == "connected"
    assert connect(net.container, other) == "ECONNREFUSED"
    with udp(net.container, other) as sock:
        sock.connect((other, 9))
        sock.send(b"out")
        with pytest.raises(OSError, match=r"No route to host|Permission denied"):
            sock.recv(1)


@both_families
def test_udp_is_refused_even_to_a_permitted_address(
    net: Topology, host: Host, permitted: str, other: str
) -> None:
    """An ICMP error tells a container, the kernel itself tells a local process."""
    host.enforce(*PERMITTED)
    for address in (permitted, other):
        with udp(net.host, address) as sock, pytest.raises(PermissionError):
            sock.sendto(b"out", (address, 443))
        with udp(net.container, address) as sock:
            sock.connect((address, 443))
            sock.send(b"out")
            start = time.monotonic()
            with pytest.raises(OSError, match=r"No route to host|Permission denied"):
                sock.recv(1)
            assert time.monotonic() - start < AT_ONCE_S


def test_port_53_leads_to_trusted_resolvers_only(net: Topology, host: Host) -> None:
    """UDP and TCP, both families; no other port of theirs."""
    host.enforce(*PERMITTED, resolvers=(ip_address("198.18.0.53"), ip_address("2001:db8::53")))
    for resolver, stranger in (("198.18.0.53", "198.18.0.54"), ("2001:db8::53", "2001:db8::54")):
        assert connect(net.host, resolver, 53) == "connected"
        assert connect(net.host, resolver) == "ECONNREFUSED"
        assert connect(net.host, stranger, 53) == "ECONNREFUSED"
        with (
            udp(net.world, resolver, (resolver, 53)) as server,
            udp(net.host, resolver) as client,
        ):
            client.sendto(b"query", (resolver, 53))
            query, source = server.recvfrom(100)
            server.sendto(query, source)
            assert client.recv(100) == b"query"
            with pytest.raises(PermissionError):
                client.sendto(b"query", (stranger, 53))


def test_exempt_interfaces_are_left_alone(net: Topology, host: Host) -> None:
    """What goes to a container or to the host itself is nobody's business here."""
    host.enforce()
    for address in ("172.30.0.2", "fd30::2"):
        with connected(net.host, net.container, address, 8080):
            pass
    for address in ("127.0.0.1", "::1", "10.77.0.2", "fd77::2"):
        with connected(net.host, net.host, address, 8080):
            pass
    host.enforce(exempt=("lo",))
    assert connect(net.host, "172.30.0.2", 8080) == "ECONNREFUSED"
    assert host.denied() == 1


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        (BRIDGE, "connected"),
        ("br-*", "connected"),
        ("b*", "connected"),
        ("br", "ECONNREFUSED"),
        ("br-labs*", "ECONNREFUSED"),
        (UPLINK, "ECONNREFUSED"),
    ],
)
def test_an_interface_is_exempt_by_name_or_beginning(
    net: Topology, host: Host, name: str, outcome: str
) -> None:
    """A name exempts one interface, a name with an asterisk all that begin so."""
    host.enforce(exempt=("lo", name))
    with listener(net.container, "172.30.0.2", 8080):
        assert connect(net.host, "172.30.0.2", 8080) == outcome


def test_audit_mode_denies_nothing_and_counts(net: Topology, host: Host) -> None:
    """All gets through; what would be denied is counted, what is permitted is not."""
    host.enforce(*PERMITTED, mode=Mode.AUDIT)
    for permitted, other in PAIRS:
        assert connect(net.host, permitted) == "connected"
        before = host.denied()
        assert connect(net.host, other) == "connected"
        assert host.denied() == before + 1
    assert host.inspect().mode is Mode.AUDIT


@both_families
def test_without_connection_tracking_new_connections_are_judged(
    net: Topology, host: Host, permitted: str, other: str
) -> None:
    """The stateless ruleset permits and refuses the same connections."""
    host.enforce(*PERMITTED, capabilities=NO_CT)
    for namespace in (net.host, net.container):
        assert connect(namespace, permitted) == "connected"
        assert connect(namespace, other) == "ECONNREFUSED"
    assert connect(net.host, other, mark=NONCE) == "connected"
    with udp(net.host, other) as sock, pytest.raises(PermissionError):
        sock.sendto(b"out", (other, 443))


def test_without_reject_packets_are_dropped(net: Topology, host: Host) -> None:
    """Nothing answers, nothing gets through, and it is counted."""
    host.enforce(*PERMITTED, capabilities=replace(FULL, reject=False))
    assert connect(net.host, "198.18.0.1") == "connected"
    assert connect(net.host, "198.18.0.2") == "ETIMEDOUT"
    assert host.denied() > 0


def test_without_counters_refusals_are_the_same(net: Topology, host: Host) -> None:
    """The state says that there is no count, not that it is 0."""
    host.enforce(*PERMITTED, capabilities=replace(FULL, counter=False))
    assert connect(net.host, "198.18.0.1") == "connected"
    assert connect(net.host, "198.18.0.2") == "ECONNREFUSED"
    assert host.inspect().denied is None


def test_nobody_elses_table_is_touched(net: Topology, host: Host) -> None:
    """Applying twice, removing twice: all other tables stay as they were."""
    net.host.nft("table ip enforcer {\n  chain output {\n  }\n}\n")
    try:
        before = net.host.run("nft", "list", "ruleset").stdout
        host.enforce(*PERMITTED)
        host.enforce(*PERMITTED)
        host.remove()
        assert not host.inspect().present
        host.remove()
        assert net.host.run("nft", "list", "ruleset").stdout == before
    finally:
        net.host.nft("delete table ip enforcer")


def test_a_ruleset_that_is_refused_changes_nothing(net: Topology, host: Host) -> None:
    """The table that was there goes on enforcing."""
    host.enforce(*PERMITTED)
    text = compile_ruleset(
        mode=Mode.ENFORCE,
        networks=(),
        resolvers=(),
        nonces=(NONCE,),
        probe=PROBE,
        exempt=(),
        uplinks=(),
        capabilities=FULL,
    )
    with pytest.raises(DatapathError, match="Could not process rule"):
        host.apply(text.replace("jump permitted", "jump nowhere"))
    assert connect(net.host, "198.18.0.1") == "connected"
    assert connect(net.host, "198.18.0.2") == "ECONNREFUSED"

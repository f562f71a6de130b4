"""Ports of containers that the world may use, and addresses that are translated."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from tests.lab.guarded import NONCE, PAIRS, Host, connect, connected, listener
from tests.lab.namespace import Namespace
from tests.lab.second import second_container
from tests.lab.topology import Topology

pytestmark = pytest.mark.root

CONTAINER = ("172.30.0.2", "fd30::2")
OWN = ("10.77.0.2", "fd77::2")
both_families = pytest.mark.parametrize("version", [0, 1], ids=["v4", "v6"])

# As dockerd writes them: to any address of the machine, also from the machine itself,
# with a masquerade for a container that asks for its own published port.
_PUBLISHED = """
table inet lab_published {
  chain ports {
    tcp dport 8080 dnat ip to 172.30.0.2:80
    tcp dport 8080 dnat ip6 to [fd30::2]:80
  }
  chain prerouting {
    type nat hook prerouting priority dstnat
    fib daddr type local jump ports
  }
  chain output {
    type nat hook output priority -100
    oifname "lo" fib daddr type local jump ports
  }
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip saddr 172.30.0.2 ip daddr 172.30.0.2 tcp dport 80 masquerade
    ip6 saddr fd30::2 ip6 daddr fd30::2 tcp dport 80 masquerade
  }
}
"""


@pytest.fixture
def published(net: Topology) -> Iterator[None]:
    """Publish port 80 of the container as port 8080 of the host."""
    net.host.nft(_PUBLISHED)
    yield
    net.host.nft("delete table inet lab_published")


@pytest.fixture
def routed(net: Topology) -> Iterator[None]:
    """Let the world reach the container without address translation."""
    net.world.ip(
        "route add 172.30.0.0/24 via 10.77.0.2",
        "route add fd30::/64 via fd77::2",
    )
    yield
    net.world.ip("route del 172.30.0.0/24", "route del fd30::/64")


@contextlib.contextmanager
def asking(
    client: Namespace, address: str, server: socket.socket
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield both ends of a connection to the published port."""
    with (
        client.call(lambda: socket.create_connection((address, 8080), timeout=2)) as ours,
        server.accept()[0] as theirs,
    ):
        theirs.settimeout(2)
        yield ours, theirs


@pytest.mark.usefixtures("published")
@both_families
@pytest.mark.parametrize("origin", ["world", "host", "container", "second container"])
def test_a_published_port_is_served(net: Topology, host: Host, origin: str, version: int) -> None:
    """From outside, from the machine, from the container itself and from another."""
    if origin == "container":
        net.host.run("bridge", "link", "set", "dev", "to-container", "hairpin", "on")
    host.enforce()
    with contextlib.ExitStack() as stack:
        if origin == "second container":
            client = stack.enter_context(second_container(net))
        else:
            client = getattr(net, origin)
        server = stack.enter_context(listener(net.container, CONTAINER[version], 80))
        asks, answers = stack.enter_context(asking(client, OWN[version], server))
        asks.send(b"question")
        assert answers.recv(100) == b"question"
        answers.send(b"answer" * 1000)
        assert asks.recv(100).startswith(b"answer")
    assert host.denied() == 0


@pytest.mark.usefixtures("published")
@both_families
def test_a_published_connection_goes_on_as_enforcement_begins(
    net: Topology, host: Host, version: int
) -> None:
    """The container speaks first afterwards: its reply is not taken for an attempt."""
    with (
        listener(net.container, CONTAINER[version], 80) as server,
        asking(net.world, OWN[version], server) as (asks, answers),
    ):
        host.enforce()
        answers.send(b"answer")
        assert asks.recv(100) == b"answer"


@pytest.mark.usefixtures("routed")
@both_families
def test_a_published_port_is_no_way_out(net: Topology, host: Host, version: int) -> None:
    """A container that serves the world connects to nothing there."""
    host.enforce()
    with connected(net.world, net.container, CONTAINER[version], 80) as (asks, answers):
        answers.send(b"answer")
        assert asks.recv(100) == b"answer"
        assert connect(net.container, ("10.77.0.1", "fd77::1")[version], 5000) == "ECONNREFUSED"


@both_families
def test_what_was_learned_is_not_where_a_translated_packet_goes(
    net: Topology, host: Host, version: int
) -> None:
    """The mark is for the address that was asked for; the one it became was opened too once."""
    learned, other = PAIRS[version]
    protocol = ("ip", "ip6")[version]
    net.host.nft(
        "table inet lab_dnat {\n  chain output {\n    type nat hook output priority -100\n"
        f"    {protocol} daddr {learned} dnat {protocol} to {other}\n  }}\n}}\n"
    )
    try:
        assert connect(net.host, learned, mark=NONCE) == "connected"
        host.enforce()
        assert connect(net.host, learned, mark=NONCE) == "ECONNREFUSED"
        assert host.inspect().elements == ()
    finally:
        net.host.nft("delete table inet lab_dnat")
    assert connect(net.host, learned, mark=NONCE) == "connected"
    (added,) = host.inspect().elements
    assert added.address == ip_address(learned)

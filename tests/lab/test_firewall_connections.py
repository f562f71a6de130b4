"""What the ruleset must leave alone: live connections, servers, the link's own protocols."""

from __future__ import annotations

import contextlib
import socket
import struct
from ipaddress import ip_address

import pytest

from enforcer.core.ruleset import FULL, Capabilities
from tests.lab.guarded import (
    NO_CT,
    PAIRS,
    Host,
    connect,
    connected,
    element,
    udp,
    without_tracking,
)
from tests.lab.namespace import Namespace
from tests.lab.topology import UPLINK, Topology
from tests.lab.wait import until

pytestmark = pytest.mark.root

PERMITTED = tuple(element(permitted) for permitted, _ in PAIRS)
both_families = pytest.mark.parametrize(("permitted", "other"), PAIRS, ids=["v4", "v6"])
UPLINKS = [("10.77.0.1", "10.77.0.2"), ("fd77::1", "fd77::2")]  # world, host
both_uplinks = pytest.mark.parametrize(("outside", "own"), UPLINKS, ids=["v4", "v6"])
# linux/tcp.h: reading the sequence numbers of a connection
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
TCP_RECV_QUEUE, TCP_SEND_QUEUE = 1, 2
TCP_REPAIR_OFF_NO_WP = -1
ACK = 0x10


@both_uplinks
@pytest.mark.parametrize("capabilities", [FULL, NO_CT], ids=["ct", "no-ct"])
def test_connections_from_outside_are_answered(
    net: Topology, host: Host, capabilities: Capabilities, outside: str, own: str
) -> None:
    """A server on the host serves, but the host can't connect to its client."""
    host.enforce(capabilities=capabilities)
    with connected(net.world, net.host, own, 8080) as (client, server):
        client.send(b"question")
        assert server.recv(100) == b"question"
        server.send(b"answer")
        assert client.recv(100) == b"answer"
    assert connect(net.host, outside, 5000) == "ECONNREFUSED"


@both_uplinks
@pytest.mark.parametrize("capabilities", [FULL, NO_CT], ids=["ct", "no-ct"])
def test_errors_about_packets_from_outside_get_out(
    net: Topology, host: Host, capabilities: Capabilities, outside: str, own: str
) -> None:
    """A closed UDP port of the host answers with an ICMP error, as ever."""
    host.enforce(capabilities=capabilities)
    with udp(net.world, outside) as sock:
        sock.connect((own, 9))
        sock.send(b"in")
        with pytest.raises(ConnectionRefusedError):
            sock.recv(1)
    assert host.denied() == 0


@both_families
def test_a_connection_outlives_its_element(
    net: Topology, host: Host, permitted: str, other: str
) -> None:
    """An expired or deleted element ends no connection; another one is refused."""
    host.enforce(*PERMITTED, element(other, 8443))
    with connected(net.host, net.world, other, 8443) as (client, server):
        host.firewall.delete([(ip_address(other), 8443)])
        client.send(b"still there")
        assert server.recv(100) == b"still there"
        assert connect(net.host, other, 8443) == "ECONNREFUSED"
        assert connect(net.host, permitted) == "connected"


def test_an_ssh_session_outlives_the_start(host: Host, net: Topology) -> None:
    """A connection to a port below 1024 that connection tracking never saw goes on.

    The first packet after the ruleset may well be the server's: of an operator's
    session, in which enforcer was just started. Resetting it would lock them out.
    """
    with without_tracking(net), connected(net.world, net.host, "10.77.0.2", 22) as (client, server):
        host.enforce()
        server.send(b"enforcing")
        assert client.recv(100) == b"enforcing"
        assert host.denied() == 0


def test_a_connection_older_than_the_table_is_judged(host: Host, net: Topology) -> None:
    """One that was opened before connection tracking began gets no exception."""
    with (
        without_tracking(net),
        connected(net.host, net.world, "198.18.0.1", 8443) as (permitted, server),
        connected(net.host, net.world, "198.18.0.2", 8443) as (other, server_of_other),
    ):
        host.enforce(element("198.18.0.1", 8443))
        permitted.send(b"goes on")
        assert server.recv(100) == b"goes on"
        other.send(b"is reset")
        with pytest.raises(ConnectionResetError):
            other.recv(1)
        # Its other end learns of it, and does not ask again and again.
        denied = host.denied()
        server_of_other.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            server_of_other.recv(1)
        assert host.denied() == denied


def test_a_stray_segment_does_not_end_its_connection(net: Topology, host: Host) -> None:
    """One that connection tracking finds invalid is dropped, not answered with a reset."""
    host.enforce()
    # A port of its own: what was under repair can't be bound again soon.
    with connected(net.world, net.host, "fd77::2", 8081) as (client, server):
        server.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        numbers = []
        for queue in (TCP_SEND_QUEUE, TCP_RECV_QUEUE):
            server.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
            numbers.append(server.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ) & 0xFFFFFFFF)
        server.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP)
        sent, received = numbers
        ports = (server.getsockname()[1], client.getsockname()[1])
        ahead = (sent + 0x40000000) & 0xFFFFFFFF
        segment = struct.pack("!HHIIBBHHH", *ports, ahead, received, 5 << 4, ACK, 512, 0, 0)
        with net.host.call(
            lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_TCP)
        ) as raw:
            raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, 16)
            raw.bind(("fd77::2", 0))
            with contextlib.suppress(PermissionError):  # the verdict
                raw.sendto(segment, ("fd77::1", 0))
        assert host.denied() == 1
        server.send(b"still there")
        assert client.recv(100) == b"still there"


def test_the_machine_keeps_its_link(net: Topology, host: Host) -> None:
    """Neighbour and router discovery, group membership and DHCP, none counted as denied."""
    net.host.nft(
        "table inet lab_link {\n  counter groups { }\n  chain postrouting {\n"
        "    type filter hook postrouting priority 0\n"
        "    icmpv6 type mld2-listener-report counter name groups\n  }\n}\n"
    )
    host.enforce(*PERMITTED)
    for namespace in (net.host, net.world):
        namespace.run("ip", "-6", "neighbour", "flush", "dev", "eth0")
    assert connect(net.host, "2001:db8::1") == "connected"
    index = net.host.call(lambda: socket.if_nametoindex(UPLINK))
    with udp(net.host, "fd77::2") as six, udp(net.host, "10.77.0.2") as four:
        group = socket.inet_pton(socket.AF_INET6, "ff02::4242")
        membership = group + index.to_bytes(4, "little")
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
        group = socket.inet_aton("239.42.42.42") + socket.inet_aton("10.77.0.2")
        four.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        listed = ("nft", "list", "counter", "inet", "lab_link", "groups")
        until(lambda: "packets 0 " not in net.host.run(*listed).stdout, 5, "an MLD report")
    net.host.nft("delete table inet lab_link")
    for source, target in (
        (("10.77.0.2", 68), ("10.77.0.1", 67)),
        (("fd77::2", 546), ("ff02::1:2", 547, 0, index)),
    ):
        with udp(net.host, source[0], source) as client:
            client.sendto(b"discover", target)
    assert host.denied() == 0


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (("172.30.0.2", 68), ("10.77.0.1", 67)),
        (("fd30::2", 546), ("fd77::1", 547)),
    ],
)
def test_what_is_the_links_is_not_forwarded(
    net: Topology, host: Host, source: tuple[str, int], target: tuple[str, int]
) -> None:
    """A container with low ports can't make DHCP its way out."""
    host.enforce()
    with udp(net.container, source[0], source) as client:
        client.connect(target)
        client.send(b"out")
        with pytest.raises(OSError, match=r"No route to host|Permission denied"):
            client.recv(1)
    assert host.denied() == 1


def test_dhcp_is_no_way_out(net: Topology, host: Host) -> None:
    """Who may use its port, such as a container on the host's network, could send anywhere.

    The broadcast, and servers where leases come from, are enough.
    """
    host.enforce()
    with udp(net.host, "10.77.0.2", ("10.77.0.2", 68)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for server in ("255.255.255.255", "10.77.0.1", "192.168.7.1", "169.254.169.254"):
            client.sendto(b"renew", (server, 67))
        with pytest.raises(PermissionError):
            client.sendto(b"out", ("198.18.0.2", 67))
    assert host.denied() == 1


_NARROW_MTU = 1280  # the least of IPv6 (RFC 8200 section 5)
_FAR = {"v4": ("192.0.2.2", "192.0.2.1/24"), "v6": ("fd99::2", "fd99::1/64")}


@pytest.mark.parametrize("version", ["v4", "v6"])
@pytest.mark.parametrize("origin", ["host", "container"])
def test_a_narrow_link_on_the_way_is_found(
    net: Topology, host: Host, origin: str, version: str
) -> None:
    """A router's `packet too big` reaches the sender, whose connection goes on in smaller ones."""
    address, gateway = _FAR[version]
    mask = gateway.rpartition("/")[2]
    net.world.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    (net.directory / "far").mkdir(exist_ok=True)
    (net.cgroup / "far").mkdir(exist_ok=True)
    with Namespace(net.directory / "far", net.cgroup / "far").held() as far:
        far.sysctl("net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.accept_dad=0")
        net.world.ip(f"link add far mtu {_NARROW_MTU} type veth peer name eth0 netns {far.pid}")
        try:
            net.world.ip(f"address add {gateway} dev far", "link set far up")
            via = gateway.partition("/")[0]
            far.ip(
                # Only the way there is narrow: a small offer would need no error.
                "link set eth0 up mtu 1500",
                f"address add {address}/{mask} dev eth0 {'nodad' if version == 'v6' else ''}",
                f"route add default via {via}",
            )
            host.enforce(element(address, 8443))
            with connected(getattr(net, origin), far, address, 8443) as (ours, theirs):
                ours.sendall(b"x" * 100_000)
                received = 0
                while received < 100_000:
                    received += len(theirs.recv(1 << 17))
            found = getattr(net, origin).run("ip", "route", "get", address).stdout
            assert f"mtu {_NARROW_MTU}" in found
            assert host.denied() == 0
        finally:
            net.world.ip("link del far")

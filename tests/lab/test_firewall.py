"""The ruleset against real packets, in real namespaces."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import pytest

from enforcer.core.policy import Mode
from enforcer.core.ruleset import FULL, Capabilities, compile_ruleset
from enforcer.errors import DatapathError
from tests.lab.guarded import (
    AT_ONCE_S,
    NONCE,
    Host,
    connect,
    connected,
    element,
    guarded,
    listener,
    udp,
    wired,
)
from tests.lab.namespace import Namespace
from tests.lab.topology import BRIDGE, UPLINK, Topology
from tests.lab.wait import until

pytestmark = pytest.mark.root

# linux/tcp.h: reading the sequence numbers of a connection
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
TCP_RECV_QUEUE, TCP_SEND_QUEUE = 1, 2
TCP_REPAIR_OFF_NO_WP = -1
ACK = 0x10

NO_CT = Capabilities(ct=False, reject=True, counter=True)

# (permitted, not permitted) of each family
PAIRS = [("198.18.0.1", "198.18.0.2"), ("2001:db8::1", "2001:db8::2")]
UPLINKS = [("10.77.0.1", "10.77.0.2"), ("fd77::1", "fd77::2")]  # world, host
both_families = pytest.mark.parametrize(("permitted", "other"), PAIRS, ids=["v4", "v6"])
both_uplinks = pytest.mark.parametrize(("outside", "own"), UPLINKS, ids=["v4", "v6"])


PERMITTED = tuple(element(permitted) for permitted, _ in PAIRS)


@pytest.fixture(scope="module")
def net() -> Iterator[Topology]:
    """Return the namespaces of this module."""
    with wired() as made:
        yield made


@pytest.fixture
def host(net: Topology) -> Iterator[Host]:
    """Return a firewall of the test's own."""
    with guarded(net.host) as made:
        yield made


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
def test_errors_about_packets_from_outside_get_out(
    net: Topology, host: Host, outside: str, own: str
) -> None:
    """A closed UDP port of the host answers with an ICMP error, as ever."""
    host.enforce()
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


@contextlib.contextmanager
def without_tracking(net: Topology) -> Iterator[None]:
    """Take away what makes the host track connections, and put it back."""
    masquerade = net.host.run("nft", "list", "table", "inet", "lab_masquerade").stdout
    net.host.nft("delete table inet lab_masquerade")
    try:
        yield
    finally:
        net.host.nft(masquerade)


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


def test_networks_are_open_for_every_protocol(net: Topology, host: Host) -> None:
    """Overlapping ones too; what is next to them is not."""
    texts = ("198.18.4.0/24", "198.18.4.128/25", "198.18.5.0/25", "2001:db8:4::/48")
    host.enforce(networks=tuple(map(ip_network, texts)))
    inside = ("198.18.4.200", "198.18.5.1", "2001:db8:4::9")
    outside = ("198.18.5.200", "198.18.3.255", "2001:db8:5::9")
    for address in inside:
        assert connect(net.host, address, 5000) == "connected"
        with udp(net.world, address, (address, 123)) as server, udp(net.host, address) as client:
            client.sendto(b"time", (address, 123))
            assert server.recv(100) == b"time"
    for address in outside:
        assert connect(net.host, address, 5000) == "ECONNREFUSED"


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


@both_families
def test_a_marked_syn_opens_its_destination(
    net: Topology, host: Host, permitted: str, other: str
) -> None:
    """The nonce lets the first connection through, and all later ones without it."""
    host.enforce()
    assert connect(net.host, permitted, mark=NONCE) == "connected"
    (added,) = host.inspect().elements
    assert (added.address, added.port, added.comment) == (ip_address(permitted), 443, "")
    assert added.expires_s is not None
    assert 50 < added.expires_s <= 60
    assert connect(net.host, permitted) == "connected"
    assert connect(net.host, permitted, 5000) == "ECONNREFUSED"
    assert connect(net.host, other) == "ECONNREFUSED"


@both_families
@pytest.mark.parametrize("mark", [NONCE + 1, NONCE ^ 0x80000000, 0xBEEF, 1])
def test_another_mark_opens_nothing(
    net: Topology, host: Host, mark: int, permitted: str, other: str
) -> None:
    """Only the nonce itself, not one that shares bits with it."""
    host.enforce()
    for address in (permitted, other):
        assert connect(net.host, address, mark=mark) == "ECONNREFUSED"
    assert host.inspect().elements == ()


def test_only_a_first_syn_opens_anything(net: Topology, host: Host) -> None:
    """The mark lets no UDP out, and no other segment of a connection."""
    host.enforce()
    for pair in PAIRS:
        with udp(net.host, pair[0]) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, NONCE.to_bytes(4, sys.byteorder))
            with pytest.raises(PermissionError):
                sock.sendto(b"out", (pair[0], 443))
    with without_tracking(net):
        host.remove()
        with connected(net.host, net.world, "198.18.0.2", 8443) as (client, _):
            host.enforce()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, NONCE.to_bytes(4, sys.byteorder))
            client.send(b"is reset")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    assert host.inspect().elements == ()


@both_families
def test_nobody_else_sees_the_nonce(net: Topology, host: Host, permitted: str, other: str) -> None:
    """The mark is gone from every packet of the connection when other tables look."""
    net.host.nft(
        "table inet lab_marks {\n"
        "  counter seen { }\n  counter marked { }\n"
        "  chain postrouting {\n"
        "    type filter hook postrouting priority mangle\n"
        "    tcp dport 8443 counter name seen\n"
        f"    meta mark {NONCE} counter name marked\n"
        "  }\n}\n"
    )
    try:
        host.enforce(element(other, 8443))
        for address in (permitted, other):
            with listener(net.world, address, 8443):
                assert connect(net.host, address, 8443, mark=NONCE) == "connected"
        listed = net.host.run("nft", "list", "counters", "table", "inet", "lab_marks").stdout
        packets = [int(line.split()[1]) for line in listed.splitlines() if "packets" in line]
        seen, marked = packets
        assert seen >= 6
        assert marked == 0
    finally:
        net.host.nft("delete table inet lab_marks")


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
    host.enforce(*PERMITTED, capabilities=Capabilities(ct=True, reject=False, counter=True))
    assert connect(net.host, "198.18.0.1") == "connected"
    assert connect(net.host, "198.18.0.2") == "ETIMEDOUT"
    assert host.denied() > 0


def test_without_counters_refusals_are_the_same(net: Topology, host: Host) -> None:
    """The state says that there is no count, not that it is 0."""
    host.enforce(*PERMITTED, capabilities=Capabilities(ct=True, reject=True, counter=False))
    assert connect(net.host, "198.18.0.1") == "connected"
    assert connect(net.host, "198.18.0.2") == "ECONNREFUSED"
    assert host.inspect().denied is None


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
        nonce=NONCE,
        exempt=(),
        capabilities=FULL,
    )
    with pytest.raises(DatapathError, match="Could not process rule"):
        host.apply(text.replace("jump permitted", "jump nowhere"))
    assert connect(net.host, "198.18.0.1") == "connected"
    assert connect(net.host, "198.18.0.2") == "ECONNREFUSED"

"""The nonce: one first SYN gets through, and nobody else ever sees it."""

from __future__ import annotations

import socket
import sys
from ipaddress import ip_address

import pytest

from tests.lab.guarded import (
    NONCE,
    PAIRS,
    Host,
    connect,
    connected,
    element,
    listener,
    udp,
    without_tracking,
)
from tests.lab.topology import BRIDGE, Topology

pytestmark = pytest.mark.root

both_families = pytest.mark.parametrize(("permitted", "other"), PAIRS, ids=["v4", "v6"])


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


@both_families
def test_a_marked_syn_is_forwarded(net: Topology, host: Host, permitted: str, other: str) -> None:
    """A container's SYN that was marked on its way in opens its destination too."""
    net.host.nft(
        "table inet lab_marks {\n  chain prerouting {\n"
        "    type filter hook prerouting priority mangle\n"
        f'    iifname "{BRIDGE}" tcp dport 443 meta mark set {NONCE}\n  }}\n}}\n'
    )
    try:
        host.enforce()
        assert connect(net.container, permitted) == "connected"
        assert connect(net.container, permitted, 5000) == "ECONNREFUSED"
        (added,) = host.inspect().elements
        assert (added.address, added.port) == (ip_address(permitted), 443)
    finally:
        net.host.nft("delete table inet lab_marks")
    assert connect(net.container, permitted) == "connected"
    assert connect(net.container, other) == "ECONNREFUSED"

"""A container that names somebody else as the source: nothing goes to whom it named.

Each way is shown to work where connections are not labelled.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from enforcer.core.interfaces import DEFAULT_EXEMPT, LOOPBACK
from enforcer.core.ruleset import FULL
from tests.lab.guarded import Host
from tests.lab.namespace import Namespace
from tests.lab.topology import Topology

pytestmark = pytest.mark.root

TRUSTING = replace(FULL, ct_label=False)
EVIL = ("198.18.66.66", "2001:db8::66:66")
PERMITTED = ("198.18.0.7", "2001:db8::7")
DENIED = ("198.18.0.8", "2001:db8::8")
OWN = ("10.77.0.2", "fd77::2")
BRIDGE_OWN = ("172.30.0.1", "fd30::1")
SECRET = b"secret" * 20
EVIL_PORT, PORT = 4444, 1234
ARRIVES_S = 1.0
_FIN, _SYN, _RST, _ACK = 0x01, 0x02, 0x04, 0x10
_TCP_FLAGS = 13  # octet of a TCP header


def _checksum(data: bytes) -> int:
    words = struct.unpack(f"!{len(data) // 2}H", data + bytes(len(data) % 2))
    total: int = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _packet(source: str, target: str, protocol: int, segment: bytes, hops: int = 64) -> bytes:
    addresses = ip_address(source).packed + ip_address(target).packed
    # Where both protocols have their checksum, behind eight octets more of TCP.
    at = 16 if protocol == socket.IPPROTO_TCP else 6
    pseudo = addresses + struct.pack("!II", len(segment), protocol)
    check = struct.pack("!H", _checksum(pseudo + segment))
    segment = segment[:at] + check + segment[at + 2 :]
    if ip_address(source).version == 6:
        return struct.pack("!IHBB", 6 << 28, len(segment), protocol, hops) + addresses + segment
    return (
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, hops, protocol, 0)
        + addresses
        + segment
    )


def _udp(source: str, target: str, ports: tuple[int, int], hops: int = 64) -> bytes:
    datagram = struct.pack("!HHHH", *ports, 8 + len(SECRET), 0) + SECRET
    return _packet(source, target, socket.IPPROTO_UDP, datagram, hops)


def answered(version: int) -> Iterator[bytes]:
    """Ask what is permitted, and answer in its name."""
    yield _udp(EVIL[version], PERMITTED[version], (EVIL_PORT, PORT))
    yield _udp(PERMITTED[version], OWN[version], (PORT, EVIL_PORT))


def refused(version: int) -> Iterator[bytes]:
    """Ask what is denied: the refusal quotes what was asked."""
    yield _udp(EVIL[version], DENIED[version], (EVIL_PORT, PORT))


def exceeded(version: int) -> Iterator[bytes]:
    """Ask what is permitted, but with too few hops: that is quoted, too."""
    yield _udp(EVIL[version], PERMITTED[version], (EVIL_PORT, PORT), hops=1)


def reset(version: int) -> Iterator[bytes]:
    """Ask for a port of the machine that nobody serves: the reset carries numbers of the asker."""
    syn = struct.pack("!HHIIBBHHH", EVIL_PORT, PORT, 0xDEADBEEF, 0, 5 << 4, _SYN, 65535, 0, 0)
    yield _packet(EVIL[version], BRIDGE_OWN[version], socket.IPPROTO_TCP, syn)


def _stray(version: int, flags: int) -> Iterator[bytes]:
    segment = struct.pack(
        "!HHIIBBHHH", EVIL_PORT, PORT, 0xDEADBEEF, 0xDEADBEEF, 5 << 4, flags, 65535, 0, 0
    )
    yield _packet(EVIL[version], BRIDGE_OWN[version], socket.IPPROTO_TCP, segment)


def reset_to_an_answer(version: int) -> Iterator[bytes]:
    """Answer what the machine never asked: the reset belongs to no connection."""
    yield from _stray(version, _SYN | _ACK)


def reset_to_an_end(version: int) -> Iterator[bytes]:
    """End a connection that there is not."""
    yield from _stray(version, _FIN | _ACK)


def reset_to_nonsense(version: int) -> Iterator[bytes]:
    """Send flags that no segment has."""
    yield from _stray(version, _FIN | _SYN)


def _send(namespace: Namespace, packet: bytes, target: str) -> None:
    version = ip_address(target).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6

    def send() -> None:
        # IPPROTO_RAW: with a header of our own, of either family.
        with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(packet, (target, 0))

    namespace.call(send)


@contextlib.contextmanager
def arrivals(world: Namespace, version: int) -> Iterator[Callable[[], bool]]:
    """Yield what waits until something that was smuggled is on its way to EVIL."""

    def tap() -> socket.socket:
        every = socket.htons(0x0003)  # linux/if_ether.h: ETH_P_ALL
        return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, every)

    at = (16, 24)[version]
    header = (20, 40)[version]
    evil = ip_address(EVIL[version]).packed
    with contextlib.closing(world.call(tap)) as sock:

        def arrived() -> bool:
            deadline = time.monotonic() + ARRIVES_S
            while (left := deadline - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    packet = sock.recv(2000)
                except TimeoutError:
                    return False
                resets = len(packet) == header + 20 and packet[header + _TCP_FLAGS] & _RST
                to_evil = packet[at : at + len(evil)] == evil
                if to_evil and (SECRET in packet or resets):
                    return True
            return False

        yield arrived


@pytest.mark.parametrize("version", [0, 1], ids=["v4", "v6"])
@pytest.mark.parametrize(
    "way",
    [answered, refused, exceeded, reset, reset_to_an_answer, reset_to_an_end, reset_to_nonsense],
)
@pytest.mark.parametrize(
    "exempt", [DEFAULT_EXEMPT, (LOOPBACK,)], ids=["bridge-of-a-known-name", "of-another"]
)
def test_nothing_goes_to_a_source_that_was_forged(
    net: Topology,
    host: Host,
    version: int,
    way: Callable[[int], Iterator[bytes]],
    exempt: tuple[str, ...],
) -> None:
    """Neither a forged answer, nor what the machine itself says to whoever asked."""
    networks = tuple(map(ip_network, PERMITTED))
    for capabilities, gets_out in ((TRUSTING, True), (FULL, False)):
        net.host.run("conntrack", "-F")
        host.enforce(capabilities=capabilities, networks=networks, exempt=exempt)
        with arrivals(net.world, version) as arrived:
            for packet in way(version):
                _send(net.container, packet, BRIDGE_OWN[version])
            assert arrived() is gets_out

"""Where a packet comes from and goes, read from its headers.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

from enforcer.core.addresses import Address
from enforcer.core.destinations import TCP, UDP, Destination

_PORTS = struct.Struct(">HH")
_IPV4_MIN, _IPV6 = 20, 40  # RFC 791 section 3.1, RFC 8200 section 3
_IPV4_OFFSET = 0x1FFF
# Hop-by-hop, routing, fragment and destination options (RFC 8200 section 4.1).
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _OPTIONS = 0, 43, 44, 60
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, _OPTIONS})
# Others with both ports at their beginning: DCCP, SCTP, UDP-Lite.
_WITH_PORTS = frozenset({TCP, UDP, 33, 132, 136})


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction of an exchange of packets.

    Attributes:
        source: who sent it, or in whose name.
        source_port: 0 where the protocol has none, or the packet does not show it.
        destination: where it goes; its port is 0 likewise.
    """

    source: Address
    source_port: int
    destination: Destination


def parse_flow(packet: bytes) -> Flow | None:
    """Return where *packet* comes from and goes; None if it is no IP packet.

    Args:
        packet: its beginning, from the network header on.
    """
    if len(packet) >= _IPV4_MIN and packet[0] >> 4 == 4:  # noqa: PLR2004 - its version
        return _ipv4(packet)
    if len(packet) >= _IPV6 and packet[0] >> 4 == 6:  # noqa: PLR2004 - its version
        return _ipv6(packet)
    return None


def _ipv4(packet: bytes) -> Flow:
    source, destination = map(ipaddress.IPv4Address, (packet[12:16], packet[16:20]))
    first = not int.from_bytes(packet[6:8], "big") & _IPV4_OFFSET
    start = (packet[0] & 0xF) * 4
    return _flow(source, destination, packet[9], packet[start:] if first else b"")


def _ipv6(packet: bytes) -> Flow:
    source, destination = map(ipaddress.IPv6Address, (packet[8:24], packet[24:40]))
    protocol, at, first = packet[6], _IPV6, True
    while protocol in _EXTENSIONS and at + 8 <= len(packet):
        if protocol == _FRAGMENT:
            first = first and not int.from_bytes(packet[at + 2 : at + 4], "big") >> 3
        size = 8 if protocol == _FRAGMENT else (packet[at + 1] + 1) * 8
        protocol, at = packet[at], at + size
    return _flow(source, destination, protocol, packet[at:] if first else b"")


def _flow(source: Address, destination: Address, protocol: int, transport: bytes) -> Flow:
    ports = (0, 0)
    if protocol in _WITH_PORTS and len(transport) >= _PORTS.size:
        ports = _PORTS.unpack_from(transport)
    return Flow(source, ports[0], Destination(destination, protocol, ports[1]))

"""Packets in somebody else's name, as CAP_NET_RAW can send them."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tests.lab.namespace import Namespace

Endpoint: TypeAlias = tuple[str, int]  # an address and a port

IPV6_FREEBIND = 78  # linux/in6.h; Python has no name for it

_ACK, _PUSH, _SYN = 0x10, 0x08, 0x02


def forge_datagram(
    namespace: Namespace, source: Endpoint, target: Endpoint, payload: bytes
) -> None:
    """Send *payload* in a UDP datagram from *source*, whoever has that address."""
    header = struct.pack("!HHHH", source[1], target[1], 8 + len(payload), 0)
    _forge(namespace, source[0], target[0], socket.IPPROTO_UDP, header + payload, checksum_at=6)


def forge_segment(
    namespace: Namespace, source: Endpoint, target: Endpoint, sequence: int, payload: bytes
) -> None:
    """Send *payload* in a TCP segment from *source*, whoever has that address."""
    body = _segment(source, target, (sequence, 1), _ACK | _PUSH) + payload
    _forge(namespace, source[0], target[0], socket.IPPROTO_TCP, body, checksum_at=16)


def forge_first_segment(namespace: Namespace, source: Endpoint, target: Endpoint) -> None:
    """Send the segment that begins a TCP connection from *source*, whoever has that address."""
    body = _segment(source, target, (1, 0), _SYN)
    _forge(namespace, source[0], target[0], socket.IPPROTO_TCP, body, checksum_at=16)


def _segment(source: Endpoint, target: Endpoint, numbers: tuple[int, int], flags: int) -> bytes:
    ports = struct.pack("!HH", source[1], target[1])
    return ports + struct.pack("!IIBBHHH", *numbers, 5 << 4, flags, 65535, 0, 0)


def _forge(
    namespace: Namespace,
    source: str,
    target: str,
    protocol: int,
    transport: bytes,
    checksum_at: int,
) -> None:
    here, there = ip_address(source).packed, ip_address(target).packed
    pseudo = here + there + struct.pack("!II", len(transport), protocol)
    checksum = _checksum(pseudo + transport)
    transport = transport[:checksum_at] + checksum + transport[checksum_at + 2 :]
    if len(here) == 4:
        size = 20 + len(transport)
        header = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0, 64, protocol, 0) + here + there
    else:
        header = struct.pack("!IHBB", 6 << 28, len(transport), protocol, 64) + here + there

    family = socket.AF_INET if len(here) == 4 else socket.AF_INET6

    def send() -> None:
        with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(header + transport, (target, 0))

    namespace.call(send)


def _checksum(data: bytes) -> bytes:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)

"""DNS messages made by hand, and packets that claim to come from the resolver."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

import dns.message
import dns.name
import dns.rrset

from tests.lab.topology import RESOLVERS

if TYPE_CHECKING:
    from tests.lab.namespace import Namespace

_TIMEOUT_S = 1
_ACK, _PUSH = 0x10, 0x08


def kind(address: str) -> str:
    """Return the type of record that holds *address*."""
    return "AAAA" if ":" in address else "A"


def family(address: str) -> socket.AddressFamily:
    """Return the family of sockets for *address*."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def question(name: str, address: str) -> dns.message.QueryMessage:
    """Return the query whose answer is *address*."""
    return dns.message.make_query(name, kind(address))


def answer(query: dns.message.QueryMessage, owner: str, address: str) -> dns.message.Message:
    """Return the answer that gives *address* to *owner*."""
    response = dns.message.make_response(query)
    absolute = dns.name.from_text(owner)
    response.answer.append(dns.rrset.from_text(absolute, 300, "IN", kind(address), address))
    return response


def framed(message: bytes) -> bytes:
    """Return *message* as TCP carries it (RFC 1035 section 4.2.2)."""
    return len(message).to_bytes(2, "big") + message


def ask(
    namespace: Namespace,
    name: str,
    address: str,
    resolver: str = RESOLVERS[0],
    *,
    tcp: bool = False,
) -> bytes:
    """Send the query; return what comes back, or nothing."""
    wire = question(name, address).to_wire()

    def asked() -> bytes:
        how = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        with socket.socket(family(resolver), how) as sock:
            sock.settimeout(_TIMEOUT_S)
            sock.connect((resolver, 53))
            sock.send(framed(wire) if tcp else wire)
            try:
                return sock.recv(4096)
            except (TimeoutError, ConnectionError):
                return b""

    return namespace.call(asked)


def forge_datagram(
    namespace: Namespace, source: str, target: tuple[str, int], payload: bytes
) -> None:
    """Send *payload* in a UDP datagram from port 53 of *source*, whoever has that address."""
    header = struct.pack("!HHHH", 53, target[1], 8 + len(payload), 0)
    _forge(namespace, source, target[0], socket.IPPROTO_UDP, header + payload, checksum_at=6)


def forge_segment(
    namespace: Namespace, source: str, target: tuple[str, int], sequence: int, payload: bytes
) -> None:
    """Send *payload* in a TCP segment from port 53 of *source*, whoever has that address."""
    ports = struct.pack("!HH", 53, target[1])
    rest = struct.pack("!IIBBHHH", sequence, 1, 5 << 4, _ACK | _PUSH, 65535, 0, 0)
    _forge(namespace, source, target[0], socket.IPPROTO_TCP, ports + rest + payload, checksum_at=16)


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

    def send() -> None:
        with socket.socket(family(source), socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(header + transport, (target, 0))

    namespace.call(send)


def _checksum(data: bytes) -> bytes:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)

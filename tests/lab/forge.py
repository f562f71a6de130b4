"""UDP packets in somebody else's name, as CAP_NET_RAW can send them."""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.namespace import Namespace

IPV6_FREEBIND = 78  # linux/in6.h


def forge(
    namespace: Namespace, source: tuple[str, int], target: tuple[str, int], payload: bytes
) -> None:
    """Send *payload* from *namespace* as if *source* did; both are an address and a port."""
    datagram = struct.pack("!HHHH", source[1], target[1], 8 + len(payload), 0) + payload
    six = ":" in source[0]
    if not six:
        addresses = b"".join(ip_address(address).packed for address, _ in (source, target))
        size = 20 + len(datagram)
        header = struct.pack("!BBHHHBBH", 0x45, 0, size, 0, 0, 64, socket.IPPROTO_UDP, 0)
        datagram = header + addresses + datagram

    def send() -> None:
        family = socket.AF_INET6 if six else socket.AF_INET
        with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
            if six:
                raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_CHECKSUM, 6)
                raw.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
                raw.bind((source[0], 0))
            else:
                raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
            raw.sendto(datagram, (target[0], 0))

    namespace.call(send)

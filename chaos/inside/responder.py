"""The script that answers DNS queries in the world: fixed addresses for hosts, new ones in zones.

Standard library only, and next to nothing for an answer: the machine is the probers'.
"""

from __future__ import annotations

import itertools
import os
import selectors
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import ip_address

from chaos.kinds import FAMILIES, KINDS, TTL_S, known_hosts

_HEADER = b"\x81\x80\0\1"  # QR, RD, RA; one question (RFC 1035 section 4.1.1)
_NO_NAME = b"\x81\x83\0\1"  # rcode 3 (RFC 1035 section 4.1.1)
_POINTER = b"\xc0\x0c"  # to the question's name (RFC 1035 section 4.1.4)
_TYPES = {b"\0\1": 4, b"\0\x1c": 6}  # A, AAAA


def wire(name: str) -> bytes:
    """Return *name* as the octets of a question."""
    return b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0"


class Names:
    """What the names of the world lead to."""

    def __init__(self) -> None:
        self._hosts = {
            (wire(host), family): ip_address(address).packed
            for host, addresses in known_hosts().items()
            for family, address in zip(FAMILIES, addresses, strict=True)
        }
        self._zones = tuple((wire(kind.zone), kind) for kind in KINDS.values() if kind.asks)
        self._serial = {(zone, f): itertools.count() for zone, _ in self._zones for f in FAMILIES}

    def address(self, name: bytes, family: int) -> bytes | None:
        """Return an address of *name*, in wire format; in a zone never the same again."""
        name = name.lower()
        if host := self._hosts.get((name, family)):
            return host
        for zone, kind in self._zones:
            if name.endswith(zone):
                number = next(self._serial[zone, family])
                return ip_address(kind.address(family, number)).packed
        return None


def respond(query: bytes, names: Names) -> bytes:
    """Return the answer to *query*, which has one question."""
    end = query.index(0, 12) + 1
    kind, name = query[end : end + 2], query[12:end]
    question = query[12 : end + 4]
    if kind not in _TYPES:
        return query[:2] + _HEADER + bytes(6) + question
    address = names.address(name, _TYPES[kind])
    if address is None:
        return query[:2] + _NO_NAME + bytes(6) + question
    record = _POINTER + kind + struct.pack("!HIH", 1, TTL_S, len(address)) + address
    return query[:2] + _HEADER + b"\0\1" + bytes(4) + question + record


def _sockets(addresses: list[str]) -> Iterator[socket.socket]:
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind((address, 53))
        sock.settimeout(0)
        yield sock


def main() -> None:
    """Answer on the UDP port 53 of the addresses given until killed."""
    names = Names()
    # What the world takes long for would be told of the machine.
    os.nice(-5)
    with selectors.DefaultSelector() as selector:
        for sock in _sockets(sys.argv[1:]):
            selector.register(sock, selectors.EVENT_READ, sock)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            for key, _ in selector.select():
                sock = key.data
                try:
                    while True:
                        query, client = sock.recvfrom(4096)
                        sock.sendto(respond(query, names), client)
                except BlockingIOError:
                    continue
                except OSError:  # no route back while a link is down
                    continue


if __name__ == "__main__":
    main()

"""One DNS query to one server and its answer, over UDP or TCP: the resolver's half on the wire.

What comes back is a response with the query's id and question, and no more is
checked of it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from enforcer.core.addresses import Address
from enforcer.edge.dns_socket import connected  # noqa: TID251 - its sockets
from enforcer.errors import MalformedAnswer

HEADER_SIZE = 12  # RFC 1035 section 4.1.1
QUESTION_FIXED = 4  # QTYPE and QCLASS, section 4.1.2


@dataclass(frozen=True)
class Query:
    """A query with a random id.

    Attributes:
        question_end: where header and question end; an OPT record may follow.
    """

    wire: bytes
    question_end: int

    @classmethod
    def make(
        cls, name: dns.name.Name, rdtype: dns.rdatatype.RdataType, edns_size: int | None
    ) -> Query:
        """Ask for *rdtype* of *name*, with datagrams of *edns_size* octets (None: no EDNS)."""
        edns = None if edns_size is None else 0
        wire = dns.message.make_query(name, rdtype, use_edns=edns, payload=edns_size).to_wire()
        name_size = sum(1 + len(label) for label in name.labels)
        return cls(wire, HEADER_SIZE + name_size + QUESTION_FIXED)

    def is_answered_by(self, wire: bytes) -> bool:
        """Tell whether *wire* is a response with the id and the question of this query."""
        if len(wire) < HEADER_SIZE or wire[:2] != self.wire[:2]:
            return False
        if not _flags(wire) & dns.flags.QR:
            return False
        if wire[4:6] == b"\0\0":
            # Servers that understood no question repeat none; nothing is learned from that.
            return rcode(wire) not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}
        # Letters may change case; types, classes and lengths of labels are no letters.
        question = slice(HEADER_SIZE, self.question_end)
        return wire[question].lower() == self.wire[question].lower()


# Server, port, the interface to take the answer from (None: any), query.
Transport: TypeAlias = Callable[[Address, int, str | None, Query], Awaitable[bytes]]


def rcode(wire: bytes) -> dns.rcode.Rcode:
    """Return the code in the header, without what an OPT record would add to it."""
    return dns.rcode.from_flags(_flags(wire), 0)


def is_truncated(wire: bytes) -> bool:
    """Tell whether the whole answer is to be had over TCP."""
    return bool(_flags(wire) & dns.flags.TC)


async def over_udp(server: Address, port: int, device: str | None, query: Query) -> bytes:
    """Wait for an answer; datagrams that are none are ignored."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()
    async with connected(socket.SOCK_DGRAM, server, port, device) as sock:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(query, answer), sock=sock
        )
        try:
            transport.sendto(query.wire)
            return await answer
        finally:
            transport.close()


async def over_tcp(server: Address, port: int, device: str | None, query: Query) -> bytes:
    """Return the first message of the server.

    Raises:
        MalformedAnswer: it answers another question.
    """
    async with connected(socket.SOCK_STREAM, server, port, device) as sock:
        reader, writer = await asyncio.open_connection(sock=sock)
        try:
            # RFC 1035 section 4.2.2: two octets of length before each message.
            writer.write(struct.pack("!H", len(query.wire)) + query.wire)
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            wire = await reader.readexactly(length)
        finally:
            writer.close()
    if not query.is_answered_by(wire):
        raise MalformedAnswer("the answer over TCP is to another question")
    return wire


class _Datagrams(asyncio.DatagramProtocol):
    """Waits for the answer to *query* and ignores every other datagram."""

    def __init__(self, query: Query, answer: asyncio.Future[bytes]) -> None:
        self._query = query
        self._answer = answer

    def datagram_received(self, data: bytes, _addr: object) -> None:
        if not self._answer.done() and self._query.is_answered_by(data):
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


def _flags(wire: bytes) -> int:
    return int.from_bytes(wire[2:4], "big")

"""DNS messages made by hand, and what a resolver answers to them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import dns.message
import dns.name
import dns.rrset

from tests.lab.topology import RESOLVERS

if TYPE_CHECKING:
    from tests.lab.namespace import Namespace

_TIMEOUT_S = 1


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

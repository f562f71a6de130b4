"""Probes: packets that try the ruleset, and what can become of them.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address

from enforcer.core.addresses import Address, Network
from enforcer.core.destinations import TCP

# Addresses that belong to nobody: RFC 5737 section 3, RFC 3849 section 4, RFC 9637 section 3.
DOCUMENTATION: dict[int, tuple[Network, ...]] = {
    4: tuple(map(IPv4Network, ("198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24"))),
    6: tuple(map(IPv6Network, ("2001:db8::/32", "3fff::/20"))),
}
LOOPBACK: dict[int, Address] = {4: ip_address("127.0.0.1"), 6: ip_address("::1")}

# tcpmux (RFC 1078): a port that only root has, and that nobody connects from. So a probe
# belongs to no connection that the kernel tracks.
SOURCE_PORT = 1
_SYN, _OFFSET, _WINDOW = 0x02, 5 << 4, 0xFFFF  # RFC 9293 section 3.1
_TCP = struct.Struct(">HHIIBBHHH")
_IPV4 = struct.Struct(">BBHHHBBH4s4s")
_IPV6 = struct.Struct(">IHBB16s16s")
_SUBNETS, _INTERFACE_BITS = 1 << 32, 64  # RFC 4291 section 2.5.4
_IPV4_BEGIN, _IPV6_BEGIN, _HOPS = 4 << 4 | 5, 6 << 28, 64


class Fate(Enum):
    """What became of a probe."""

    PASSED = "passed"  # every chain, and ended behind them
    STOPPED = "stopped"  # by a chain
    NO_ROUTE = "no route"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sent:
    """A probe that was sent.

    Attributes:
        interface: index of the one that it would have left by; 0 unless it passed.
        to: the destination that it had there; None likewise.
        error: the kernel's, in words; empty if it passed.
    """

    fate: Fate
    interface: int = 0
    to: Address | None = None
    error: str = ""


def opening(address: Address, port: int) -> bytes:
    """Return what would open a TCP connection to *port* of *address*, from the IP header on.

    Its checksum is wrong, so that it is refused without an answer: the kernel resets no
    connection for such a packet (nf_reject_ip_tcphdr_get() in net/ipv4/netfilter). It gives
    an IPv4 header its source; that of an IPv6 header stays unspecified.
    """
    segment = _TCP.pack(SOURCE_PORT, port, 0, 0, _OFFSET, _SYN, _WINDOW, 0, 0)
    if isinstance(address, IPv4Address):
        size = _IPV4.size + len(segment)
        addresses = bytes(4), address.packed
        return _IPV4.pack(_IPV4_BEGIN, 0, size, 0, 0, _HOPS, TCP, 0, *addresses) + segment
    addresses = bytes(16), address.packed
    return _IPV6.pack(_IPV6_BEGIN, len(segment), TCP, _HOPS, *addresses) + segment


def documentation(
    version: int, number: int, permitted: Collection[Network], resolvers: Collection[Address]
) -> Iterator[Address]:
    """Yield one address of each documentation range, if nothing of *permitted* has it.

    Args:
        version: of the family: 4 or 6.
        number: chooses it, so that nobody can prepare for one.
        permitted: networks.
        resolvers: permitted too.
    """
    for network in DOCUMENTATION[version]:
        if isinstance(network, IPv4Network):
            # Neither the network's own address nor its broadcast.
            address: Address = network[1 + number % (network.num_addresses - 2)]
        else:
            # One host of any subnet: short to read.
            address = network[number % _SUBNETS << _INTERFACE_BITS | 1]
        if address not in resolvers and not any(address in each for each in permitted):
            yield address

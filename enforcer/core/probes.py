"""Probes: packets that try the ruleset, and what can become of them.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address
from typing import TypeAlias

from enforcer.core.addresses import Address, Network
from enforcer.core.destinations import TCP, Route

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
# Bits of a prefix, at most, so that no address which is open is drawn there by chance.
_SPARSE = 96
_IPV4_BEGIN, _IPV6_BEGIN, _HOPS = 4 << 4 | 5, 6 << 28, 64


# Where a probe is sent, and the index of the interface to leave by; None: by the route.
Way: TypeAlias = tuple[Address, int | None]


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
        judged: our last chain took its priority away, as one that can't count does in audit
            mode.
        error: the kernel's, in words; empty if it passed.
    """

    fate: Fate
    interface: int = 0
    to: Address | None = None
    judged: bool = False
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


@dataclass(frozen=True)
class Drawn:
    """What draws addresses that nothing permits.

    Attributes:
        number: chooses them, so that nobody can prepare for one.
        networks: permitted.
        resolvers: permitted too.
    """

    number: int
    networks: Collection[Network]
    resolvers: Collection[Address]

    def of(self, network: Network) -> Iterator[Address]:
        """Yield one address of *network*, if nothing permits it."""
        if isinstance(network, IPv4Network):
            # Neither the network's own address nor its broadcast.
            address: Address = network[1 + self.number % (network.num_addresses - 2)]
        elif network.num_addresses >> _INTERFACE_BITS >= _SUBNETS:
            # One host of any subnet: short to read.
            address = network[self.number % _SUBNETS << _INTERFACE_BITS | 1]
        else:
            address = network[self.number % network.num_addresses]
        if address not in self.resolvers and not any(address in each for each in self.networks):
            yield address


def documentation(version: int, drawn: Drawn) -> Iterator[Way]:
    """Yield an address of each documentation range of one family, 4 or 6, by its route."""
    for network in DOCUMENTATION[version]:
        for address in drawn.of(network):
            yield address, None


def without_default(
    version: int, drawn: Drawn, routes: Iterable[Route], guarded: Collection[int]
) -> Iterator[Way]:
    """Yield what can be tried in one family where no route leads to documentation ranges.

    In IPv4 they can be told the interface. In IPv6 nothing has no route: there it is an address
    of a network that is reached, so large that nobody has the one that is drawn.

    Args:
        version: of the family: 4 or 6.
        drawn: draws the addresses.
        routes: of the machine.
        guarded: indexes of the interfaces that are.
    """
    reached = [
        (each.network, each.interface)
        for each in routes
        if each.interface in guarded and each.network.version == version
    ]
    if version == 4:  # noqa: PLR2004 - of IP
        for interface in sorted({interface for _, interface in reached if interface is not None}):
            yield from ((address, interface) for address, _ in documentation(4, drawn))
        return
    for network, _ in reached:
        of_links = network.is_link_local or network.is_multicast
        if network.prefixlen <= _SPARSE and not of_links:
            yield from ((address, None) for address in drawn.of(network))

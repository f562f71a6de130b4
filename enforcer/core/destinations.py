"""Where live connections come from and go, and whether that is permitted now.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from enforcer.core.addresses import Address, Network

# Also in the ruleset, in place of names: nft looks those up in /etc/protocols, which a small
# machine does not have.
ICMP, IGMP, TCP, UDP, ICMPV6 = 1, 2, 6, 17, 58
DNS_PORT = 53
# Where the ports that any user may have begin, by default: net.ipv4.ip_unprivileged_port_start.
ANYBODYS_PORTS = 1024


@dataclass(frozen=True)
class Destination:
    """Where a connection leads, after any translation of its destination.

    Attributes:
        protocol: its IP protocol number.
        port: 0 where the protocol has none.
    """

    address: Address
    protocol: int
    port: int


@dataclass(frozen=True)
class Connection:
    """One connection as it is tracked.

    Attributes:
        origin: who began it, or in whose name.
        assured: answered, and the answer was answered.
        labelled: it began inside, by a ruleset of ours, which judged it then.
        resumed: a server's of this machine, it seems; nobody saw it begin.
        perhaps: where it leads if it began here all the same; None where that is known.
    """

    origin: Address
    destination: Destination
    assured: bool
    labelled: bool = False
    resumed: bool = False
    perhaps: Destination | None = None

    @property
    def made_by_both(self) -> bool:
        """Whether both ends took part: nobody made it alone, in the name of the other.

        Of TCP it takes a handshake; of other protocols two packets each way, which
        one end can send by itself.
        """
        return self.assured and self.destination.protocol == TCP


@dataclass(frozen=True)
class Route:
    """One route of the machine.

    Attributes:
        interface: index of the one that packets leave by; None when they end on the
            machine, or nowhere.
    """

    network: Network
    interface: int | None


class Inside:
    """The addresses that packets reach without leaving by a guarded interface.

    Args:
        routes: of all tables; of several to one network, one that is guarded counts.
        exempt: indexes of the interfaces that are.
    """

    def __init__(self, routes: Iterable[Route], exempt: Collection[int]) -> None:
        # By version and length of the prefix, the longest first.
        found: dict[tuple[int, int], dict[int, bool]] = {}
        for route in routes:
            network = route.network
            shift = network.max_prefixlen - network.prefixlen
            inside = route.interface is None or route.interface in exempt
            of_length = found.setdefault((network.version, network.prefixlen), {})
            key = int(network.network_address) >> shift
            of_length[key] = of_length.get(key, True) and inside
        self._networks = sorted(found.items(), reverse=True)

    def __contains__(self, address: Address) -> bool:
        for (version, length), networks in self._networks:
            if version == address.version:
                inside = networks.get(int(address) >> (address.max_prefixlen - length))
                if inside is not None:
                    return inside
        return False


@dataclass(frozen=True)
class Permitted:
    """What the ruleset lets out, as far as it does not depend on connections.

    Attributes:
        networks: for every protocol and port.
        resolvers: for port 53.
        pairs: addresses and TCP ports.
    """

    networks: tuple[Network, ...] = ()
    resolvers: frozenset[Address] = frozenset()
    pairs: frozenset[tuple[Address, int]] = field(default_factory=frozenset)

    def __or__(self, other: Permitted) -> Permitted:
        """Return what either lets out."""
        return Permitted(
            tuple(dict.fromkeys(self.networks + other.networks)),
            self.resolvers | other.resolvers,
            self.pairs | other.pairs,
        )

    def covers(self, destination: Destination) -> bool:
        """Tell whether a first packet to *destination* would pass."""
        address, port = destination.address, destination.port
        if destination.protocol == TCP and (address, port) in self.pairs:
            return True
        if destination.protocol in (TCP, UDP) and port == DNS_PORT and self._trusted(address):
            return True
        return any(address.version == n.version and address in n for n in self.networks)

    def _trusted(self, address: Address) -> bool:
        # Without their zones (fe80::1%eth0), as in the kernel.
        return any(ipaddress.ip_address(r.packed) == address for r in self.resolvers)

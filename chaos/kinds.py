"""Kinds of connections, the names they ask for and the addresses they lead to. Pure.

Standard library only: the scripts in chaos/inside import it. Each kind has address ranges of
its own, so that a packet tells by its destination alone what it belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

PORT = 443
# Where what is sent comes back, on connections that are kept.
LIVE_PORT = 8443
DOMAIN = "chaos.test"
TTL_S = 5
FAMILIES = (4, 6)
KNOWN_HOSTS = 8


@dataclass(frozen=True, eq=False)
class Kind:
    """One kind of connection.

    Attributes:
        name: in reports.
        networks: of its addresses, IPv4 and IPv6.
        asks: whether a name is asked for first, below the zone of the kind's own name.
    """

    name: str
    networks: tuple[IPv4Network, IPv6Network]
    asks: bool

    @property
    def zone(self) -> str:
        """Names below it lead to ever new addresses of this kind."""
        return f"{self.name}.{DOMAIN}"

    def address(self, family: int, number: int) -> str:
        """Return the address *number*, counted from 0, of a *family*; after the last the first."""
        network = self.networks[FAMILIES.index(family)]
        # The first address is the network's own; a /64 has more than anybody counts to.
        number = 1 + number % min(network.num_addresses - 2, 1 << 32)
        return str(network.network_address + number)


def _kind(name: str, ipv4: str, ipv6: str, *, asks: bool) -> Kind:
    return Kind(name, (IPv4Network(ipv4), IPv6Network(ipv6)), asks)


# Permitted: listed hosts whose addresses never change, and names nobody asked for before.
KNOWN = _kind("known", "198.18.0.0/24", "2001:db8::/64", asks=False)
FRESH = _kind("fresh", "198.19.0.0/16", "2001:db8:f:1::/64", asks=True)
# Not permitted: bare addresses, and names that resolve like any.
BARE = _kind("bare", "198.18.128.0/17", "2001:db8:d:1::/64", asks=False)
OTHER = _kind("other", "198.18.64.0/18", "2001:db8:d:2::/64", asks=True)
# Permitted by one of two policies each.
SWINGS = (
    _kind("swing-a", "198.18.32.0/20", "2001:db8:5:a::/64", asks=True),
    _kind("swing-b", "198.18.48.0/20", "2001:db8:5:b::/64", asks=True),
)
PERMITTED = (KNOWN, FRESH)
DENIED = (BARE, OTHER)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (*PERMITTED, *DENIED, *SWINGS)}


def known_hosts() -> Mapping[str, tuple[str, str]]:
    """Return the listed hosts with their address of each family."""
    return {
        f"known{number}.{DOMAIN}": (KNOWN.address(4, number), KNOWN.address(6, number))
        for number in range(KNOWN_HOSTS)
    }


def kind_of(address: str) -> Kind | None:
    """Return the kind that *address* belongs to."""
    parsed: IPv4Address | IPv6Address = ip_address(address)
    for kind in KINDS.values():
        if any(parsed in network for network in kind.networks):
            return kind
    return None


def policy(swing: int) -> str:
    """Return the policy that permits the known hosts, fresh names and one of SWINGS."""
    kept = (*known_hosts(), f"*.{SWINGS[swing].zone}")
    listed = f'  - "*.{FRESH.zone}"\n' + "".join(
        f'  - {{host: "{host}", ports: [{PORT}, {LIVE_PORT}]}}\n' for host in kept
    )
    # Lifetimes short enough that elements expire all the time, and long enough for listed hosts
    # to be looked up again on a machine that is busy.
    times = "dns: {min_ttl: 5, grace: 40}"
    return f"version: 1\norganization: chaos\n{times}\nhosts:\n{listed}"

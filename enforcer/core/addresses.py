"""Which addresses a DNS answer may open: the one definition for kernel and user space.

From the IANA special-purpose address registries (RFC 6890): what is not globally
reachable, or reaches another address by embedding it, is never learned, or only
for a host marked `private`. Three kinds of it stay learnable. Documentation (RFC
5737, 3849, 9637) and benchmarking in IPv4 (RFC 2544) lead nowhere on the Internet,
and laboratories, ours too, use them for the world. AS112 and AMT relays (RFC 7534,
7535, 7450) are globally reachable. NAT64's well-known prefix is the only way to an
IPv4 registry on an IPv6-only network (RFC 6147), so there the embedded address
decides.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# NAT64's well-known prefix: the last 32 bits are an IPv4 address (RFC 6052 section 2.1).
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _with_translated(*networks: str | Address) -> tuple[Network, ...]:
    """Return *networks* and those by which NAT64 reaches the IPv4 ones among them."""
    plain = tuple(ipaddress.ip_network(network) for network in networks)
    return plain + tuple(
        ipaddress.IPv6Network(
            (int(NAT64.network_address) | int(n.network_address), NAT64.prefixlen + n.prefixlen)
        )
        for n in plain
        if isinstance(n, ipaddress.IPv4Network)
    )


# An answer naming one of these would open the machine itself, its link, a group, or
# a way round this list: never a registry.
NEVER_LEARNED: tuple[Network, ...] = _with_translated(
    "0.0.0.0/8",  # this network, unspecified (RFC 791)
    "127.0.0.0/8",  # loopback (RFC 1122)
    "169.254.0.0/16",  # link-local, cloud metadata services (RFC 3927)
    # Protocol assignments (RFC 6890): DS-Lite, PCP, TURN, NAT64 discovery. Some are
    # globally reachable, each is a service of the access network.
    "192.0.0.0/24",
    "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
    "224.0.0.0/4",  # multicast (RFC 5771)
    "240.0.0.0/4",  # reserved, limited broadcast (RFC 1112, RFC 919)
    "::/96",  # unspecified, loopback, IPv4-compatible (RFC 4291)
    "::ffff:0:0/96",  # IPv4-mapped: would bypass the IPv4 entries above (RFC 4291)
    "::ffff:0:0:0/96",  # IPv4-translated, stateless translation of old (RFC 2765)
    "100::/64",  # discard only (RFC 6666)
    "100:0:0:1::/64",  # dummy prefix (RFC 9780)
    # Protocol assignments (RFC 2928): Teredo, which embeds IPv4 addresses (RFC 4380),
    # ORCHID (RFC 7343), benchmarking (RFC 5180), and what 192.0.0.0/24 has.
    "2001::/23",
    "2002::/16",  # 6to4, embeds IPv4 addresses, deprecated (RFC 3056, RFC 7526)
    "5f00::/16",  # segment routing identifiers (RFC 9602)
    "fe80::/10",  # link-local (RFC 4291)
    "ff00::/8",  # multicast (RFC 4291)
)

# Learned only for a host that the policy marks `private`.
PRIVATE: tuple[Network, ...] = _with_translated(
    "10.0.0.0/8",  # RFC 1918
    "172.16.0.0/12",  # RFC 1918
    "192.168.0.0/16",  # RFC 1918
    "100.64.0.0/10",  # carrier-grade NAT (RFC 6598)
    # Local-use NAT64 (RFC 8215): where in it the IPv4 address stands is up to the
    # network, so nobody else can tell what is embedded.
    "64:ff9b:1::/48",
    "fc00::/7",  # unique local (RFC 4193)
    "fec0::/10",  # site-local, deprecated but still routed (RFC 3879)
)


def own_networks(own: Iterable[Address]) -> tuple[Network, ...]:
    """Return what *own*, the addresses of this machine, are never learned as."""
    return _with_translated(*own)


def learnable(address: Address, *, private: bool, own: Collection[Address] = ()) -> bool:
    """Tell whether a DNS answer may open *address*.

    Args:
        address: the address an A or AAAA record carries.
        private: the host is marked `private` in the policy.
        own: addresses of this machine, never learned either.
    """
    if address in own or _untranslated(address) in own or _within(address, NEVER_LEARNED):
        return False
    return private or not _within(address, PRIVATE)


def _untranslated(address: Address) -> Address:
    """Return what *address* reaches through NAT64."""
    if isinstance(address, ipaddress.IPv6Address) and address in NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == n.version and address in n for n in networks)

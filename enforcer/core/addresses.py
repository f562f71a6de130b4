"""Which addresses a DNS answer may open: the one definition for kernel and user space.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA special-purpose address registries (RFC 6890). An answer naming one of
# these would open the machine itself, its link or a group, never a registry.
NEVER_LEARNED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network, unspecified (RFC 791)
        "127.0.0.0/8",  # loopback (RFC 1122)
        "169.254.0.0/16",  # link-local, cloud metadata services (RFC 3927)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved, limited broadcast (RFC 1112, RFC 919)
        "::/96",  # unspecified, loopback, IPv4-compatible (RFC 4291)
        "::ffff:0:0/96",  # IPv4-mapped: would bypass the IPv4 entries above (RFC 4291)
        "fe80::/10",  # link-local (RFC 4291)
        "ff00::/8",  # multicast (RFC 4291)
    )
)

# Learned only for a host that the policy marks `private`.
PRIVATE: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",  # RFC 1918
        "192.168.0.0/16",  # RFC 1918
        "100.64.0.0/10",  # carrier-grade NAT (RFC 6598)
        "fc00::/7",  # unique local (RFC 4193)
        "fec0::/10",  # site-local, deprecated but still routed (RFC 3879)
    )
)


def learnable(address: Address, *, private: bool, own: Collection[Address] = ()) -> bool:
    """Tell whether a DNS answer may open *address*.

    Args:
        address: the address an A or AAAA record carries.
        private: the host is marked `private` in the policy.
        own: addresses of this machine, never learned either.
    """
    if address in own or _within(address, NEVER_LEARNED):
        return False
    return private or not _within(address, PRIVATE)


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == n.version and address in n for n in networks)

"""Where the addresses are that the machine can reach: outside, or where nothing is judged.

Pure: no I/O, no clock.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping

from enforcer.core.addresses import Network
from enforcer.core.destinations import Route

# A connection to them leads to the machine itself, whatever the routes say.
_UNSPECIFIED = (ipaddress.ip_network("0.0.0.0/32"), ipaddress.ip_network("::/128"))


def outside(
    routes: Iterable[Route], exempt: Collection[int], networks: Iterable[Network]
) -> Mapping[Network, bool]:
    """Return whether the ruleset judges what goes to an address, by its longest prefix.

    An address without one is not to be decided about. Of several routes to one network an
    exempt one counts, because nobody here knows which of them is taken.

    Args:
        routes: of all tables.
        exempt: indexes of the interfaces that are.
        networks: of the policy, whose destinations all pass.
    """
    found: dict[Network, bool] = {}
    for route in routes:
        guarded = route.interface is not None and route.interface not in exempt
        found[route.network] = found.get(route.network, True) and guarded
    passing = tuple(networks)
    for network, guarded in found.items():
        found[network] = guarded and not any(_within(network, each) for each in passing)
    return found | dict.fromkeys((*passing, *_UNSPECIFIED), False)


def _within(network: Network, other: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and network.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and network.subnet_of(other)

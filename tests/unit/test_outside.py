"""Where addresses are: what is outside is what the ruleset judges, and nothing else is."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from enforcer.core.destinations import Route
from enforcer.core.outside import outside

UPLINK, BRIDGE = 2, 3
ROUTES = tuple(
    Route(ip_network(network), interface)
    for network, interface in (
        ("0.0.0.0/0", UPLINK),
        ("::/0", UPLINK),
        ("10.77.0.0/24", UPLINK),
        ("10.77.0.2/32", None),
        ("127.0.0.0/8", None),
        ("172.30.0.0/24", BRIDGE),
        ("172.30.0.128/25", UPLINK),
        ("192.168.0.0/16", UPLINK),
        ("192.168.0.0/16", BRIDGE),
        ("10.20.30.0/24", UPLINK),
    )
)
NETWORKS = (ip_network("10.20.0.0/16"), ip_network("198.51.100.0/24"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("203.0.113.1", True),
        ("2001:db8::1", True),
        ("10.77.0.1", True),
        ("10.77.0.2", False),
        ("127.0.0.53", False),
        ("0.0.0.0", False),
        ("::", False),
        ("172.30.0.2", False),
        ("172.30.0.200", True),
        # Nobody here knows which of the two routes is taken.
        ("192.168.1.1", False),
        # In a network of the policy, whatever else is known of it.
        ("10.20.1.1", False),
        ("10.20.30.1", False),
        ("198.51.100.1", False),
    ],
)
def test_the_longest_prefix_says_where_an_address_is(address: str, expected: bool) -> None:
    """Outside is what leaves by a guarded interface, but for the policy's networks."""
    found = outside(ROUTES, {BRIDGE}, NETWORKS)
    covering = [n for n in found if ip_address(address) in n]
    assert found[max(covering, key=lambda network: network.prefixlen)] is expected


def test_without_a_route_nothing_is_known() -> None:
    """Then nobody decides about it here."""
    found = outside((), {BRIDGE}, ())
    assert not any(found.values())
    assert not any(ip_address("203.0.113.1") in network for network in found)

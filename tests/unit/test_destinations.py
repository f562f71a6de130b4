"""Which live connections lead where something is judged, and whether it is permitted."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from enforcer.core.destinations import TCP, UDP, Connection, Destination, Inside, Permitted, Route

UPLINK, BRIDGE = 2, 3
ROUTES = (
    Route(ip_network("0.0.0.0/0"), UPLINK),
    Route(ip_network("::/0"), UPLINK),
    Route(ip_network("172.16.0.0/12"), UPLINK),
    Route(ip_network("172.17.0.0/16"), BRIDGE),
    Route(ip_network("172.17.9.0/24"), UPLINK),
    Route(ip_network("fd30::/64"), BRIDGE),
    Route(ip_network("127.0.0.0/8"), None),
    Route(ip_network("10.77.0.2/32"), None),
    # Of two hops, one is guarded.
    Route(ip_network("172.18.0.0/16"), BRIDGE),
    Route(ip_network("172.18.0.0/16"), UPLINK),
)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("127.0.0.53", True),
        ("10.77.0.2", True),
        ("10.77.0.3", False),
        ("172.17.0.2", True),
        ("172.17.9.2", False),
        ("172.18.0.2", False),
        ("172.19.0.2", False),
        ("198.18.0.1", False),
        ("fd30::2", True),
        ("fd30:0:0:1::2", False),
        # The IPv6 address with the bits of an IPv4 one.
        ("::7f00:1", False),
    ],
)
def test_the_longest_route_tells_what_is_inside(address: str, inside: bool) -> None:
    """As for packets; where several lead to one network, the guarded one counts."""
    assert (ip_address(address) in Inside(ROUTES, {BRIDGE})) is inside


def test_without_a_route_nothing_is_inside() -> None:
    """Unknown is not exempt."""
    assert ip_address("127.0.0.1") not in Inside((), ())


@pytest.mark.parametrize(
    ("address", "protocol", "port", "covered"),
    [
        ("198.18.0.1", TCP, 443, True),
        ("198.18.0.1", TCP, 80, False),
        ("198.18.0.1", UDP, 443, False),
        ("198.18.0.2", TCP, 443, False),
        ("10.20.3.4", UDP, 123, True),
        ("fd20::1", 132, 0, True),
        ("10.77.0.1", UDP, 53, True),
        ("10.77.0.1", TCP, 53, True),
        ("10.77.0.1", TCP, 443, False),
        ("10.77.0.1", 132, 53, False),
        ("fe80::1", UDP, 53, True),
    ],
)
def test_what_is_permitted_is_what_the_ruleset_lets_out(
    address: str, protocol: int, port: int, covered: bool
) -> None:
    """Pairs for TCP, networks for all, resolvers for port 53; zones don't matter."""
    permitted = Permitted(
        networks=(ip_network("10.20.0.0/16"), ip_network("fd20::/64")),
        resolvers=frozenset({ip_address("10.77.0.1"), ip_address("fe80::1%eth0")}),
        pairs=frozenset({(ip_address("198.18.0.1"), 443)}),
    )
    assert permitted.covers(Destination(ip_address(address), protocol, port)) is covered


@pytest.mark.parametrize(
    ("protocol", "assured", "both"),
    [(TCP, True, True), (TCP, False, False), (UDP, True, False), (UDP, False, False)],
)
def test_only_a_handshake_takes_two(protocol: int, assured: bool, both: bool) -> None:
    """A user can send himself UDP both ways, in the name of an address outside."""
    destination = Destination(ip_address("10.77.0.2"), protocol, 22)
    connection = Connection(ip_address("198.18.0.1"), destination, assured)
    assert connection.made_by_both is both

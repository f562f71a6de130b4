"""What a probe of the ruleset shows, case by case."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from enforcer.core.addresses import Address
from enforcer.core.destinations import TCP, Destination, Route
from enforcer.core.headers import Flow, parse_flow
from enforcer.core.policy import Mode
from enforcer.core.probes import (
    DOCUMENTATION,
    SOURCE_PORT,
    Drawn,
    Fate,
    Sent,
    documentation,
    opening,
    without_default,
)
from enforcer.core.proof import Outcome, acceptance, denial

ADDRESS = ip_address("203.0.113.9")
PASSED = Sent(Fate.PASSED, 2, ADDRESS)
TRANSLATED = Sent(Fate.PASSED, 2, ip_address("10.0.0.1"))
STOPPED = Sent(Fate.STOPPED, error="Operation not permitted")
NO_ROUTE = Sent(Fate.NO_ROUTE, error="Network is unreachable")
UNKNOWN = Sent(Fate.UNKNOWN, error="it is nowhere to be seen")
ENFORCE, AUDIT = Mode.ENFORCE, Mode.AUDIT


@pytest.mark.parametrize(
    ("sent", "judged", "exempt", "mode", "outcome"),
    [
        (STOPPED, True, False, ENFORCE, Outcome.PROVED),
        (STOPPED, None, False, ENFORCE, Outcome.PROVED),
        (STOPPED, False, False, ENFORCE, Outcome.UNPROVED),
        (PASSED, True, False, ENFORCE, Outcome.FAILED),  # our last chain lets through
        (PASSED, False, False, ENFORCE, Outcome.FAILED),
        (PASSED, None, False, ENFORCE, Outcome.FAILED),
        (PASSED, False, True, ENFORCE, Outcome.UNPROVED),
        (TRANSLATED, False, False, ENFORCE, Outcome.UNPROVED),
        (NO_ROUTE, False, False, ENFORCE, Outcome.NO_ROUTE),
        (UNKNOWN, False, False, ENFORCE, Outcome.UNPROVED),
        (PASSED, True, False, AUDIT, Outcome.PROVED),
        (PASSED, None, False, AUDIT, Outcome.FAILED),
        (PASSED, False, False, AUDIT, Outcome.FAILED),
        (STOPPED, True, False, AUDIT, Outcome.PROVED),  # by another firewall, behind ours
        (STOPPED, False, False, AUDIT, Outcome.UNPROVED),
        (STOPPED, None, False, AUDIT, Outcome.UNPROVED),
    ],
)
def test_a_denial_is_shown(
    sent: Sent, judged: bool | None, exempt: bool, mode: Mode, outcome: Outcome
) -> None:
    """And why it is not."""
    shown = denial(ADDRESS, sent, judged=judged, exempt=exempt, mode=mode)
    assert shown.outcome is outcome
    assert bool(shown.why) is (outcome is not Outcome.PROVED)


@pytest.mark.parametrize(
    ("sent", "judged", "outcome"),
    [
        (PASSED, False, Outcome.PROVED),
        (PASSED, None, Outcome.PROVED),
        (PASSED, True, Outcome.FAILED),  # audit mode: it would be denied
        (STOPPED, True, Outcome.FAILED),
        (STOPPED, None, Outcome.FAILED),
        (STOPPED, False, Outcome.UNPROVED),  # another firewall
        (NO_ROUTE, False, Outcome.NO_ROUTE),
        (UNKNOWN, False, Outcome.UNPROVED),
    ],
)
def test_an_acceptance_is_shown(sent: Sent, judged: bool | None, outcome: Outcome) -> None:
    """And why it is not."""
    shown = acceptance(ADDRESS, 443, sent, judged=judged)
    assert shown.outcome is outcome
    assert bool(shown.why) is (outcome is not Outcome.PROVED)


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::9"])
def test_a_probe_would_open_a_connection(address: str) -> None:
    """It is what the ruleset takes for a first SYN."""
    flow = parse_flow(packet := opening(ip_address(address), 8443))
    unspecified = ip_address("::" if ":" in address else "0.0.0.0")
    assert flow == Flow(unspecified, SOURCE_PORT, Destination(ip_address(address), TCP, 8443))
    assert packet[-7] == 2  # the flags, SYN alone
    assert packet[-4:-2] == b"\0\0"  # no checksum


def drawn(number: int, *permitted: str, resolver: Address | None = None) -> Drawn:
    """Return what draws, with *permitted* networks and perhaps a *resolver*."""
    return Drawn(number, tuple(map(ip_network, permitted)), (resolver,) if resolver else ())


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("number", [0, 253, 254, 2**128 - 1])
def test_documentation_addresses_are_hosts_of_each_range(version: int, number: int) -> None:
    """Whatever the number: not the network's own address, and not its broadcast."""
    networks = DOCUMENTATION[version]
    found = tuple(documentation(version, drawn(number)))
    assert len(found) == len(networks)
    for (address, interface), network in zip(found, networks, strict=True):
        assert address in network
        assert address not in {network[0], network[-1]}
        assert interface is None


def test_what_is_permitted_is_none_of_them() -> None:
    """A network, part of one, or a resolver."""
    (first, second, third) = documentation(4, drawn(7))
    some = drawn(7, "198.51.100.0/28", "192.0.2.0/24")
    assert tuple(documentation(4, some)) == (second,)
    assert tuple(documentation(4, drawn(7, resolver=second[0]))) == (first, third)


UPLINK, BRIDGE = 2, 3
ROUTES = tuple(
    Route(ip_network(network), interface)
    for network, interface in (
        ("10.0.0.0/8", BRIDGE),
        ("10.77.0.0/24", UPLINK),
        ("10.77.0.2/32", None),
        ("fe80::/64", UPLINK),
        ("ff00::/8", UPLINK),
        ("fd77::/64", UPLINK),
        ("fd78::/64", BRIDGE),
        ("fd79::/48", UPLINK),
        ("fd7a::/120", UPLINK),
        ("fd77::2/128", None),
    )
)


def test_without_a_default_route_ipv4_names_the_interface() -> None:
    """It takes what has no route for a neighbour there."""
    found = list(without_default(4, drawn(7), ROUTES, {UPLINK}))
    assert found == [(address, UPLINK) for address, _ in documentation(4, drawn(7))]
    assert list(without_default(4, drawn(7), ROUTES, {4})) == []


@pytest.mark.parametrize("number", [0, 1, 2**128 - 1])
def test_without_a_default_route_ipv6_tries_what_a_route_leads_to(number: int) -> None:
    """By guarded interfaces, and where so many addresses are that nobody has the one drawn."""
    found = list(without_default(6, drawn(number), ROUTES, {UPLINK}))
    assert [way for _, way in found] == [None, None]
    for (address, _), network in zip(found, ("fd77::/64", "fd79::/48"), strict=True):
        assert address in ip_network(network)
    assert list(without_default(6, drawn(number, "fd00::/8"), ROUTES, {UPLINK})) == []

"""Ways round, by packets: each gets out without the firewall, and not with it."""

from __future__ import annotations

import itertools

import pytest

from tests.lab.conftest import FRESH_ZONE
from tests.lab.connect import attempt
from tests.lab.lab import Lab
from tests.lab.registry import ALLOWED
from tests.lab.threats import (
    ORIGINS,
    RAW_ORIGINS,
    Labs,
    arrived,
    attack,
    both_families,
    counted,
    reaches,
)
from tests.lab.topology import BRIDGE

pytestmark = pytest.mark.root

# Where connections are not tracked, only what opens one is judged.
RAW_ACK = pytest.param("raw_ack", marks=pytest.mark.needs("ct"))
_numbers = itertools.count(1)


_SILENT = """
table inet lab_silent {
  chain input {
    type filter hook input priority 0
    %s daddr %s drop
  }
}
"""


def fresh_address(lab: Lab, version: int) -> str:
    """Return an address that a permitted name was just answered with, for the first time."""
    name = f"n{next(_numbers)}.{FRESH_ZONE}"
    found = lab.net.host.run("getent", ("ahostsv4", "ahostsv6")[version], name).stdout
    return found.split()[0]


@both_families
@pytest.mark.parametrize("origin", ORIGINS)
def test_a_bare_address(labs: Labs, origin: str, evil: str) -> None:
    """No name, no answer, no way; from wherever on the machine."""
    labs.refute(lambda lab: reaches(lab, origin, "tcp", evil))


@both_families
@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("how", ["udp", "query", "fastopen"])
def test_udp_dns_and_data_on_a_syn(labs: Labs, origin: str, how: str, evil: str) -> None:
    """QUIC, a name server of one's own, TCP fast open: none needs an answer to get out."""
    labs.refute(lambda lab: reaches(lab, origin, how, evil))


# An IPv4 address is what is mapped.
@pytest.mark.parametrize(
    ("how", "version"),
    [("mapped", 0), *itertools.product(("mptcp", "udplite", "ping"), (0, 1))],
)
def test_sockets_that_any_user_has(labs: Labs, how: str, evil: str) -> None:
    """They are neither TCP nor UDP as everybody knows them, and leave as everything does."""
    for lab in (labs.open, labs.closed):
        lab.net.host.sysctl("net.ipv4.ping_group_range=0 2147483647")
    labs.refute(lambda lab: reaches(lab, "user", how, evil))


@pytest.mark.parametrize("server", ["10.99.99.99", "ff02::1:2"])
def test_the_port_of_a_dhcp_client(labs: Labs, server: str) -> None:
    """Ports below 1024 are root's only as long as the administrator leaves it so."""
    for lab in (labs.open, labs.closed):
        lab.net.host.sysctl("net.ipv4.ip_unprivileged_port_start=0")
    labs.refute(lambda lab: reaches(lab, "user", "dhcp", server, "udp"))


@pytest.mark.parametrize(
    "everybody", ["224.0.0.251", "239.77.77.77", "255.255.255.255", "ff02::fb", "ff05::2"]
)
def test_what_is_said_to_everybody(labs: Labs, everybody: str) -> None:
    """On a link, or beyond it: whoever listens could be anybody."""
    labs.refute(lambda lab: reaches(lab, "user", "group", everybody, "udp"))


@both_families
@pytest.mark.parametrize("origin", RAW_ORIGINS)
@pytest.mark.parametrize("how", ["echo", "sctp", "raw_syn", RAW_ACK, "fragments"])
def test_raw_packets(labs: Labs, origin: str, how: str, evil: str) -> None:
    """Other protocols, segments made by hand, a SYN in fragments."""
    labs.refute(lambda lab: reaches(lab, origin, how, evil))


@both_families
def test_a_packet_socket_of_a_container(labs: Labs, evil: str) -> None:
    """AF_PACKET passes the container's own firewall, not the machine's."""
    labs.refute(lambda lab: reaches(lab, "container", "packet_socket", evil))


@both_families
@pytest.mark.parametrize("origin", RAW_ORIGINS)
def test_a_mark_of_ones_own(labs: Labs, origin: str, evil: str) -> None:
    """CAP_NET_RAW allows one: a container's does not cross the veth, none is the nonce."""
    labs.refute(lambda lab: reaches(lab, origin, "marked", evil))


@pytest.mark.parametrize("version", [1], ids=["v6"])
@pytest.mark.parametrize("origin", RAW_ORIGINS)
@pytest.mark.parametrize("how", ["hop_by_hop", "destination_options"])
def test_extension_headers(labs: Labs, origin: str, how: str, evil: str) -> None:
    """Headers between IPv6 and TCP hide nothing."""
    labs.refute(lambda lab: reaches(lab, origin, how, evil))


@both_families
@pytest.mark.parametrize("origin", RAW_ORIGINS)
def test_a_source_route(labs: Labs, origin: str, version: int, evil: str) -> None:
    """A packet whose destination is permitted, but is to be led on from there.

    Loose source routing in IPv4, a routing header in IPv6. The permitted address was
    all that was looked at once.
    """
    how = ("source_route", "routing_header")[version]
    labs.refute(lambda lab: leads_on(lab, origin, how, version, evil))


@both_families
@pytest.mark.parametrize("origin", RAW_ORIGINS)
def test_a_source_route_of_a_connection_that_goes_on(
    labs: Labs, origin: str, version: int, evil: str
) -> None:
    """It was let begin without one, which was set later."""
    labs.refute(lambda lab: leads_on(lab, origin, "led_on", version, evil))


def leads_on(lab: Lab, origin: str, how: str, version: int, evil: str) -> bool:
    """Tell whether a packet to a permitted address gets out that is to be led on to *evil*."""
    # Or the kernel drops what it forwards of them by itself.
    interfaces = ("all", "default", BRIDGE)
    lab.net.host.sysctl(*(f"net.ipv4.conf.{i}.accept_source_route=1" for i in interfaces))
    name = ("source_routed", "routing_header")[version]
    before = counted(lab, name)
    attack(lab, origin, how, ALLOWED.addresses[version], evil)
    return counted(lab, name) > before


@pytest.mark.parametrize("version", [1], ids=["v6"])
@pytest.mark.parametrize("permitted_first", [True, False], ids=["to permitted", "to evil"])
def test_a_routing_header_of_any_user(labs: Labs, evil: str, *, permitted_first: bool) -> None:
    """It takes no capability, and the packet leaves for the first of two destinations."""
    both = (ALLOWED.addresses[1], evil)

    def gets_out(lab: Lab) -> bool:
        before = counted(lab, "routing_header")
        attack(lab, "user", "segment_routing", *(both if permitted_first else both[::-1]))
        return counted(lab, "routing_header") > before

    labs.refute(gets_out)


@both_families
@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize(("how", "protocol"), [("udp", "udp"), ("echo", "icmp")])
def test_other_protocols_to_a_permitted_address(
    labs: Labs, origin: str, how: str, protocol: str, version: int
) -> None:
    """An address is open for TCP on its port; a permitted name's fresh one is new to all."""
    if how == "echo" and origin not in RAW_ORIGINS:
        how = "query"  # users have no raw sockets: another port, then
        protocol = "udp"
    if version and protocol == "icmp":
        protocol = "ipv6-icmp"

    def gets_out(lab: Lab) -> bool:
        address = fresh_address(lab, version)
        attack(lab, origin, how, address)
        return arrived(lab, address, protocol)

    labs.refute(gets_out)


@both_families
@pytest.mark.parametrize("origin", ["host", "container"])
def test_another_port_of_a_permitted_address(labs: Labs, origin: str, version: int) -> None:
    """What is open for a registry is not open for ssh."""

    def gets_out(lab: Lab) -> bool:
        namespace = getattr(lab.net, origin)
        return attempt(namespace, ALLOWED.addresses[version], 8443).outcome == "connected"

    labs.refute(gets_out)


@pytest.mark.parametrize(
    ("origin", "how", "version"),
    [
        ("user", "mapped", 0),
        *(
            (*each, version)
            for each in (("host", "plain"), ("user namespace", "plain"), ("user", "mptcp"))
            for version in (0, 1)
        ),
    ],
)
def test_a_socket_connected_again(
    labs: Labs, origin: str, how: str, version: int, evil: str
) -> None:
    """The mark that a socket got for one address once stayed on it for the next.

    The first is permitted but does not answer: an answer would clear the mark.
    """

    def gets_out(lab: Lab) -> bool:
        first = fresh_address(lab, version)
        lab.net.world.nft(_SILENT % (("ip", "ip6")[version], first))
        try:
            attack(lab, origin, "connected_again", first, evil, how)
            assert arrived(lab, first)
        finally:
            lab.net.world.nft("delete table inet lab_silent")
        return arrived(lab, evil)

    labs.refute(gets_out)

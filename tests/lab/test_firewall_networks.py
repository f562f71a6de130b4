"""What the policy's networks permit, and that nobody else changes it unseen."""

from __future__ import annotations

import json
import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest

from enforcer.core.addresses import Network
from enforcer.errors import DatapathError
from tests.lab.guarded import Host, connect, udp
from tests.lab.topology import Topology

pytestmark = pytest.mark.root

BEFORE = ("198.18.4.0/24", "198.18.5.0/24", "2001:db8:4::/48", "2001:db8:5::/48")


def networks(*texts: str) -> tuple[Network, ...]:
    """Return the networks that *texts* name."""
    return tuple(map(ip_network, texts))


def edited(host: Host) -> tuple[str, ...]:
    """Return the parts of the table that somebody changed."""
    return host.namespace.call(lambda: host.firewall.edited(None))


def test_networks_are_open_for_every_protocol(net: Topology, host: Host) -> None:
    """Overlapping ones too, and single addresses; what is next to them is not."""
    four = ("198.18.4.0/24", "198.18.4.128/25", "198.18.5.0/25", "198.18.6.7/32")
    six = ("2001:db8:4::/48", "2001:db8:4:4::/63", "2001:db8:6::7/128")
    host.enforce(networks=networks(*four, *six))
    inside = ("198.18.4.200", "198.18.5.1", "198.18.6.7", "2001:db8:4::9", "2001:db8:6::7")
    outside = ("198.18.5.200", "198.18.3.255", "198.18.6.6", "2001:db8:5::9", "2001:db8:6::6")
    for address in inside:
        assert connect(net.host, address, 5000) == "connected"
        with udp(net.world, address, (address, 123)) as server, udp(net.host, address) as client:
            client.sendto(b"time", (address, 123))
            assert server.recv(100) == b"time"
    for address in outside:
        assert connect(net.host, address, 5000) == "ECONNREFUSED"


def test_every_address_of_a_family_is_a_network(net: Topology, host: Host) -> None:
    """No policy has it, but the compiler of rulesets says nothing against it."""
    for every, inside, outside in (
        ("0.0.0.0/0", "198.18.5.1", "2001:db8:5::1"),
        ("::/0", "2001:db8:5::1", "198.18.5.1"),
    ):
        host.enforce(networks=networks(every))
        assert connect(net.host, inside) == "connected"
        assert connect(net.host, outside) == "ECONNREFUSED"


def test_thousands_of_networks_of_all_lengths(net: Topology, host: Host) -> None:
    """They are one transaction, and each of them counts."""
    lengths = (
        *(IPv4Network((10 << 24, length)) for length in range(8, 33)),
        *(IPv6Network((0xFD << 120, length)) for length in range(8, 129)),
    )
    four = tuple(IPv4Network((int(IPv4Address("198.18.0.0")) + (n << 4), 29)) for n in range(4000))
    six = tuple(IPv6Network((int(IPv6Address("2001:db8::")) + (n << 81), 48)) for n in range(4000))
    host.enforce(networks=(*four, *lengths, *six))
    for network in (four[0], four[-1], six[0], six[-1]):
        assert connect(net.host, str(network[1])) == "connected"
        assert connect(net.host, str(network[-1] + 1)) == "ECONNREFUSED"


def test_what_is_refused_of_thousands_is_told_in_a_few_words(host: Host) -> None:
    """The program nft shows the whole rule."""
    many = ", ".join(str(IPv4Address(10 << 24 | n)) for n in range(5000))
    rule = f"ip daddr {{ {many} }} jump nowhere"
    with pytest.raises(DatapathError, match=r"Could not process rule.*ip daddr") as refused:
        host.apply(f"table inet enforcer {{\nchain made {{\n{rule}\n}}\n}}\n")
    assert len(str(refused.value)) < 1000


def test_a_network_in_place_of_another_is_an_edit(host: Host) -> None:
    """Of rules with sets the kernel tells no more than the names of these."""
    host.enforce(networks=networks(*BEFORE))
    listed = host.namespace.run("nft", "-j", "list", "chain", "inet", "enforcer", "destinations")
    handles = {
        rule["rule"]["handle"]
        for rule in json.loads(listed.stdout)["nftables"]
        if "198.18.4.0" in json.dumps(rule)
    }
    (handle,) = handles
    assert not edited(host)
    host.namespace.nft(
        f"replace rule inet enforcer destinations handle {handle}"
        " ip daddr & 255.255.255.0 { 198.18.4.0, 198.18.6.0 } accept"
    )
    assert edited(host) == ("chain destinations",)


@pytest.mark.parametrize("verb", ["add", "delete"])
def test_nobody_changes_the_networks_of_a_rule(host: Host, verb: str) -> None:
    """Their sets have names, though none that nft shows."""
    host.enforce(networks=networks(*BEFORE))
    shown = host.namespace.run(
        *("nft", "--debug=netlink", "list", "chain", "inet", "enforcer", "destinations")
    ).stdout
    refusals = []
    # Behind a mask: others are no sets of such addresses.
    for name in re.findall(r"\[ bitwise [^\n]*\n\s*\[ lookup reg \d+ set (__set\d+)", shown):
        for address in ("198.18.4.0", "2001:db8:4::"):
            command = f"{verb} element inet enforcer {name} {{ {address} }}"
            done = host.namespace.run("nft", command, check=False)
            assert done.returncode
            refusals.append("Could not process rule" in done.stderr)
    assert refusals.count(True) == 2  # by the kernel; the other is of the other family
    assert not edited(host)


@pytest.mark.parametrize(
    ("name", "address"), [("resolvers4", "198.18.0.53"), ("resolvers6", "2001:db8::53")]
)
def test_another_resolver_is_an_edit(host: Host, name: str, address: str) -> None:
    """Port 53 of it would be a way out."""
    host.enforce()
    assert not edited(host)
    host.namespace.nft(f"add element inet enforcer {name} {{ {address} }}")
    assert edited(host) == (f"set {name}",)

"""The rules for destinations in networks."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from enforcer.core.addresses import Network
from enforcer.core.networks import to_networks

RULE = re.compile(r"(ip6?) daddr & (\S+) \{ (.+) \} accept")
NETWORKS = st.one_of(
    st.builds(
        lambda address, length: IPv4Network((address, length), strict=False),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    ),
    st.builds(
        lambda address, length: IPv6Network((address, length), strict=False),
        st.integers(0, 2**128 - 1),
        st.integers(0, 128),
    ),
)


def read(rule: str) -> set[Network]:
    """Return the networks that *rule* is about."""
    found = RULE.fullmatch(rule)
    assert found, rule
    protocol, mask, listed = found.groups()
    length = int(ip_address(mask)).bit_count()
    written = {ip_network(f"{address}/{length}") for address in listed.split(", ")}
    assert {str(network.netmask) for network in written} == {mask}
    assert {network.version for network in written} == {6 if protocol == "ip6" else 4}
    return written


@given(st.lists(NETWORKS, max_size=8))
def test_each_network_is_in_one_rule_and_there_is_one_for_each_length(
    networks: list[Network],
) -> None:
    """They are the same whatever the order, and however often one is named."""
    rules = list(to_networks(networks, "accept"))
    written = [network for rule in rules for network in read(rule)]
    assert len(written) == len(set(written))
    assert set(written) == set(networks)
    assert len(rules) == len({(network.version, network.prefixlen) for network in networks})
    assert list(to_networks([*networks[::-1], *networks], "accept")) == rules


def test_rules_are_in_order_of_their_masks() -> None:
    """IPv4 first, and in each the addresses as numbers."""
    texts = ("fd20::/64", "10.20.0.0/16", "9.0.0.0/8", "10.3.0.0/16", "192.0.2.7/32", "0.0.0.0/0")
    assert list(to_networks(map(ip_network, texts), "udp dport 67 accept")) == [
        "ip daddr & 0.0.0.0 { 0.0.0.0 } udp dport 67 accept",
        "ip daddr & 255.0.0.0 { 9.0.0.0 } udp dport 67 accept",
        "ip daddr & 255.255.0.0 { 10.3.0.0, 10.20.0.0 } udp dport 67 accept",
        "ip daddr & 255.255.255.255 { 192.0.2.7 } udp dport 67 accept",
        "ip6 daddr & ffff:ffff:ffff:ffff:: { fd20:: } udp dport 67 accept",
    ]

"""Which addresses an answer may open."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from enforcer.core.addresses import NEVER_LEARNED, PRIVATE, learnable, own_networks

OWN = frozenset({ip_address("198.51.100.7"), ip_address("2001:db8::7")})

# (address, for a plain host, for a private one)
DECISIONS = [
    ("8.8.8.8", True, True),
    ("2606:4700::1", True, True),
    # Unspecified, loopback, link-local, groups.
    ("0.0.0.0", False, False),
    ("127.0.0.1", False, False),
    ("169.254.169.254", False, False),
    ("224.0.0.251", False, False),
    ("255.255.255.255", False, False),
    ("::", False, False),
    ("::1", False, False),
    ("fe80::1", False, False),
    ("ff02::fb", False, False),
    # Private.
    ("10.0.0.1", False, True),
    ("172.31.255.255", False, True),
    ("192.168.1.1", False, True),
    ("100.127.0.1", False, True),
    ("fd00::1", False, True),
    ("fec0::1", False, True),
    ("64:ff9b:1::a00:1", False, True),
    # Services of the access network: PCP, TURN, NAT64 discovery.
    ("192.0.0.9", False, False),
    ("192.0.0.10", False, False),
    ("192.0.0.170", False, False),
    ("2001:1::1", False, False),
    # Ways to another address.
    ("::127.0.0.1", False, False),
    ("::ffff:8.8.8.8", False, False),
    ("::ffff:0:127.0.0.1", False, False),
    ("2002:7f00:1::1", False, False),
    ("2001:0:7f00:1::1", False, False),
    ("192.88.99.1", False, False),
    # NAT64 goes by what is embedded, an address of this machine included.
    ("64:ff9b::8.8.8.8", True, True),
    ("64:ff9b::127.0.0.1", False, False),
    ("64:ff9b::169.254.169.254", False, False),
    ("64:ff9b::10.0.0.1", False, True),
    ("64:ff9b::198.51.100.7", False, False),
    ("64:ff9b::198.51.100.8", True, True),
    ("198.51.100.7", False, False),
    ("2001:db8::7", False, False),
    # Nowhere at all.
    ("100::1", False, False),
    ("100:0:0:1::1", False, False),
    ("5f00::1", False, False),
    # Laboratories use these for the world.
    ("192.0.2.1", True, True),
    ("198.18.0.1", True, True),
    ("203.0.113.1", True, True),
    ("2001:db8::1", True, True),
    ("3fff::1", True, True),
    # Anycast services that anybody may reach.
    ("192.31.196.1", True, True),
    ("192.52.193.1", True, True),
    ("2620:4f:8000::1", True, True),
]


@pytest.mark.parametrize(("address", "plain", "private"), DECISIONS)
def test_each_kind_of_address_is_decided(address: str, plain: bool, private: bool) -> None:
    """One row for each entry of the IANA registries that somebody could answer with."""
    parsed = ip_address(address)
    assert learnable(parsed, private=False, own=OWN) == plain
    assert learnable(parsed, private=True, own=OWN) == private


def test_nothing_is_both_private_and_never_learned() -> None:
    """The kernel takes the longest prefix, user space either list: they must not overlap."""
    for never in NEVER_LEARNED:
        for private in PRIVATE:
            assert never.version != private.version or not never.overlaps(private)


def test_what_nat64_reaches_is_derived() -> None:
    """Each IPv4 network has its translated form on the same list (RFC 6052 section 2.1)."""
    assert ip_network("64:ff9b::7f00:0/104") in NEVER_LEARNED
    assert ip_network("64:ff9b::a00:0/104") in PRIVATE
    for networks in (NEVER_LEARNED, PRIVATE):
        plain = [network for network in networks if network.version == 4]
        under = [n for n in networks if str(n).startswith("64:ff9b::")]
        assert len(plain) == len(under) > 0
    texts = {str(network) for network in own_networks(OWN)}
    assert texts == {"198.51.100.7/32", "64:ff9b::c633:6407/128", "2001:db8::7/128"}

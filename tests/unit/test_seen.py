"""Which names an address was answered for: the last ones, for a while, never too many."""

from __future__ import annotations

from ipaddress import ip_address

import dns.name

from enforcer.core.answers import Answer
from enforcer.core.seen import KEPT_S, MAX_ADDRESSES, MAX_NAMES, SeenNames

ADDRESS = ip_address("198.18.0.7")
TTL_S = 60


def answer(name: str, *addresses: str) -> Answer:
    """Return the answer that *name* has *addresses*, or else ADDRESS."""
    found = tuple(map(ip_address, addresses)) or (ADDRESS,)
    return Answer(dns.name.from_text(name), found, TTL_S, truncated=False)


def test_the_last_name_comes_first() -> None:
    """Also when it had been asked for before."""
    seen = SeenNames()
    for name in ("a.test", "b.test", "a.test"):
        seen.saw(answer(name), 0)
    assert seen.names(ADDRESS, 1) == ("a.test", "b.test")
    assert seen.names(ip_address("198.18.0.8"), 1) == ()


def test_a_name_is_forgotten_some_time_after_its_ttl() -> None:
    """Its address may belong to somebody else by then."""
    seen = SeenNames()
    seen.saw(answer("a.test"), 0)
    assert seen.names(ADDRESS, KEPT_S + TTL_S - 1) == ("a.test",)
    assert seen.names(ADDRESS, KEPT_S + TTL_S) == ()


def test_an_address_of_very_many_names_has_the_last_few() -> None:
    """A content network's has thousands."""
    seen = SeenNames()
    for number in range(100):
        seen.saw(answer(f"n{number}.test"), 0)
    assert len(seen.names(ADDRESS, 1)) == MAX_NAMES
    assert seen.names(ADDRESS, 1)[0] == "n99.test"


def test_the_oldest_addresses_give_way() -> None:
    """And one that is answered again is not old."""
    seen = SeenNames()
    base = int(ip_address("198.18.0.0"))
    seen.saw(answer("old.test", "198.18.0.0"), 0)
    seen.saw(answer("again.test", "198.18.0.1"), 0)
    for number in range(2, MAX_ADDRESSES):
        seen.saw(answer("n.test", str(ip_address(base + number))), 0)
    seen.saw(answer("again.test", "198.18.0.1"), 0)
    seen.saw(answer("new.test", "2001:db8::1"), 0)
    assert seen.names(ip_address("198.18.0.0"), 1) == ()
    assert seen.names(ip_address("198.18.0.1"), 1) == ("again.test",)
    assert seen.names(ip_address("2001:db8::1"), 1) == ("new.test",)

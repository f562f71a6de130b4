"""What was open is remembered with its hosts, so that it can be told whose it was."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from enforcer.core.grants import Grants
from enforcer.core.hostname import parse_pattern
from enforcer.core.hosts import Host
from enforcer.core.opened import Opened, Pair
from enforcer.core.promises import MAX_PROMISES, UNKNOWN_HOST

PAIR = (ip_address("198.18.0.1"), 443)
OTHER = (ip_address("2001:db8::1"), 443)
PRIVATE = (ip_address("10.0.0.1"), 443)
NOTHING: frozenset[Pair] = frozenset()


def grants(*patterns: str, ports: tuple[int, ...] = (443,), private: bool = False) -> Grants:
    """Return the grants of *patterns*, which are alike in the rest."""
    return Grants([Host(parse_pattern(each), ports, private, "hosts") for each in patterns])


@pytest.mark.parametrize(
    ("left", "closed"),
    [
        (grants("a.test", "b.test"), NOTHING),
        (grants("a.test"), NOTHING),
        (grants("*.b.test"), NOTHING),
        (grants("A.TEST"), NOTHING),
        (grants("a.test", ports=(80, 443)), NOTHING),
        (grants("a.test", ports=(80,)), {PAIR}),
        (grants("other.test"), {PAIR}),
        (grants(), {PAIR}),
    ],
)
def test_a_pair_is_open_as_long_as_one_of_its_hosts_is(left: Grants, closed: set[Pair]) -> None:
    """By any pattern, for its own port."""
    opened = Opened(capacity=9)
    opened.add("a.test", [PAIR])
    opened.add("x.b.test", [PAIR])
    opened.add("x.b.test", [PAIR])
    assert opened.closed_by(left) == closed


@pytest.mark.parametrize("private", [True, False])
def test_a_host_that_is_private_no_more_loses_what_is(*, private: bool) -> None:
    """Its public addresses stay."""
    opened = Opened(capacity=9)
    opened.add("a.test", [PAIR, PRIVATE])
    assert opened.closed_by(grants("a.test", private=private)) == (
        NOTHING if private else {PRIVATE}
    )


def test_what_nobody_knows_the_host_of_is_closed_by_any_policy() -> None:
    """The kernel alone saw its answer."""
    opened = Opened(capacity=9)
    opened.add(UNKNOWN_HOST, [PAIR])
    assert opened.closed_by(grants("a.test")) == {PAIR}


def test_the_pair_not_opened_for_longest_is_forgotten() -> None:
    """At most as many pairs as there is room for."""
    opened = Opened(capacity=2)
    third = (ip_address("198.18.0.3"), 443)
    opened.add("a.test", [PAIR, OTHER])
    opened.add("a.test", [PAIR])
    opened.add("a.test", [third])
    assert opened.closed_by(grants()) == {PAIR, third}


def test_made_up_names_take_no_more_room_than_there_is() -> None:
    """A thousand names of one address are remembered as few; its other hosts' are not lost."""
    opened = Opened(capacity=200)
    opened.add("other.test", [OTHER])
    for number in range(1000):
        opened.add(f"{number}.made.up.test", [PAIR])
        opened.add("a.test", [PAIR])
    assert opened.closed_by(grants("999.made.up.test")) == {OTHER}
    assert opened.closed_by(grants("0.made.up.test")) == {PAIR, OTHER}
    # Each with as many names as one may have: three pairs and no more have room.
    for number in range(10):
        for name in range(MAX_PROMISES):
            opened.add(f"{name}.made.up.test", [(OTHER[0], 1000 + number)])
    assert opened.closed_by(grants()) == {(OTHER[0], 1000 + number) for number in (7, 8, 9)}


def test_what_is_forgotten_has_room_for_others() -> None:
    """Also for its hosts."""
    opened = Opened(capacity=1)
    for number in range(20):
        opened.add(f"{number}.test", [PAIR])
        opened.forget([PAIR, OTHER])
    assert len(opened) == 0
    opened.add("a.test", [PAIR])
    assert opened.closed_by(grants()) == {PAIR}

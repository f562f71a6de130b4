"""What the sets of an earlier process hold is gone on with where the policy permits it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from enforcer.core.elements import COMMENT_MAX, comment, hosts_in
from enforcer.core.inherited import LONGEST_S, claims
from enforcer.core.promises import REWRITE_SLACK_S, UNKNOWN_HOST
from enforcer.core.table import ListedElement
from tests.unit.test_bindings import bindings, grants, observe, targets

LONG = ".".join("a" * 60 for _ in range(3)) + ".example"


def listed(address: str, text: str, left_s: float | None = 100.0, port: int = 443) -> ListedElement:
    """Return an element as the kernel lists it."""
    return ListedElement(ip_address(address), port, left_s, text)


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ((), ()),
        (("ghcr.io",), ("ghcr.io",)),
        (("ghcr.io", "quay.io"), ("ghcr.io", "quay.io")),
        (("ghcr.io", *(f"{i}{'b' * 40}.example" for i in range(3))), 3),
        ((LONG,), ()),
        ((LONG, "ghcr.io"), ()),
    ],
)
def test_hosts_are_read_back_from_comments(
    hosts: tuple[str, ...], found: tuple[str, ...] | int
) -> None:
    """Those that found no place, or lost their beginning, are not made up."""
    text = comment(hosts)
    assert len(text) <= COMMENT_MAX
    assert hosts_in(text) == (hosts[:found] if isinstance(found, int) else found)


@pytest.mark.parametrize(
    ("element", "claimed"),
    [
        (listed("198.18.0.1", "ghcr.io"), ["ghcr.io"]),
        (listed("198.18.0.1", "x.Below.Example"), ["x.Below.Example"]),
        (listed("198.18.0.1", "ghcr.io, other.example, quay.io"), ["ghcr.io", "quay.io"]),
        (listed("198.18.0.1", "other.example"), []),
        (listed("198.18.0.1", ""), []),
        (listed("198.18.0.1", UNKNOWN_HOST), []),
        (listed("198.18.0.1", "ghcr.io", None), []),
        (listed("198.18.0.1", "ghcr.io", port=22), []),
        (listed("10.0.0.1", "ghcr.io"), []),
        (listed("127.0.0.1", "ghcr.io"), []),
        (listed("198.18.0.9", "ghcr.io"), []),
    ],
    ids=lambda value: str(value) if isinstance(value, list) else f"{value.address} {value.comment}",
)
def test_only_what_the_policy_permits_is_claimed(
    element: ListedElement, claimed: list[str]
) -> None:
    """By host, port and address, as an answer would have to be permitted."""
    permitted = grants("ghcr.io", "quay.io", "*.below.example")
    found = claims([element], permitted, 0.0, own=[ip_address("198.18.0.9")])
    assert [claim.host for claim in found] == claimed


def test_a_lifetime_never_grows() -> None:
    """Not by any number of starts; what lasts for ever, or years, is no answer's doing."""
    permitted, left_s = grants("ghcr.io"), 100.0
    for now in (0.0, 10.0, 20.0):
        held = bindings()
        held.inherit(claims([listed("198.18.0.1", "ghcr.io", left_s)], permitted, now, ()), now)
        (element,) = held.elements(now)
        assert element.expires - now == left_s
        left_s -= 10.0
    held = bindings()
    held.inherit(claims([listed("198.18.0.1", "ghcr.io", 1e9)], permitted, 0.0, ()), 0.0)
    assert [element.expires for element in held.elements(0.0)] == [LONGEST_S]


def test_what_is_about_to_end_is_left_out() -> None:
    """A claim is a second shorter than its element."""
    held = bindings()
    element = listed("198.18.0.1", "ghcr.io", REWRITE_SLACK_S)
    held.inherit(claims([element], grants("ghcr.io"), 5.0, ()), 5.0)
    assert held.elements(5.0) == ()


def test_what_is_known_better_stays() -> None:
    """An answer that came meanwhile promised more; a later one makes the element's end later."""
    held = bindings()
    observe(held, "ghcr.io", ["198.18.0.1"], 0.0)
    before = held.elements(0.0)
    found = [listed("198.18.0.1", "ghcr.io"), listed("198.18.0.2", "ghcr.io")]
    held.inherit(claims(found, grants("ghcr.io"), 0.0, ()), 0.0)
    assert held.elements(0.0)[0] == before[0]
    change = observe(held, "ghcr.io", ["198.18.0.2"], 1.0, ttl_s=9000)
    assert targets(change.rewrite) == [("198.18.0.2", 443)]


def test_no_more_is_gone_on_with_than_there_is_room_for() -> None:
    """A smaller memory than that of the process before keeps what ends last."""
    held = bindings(capacity=2)
    found = [listed(f"198.18.0.{n}", "ghcr.io", 100.0 + n) for n in range(1, 5)]
    held.inherit(claims(found, grants("ghcr.io"), 0.0, ()), 0.0)
    assert targets(held.elements(0.0)) == [("198.18.0.3", 443), ("198.18.0.4", 443)]

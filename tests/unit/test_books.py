"""What the books of a new process make of what an earlier one left."""

from __future__ import annotations

import ipaddress
import time

from enforcer.core.grants import Grants
from enforcer.core.inherited import Claim
from enforcer.core.policy import parse_policy
from enforcer.daemon.books import Books
from enforcer.daemon.problems import Problems

POLICY = parse_policy("version: 1\norganization: unit\nhosts: ['*.cdn.test']\n", "policy")


def test_what_ended_while_it_was_read_was_permitted() -> None:
    """It was taken for lost by the policy, and older connections to it ended."""
    books = Books(POLICY, Problems())
    (grant,) = Grants(POLICY.hosts)
    now = time.monotonic()
    left = [(ipaddress.ip_address(f"198.18.0.{number}"), 443) for number in (1, 2, 3)]
    books.inherit(
        Claim(address, port, "a.cdn.test", expires, grant.pattern)
        for (address, port), expires in zip(left[:2], (now + 60, now - 1), strict=True)
    )
    assert books.pairs() == {left[0]}
    assert books.unknown(frozenset(left)) == {left[2]}
